//! The ingest service: accepts events. An event is answered with OK once it is in the log,
//! durable; everything that comes of it comes of that record.

mod accept;
pub mod flags;
mod quota;

use std::sync::Arc;
use std::time::Duration;

use keeptrusts_webhooks_contracts::api::{
    Asked, EventRef, ListEvents, Publish, PublishBatch, event_with_body, publish_error,
};
use keeptrusts_webhooks_contracts::status::{self, Resource};
use keeptrusts_webhooks_contracts::v1;
use keeptrusts_webhooks_contracts::v1::ingest_service_server::{
    IngestService, IngestServiceServer,
};
use keeptrusts_webhooks_domain::event::Event;
use keeptrusts_webhooks_process::answer;
use keeptrusts_webhooks_process::grpc_server::limits::UNLIMITED_HERE;
use keeptrusts_webhooks_store::query::{EventFilter, Interval};
use keeptrusts_webhooks_store::{BodyId, Clock, Log};
use tonic::{Request, Response, Status};

use crate::flags::IngestFlags;
use crate::quota::Quota;

/// The gRPC service.
pub struct IngestApi {
    log: Arc<Log>,
    clock: Clock,
    body_retention: Duration,
    quota: Quota,
}

impl IngestApi {
    /// The service on a log. Bodies are kept for `body_retention`; an organization may publish as
    /// fast as the flags say.
    pub fn server(
        log: Arc<Log>,
        clock: Clock,
        body_retention: Duration,
        flags: &IngestFlags,
    ) -> IngestServiceServer<Self> {
        let quota = Quota::new(flags.publish_quota);
        IngestServiceServer::new(IngestApi { log, clock, body_retention, quota })
            .max_decoding_message_size(UNLIMITED_HERE)
    }
}

#[tonic::async_trait]
impl IngestService for IngestApi {
    async fn publish_event(
        &self,
        request: Request<v1::PublishEventRequest>,
    ) -> Result<Response<v1::PublishEventResponse>, Status> {
        let Asked { request: publish, caller, trace } = Asked::<Publish>::of(request)?;
        self.quota.take(&publish.organization_id, 1)?;
        let shard = self.log.shard_of(&publish.organization_id);
        let (event_id, operation) = self.accept(publish, &caller, trace);
        let appended = answer::append(&self.log, shard, operation).await?;
        Ok(Response::new(accept::answer(event_id, appended)?))
    }

    async fn publish_events(
        &self,
        request: Request<v1::PublishEventsRequest>,
    ) -> Result<Response<v1::PublishEventsResponse>, Status> {
        let Asked { request, caller, trace } = Asked::<PublishBatch>::of(request)?;
        let PublishBatch { organization_id, events } = request;
        self.quota.take(&organization_id, events.len())?;
        let shard = self.log.shard_of(&organization_id);
        let accepted = events.into_iter().map(|event| Ok(self.accept(event?, &caller, trace)));
        let accepted: Vec<Result<_, Status>> = accepted.collect();
        // All of them wait for the same few commits.
        let operations =
            accepted.iter().filter_map(|item| Some(item.as_ref().ok()?.1.clone())).collect();
        let appended = self.log.append_all(shard, operations);
        let appended = tokio::time::timeout(answer::COMMIT_PATIENCE, appended).await;
        let mut appended = appended.map_err(|_| answer::in_doubt())?.into_iter();
        let results = accepted.into_iter().map(|item| {
            let (event_id, _) = item?;
            let appended = appended.next().ok_or_else(status::internal)?;
            accept::answer(event_id, accept::refused_or_failed(appended)?)
        });
        let results = results.map(|result| v1::PublishResult {
            result: Some(match result {
                Ok(accepted) => v1::publish_result::Result::Accepted(accepted),
                Err(status) => v1::publish_result::Result::Error(publish_error(&status)),
            }),
        });
        Ok(Response::new(v1::PublishEventsResponse { results: results.collect() }))
    }

    async fn get_event(
        &self,
        request: Request<v1::GetEventRequest>,
    ) -> Result<Response<v1::GetEventResponse>, Status> {
        let Asked { request, caller, .. } = Asked::<EventRef>::of(request)?;
        let EventRef { organization_id, event_id } = request;
        let shard = self.log.shard_of(&organization_id);
        let event = self.log.store().event(shard, &organization_id, event_id).await;
        let event = event.map_err(answer::query_failed)?;
        let may_read =
            |event: &Event| caller.only_events_of().is_none_or(|actor| actor == event.publisher);
        let event = event.filter(may_read);
        let event = event.ok_or_else(|| status::not_found(Resource::Event, event_id))?;
        let body_id = BodyId::Event(event_id);
        let bodies = self.log.bodies(shard, &[body_id]).await.map_err(answer::query_failed)?;
        let event = event_with_body(&event, bodies.get(&body_id).map(AsRef::as_ref));
        Ok(Response::new(v1::GetEventResponse { event: Some(event) }))
    }

    async fn list_events(
        &self,
        request: Request<v1::ListEventsRequest>,
    ) -> Result<Response<v1::ListEventsResponse>, Status> {
        let Asked { request, caller, .. } = Asked::<ListEvents>::of(request)?;
        let ListEvents { organization_id, page, event_type, start_time, end_time } = request;
        let shard = self.log.shard_of(&organization_id);
        let accepted = Interval { start: start_time, end: end_time };
        let publisher = caller.only_events_of().map(str::to_owned);
        let filter = EventFilter { event_type, accepted, publisher };
        let store = self.log.store();
        let read = store.list_events(shard, &organization_id, &filter, page.before, page.limit());
        let read = read.await.map_err(answer::query_failed)?;
        let (events, next_page_token) = page.split(read, |event| event.id);
        let events = events.iter().map(Into::into).collect();
        Ok(Response::new(v1::ListEventsResponse { events, next_page_token }))
    }
}
