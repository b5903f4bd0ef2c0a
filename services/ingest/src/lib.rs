//! The ingest service: accepts events. An event is answered with OK once it is in the log,
//! durable; everything that comes of it comes of that record.

mod accept;
pub mod flags;
mod metrics;
mod quota;
mod told;

use std::sync::Arc;
use std::time::Duration;

use keeptrusts_webhooks_contracts::api::{
    Asked, EventRef, ListEvents, Publish, PublishBatch, Read, event_with_body, publish_error,
};
use keeptrusts_webhooks_contracts::status::{self, Resource};
use keeptrusts_webhooks_contracts::v1;
use keeptrusts_webhooks_contracts::v1::ingest_service_server::{
    IngestService, IngestServiceServer,
};
use keeptrusts_webhooks_domain::event::Event;
use keeptrusts_webhooks_process::answer;
use keeptrusts_webhooks_process::grpc_server::limits::UNLIMITED_HERE;
use keeptrusts_webhooks_store::query::{EventFilter, Found, Interval};
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
        metrics::begin();
        let quota = Quota::new(flags.publish_quota);
        IngestServiceServer::new(IngestApi { log, clock, body_retention, quota })
            .max_decoding_message_size(UNLIMITED_HERE)
    }
}

impl IngestApi {
    async fn publish(
        &self,
        request: Request<v1::PublishEventRequest>,
    ) -> Result<v1::PublishEventResponse, Status> {
        let asked = Asked::<Publish>::of(request);
        let Asked { request: publish, caller, trace } = asked.inspect_err(metrics::not_accepted)?;
        let taken = self.quota.take(&publish.organization_id, 1);
        taken.inspect_err(metrics::not_accepted)?;
        let shard = self.log.shard_of(&publish.organization_id);
        let (accepting, operation) = self.accept(publish, &caller, trace);
        let appended = answer::append(&self.log, shard, operation).await;
        let answer = appended.and_then(|appended| accept::answer(accepting.event_id, appended));
        accepting.over(&answer);
        answer
    }

    /// An answer for each event; an error if none of them was looked at.
    async fn publish_batch(
        &self,
        request: Request<v1::PublishEventsRequest>,
    ) -> Result<Vec<Result<v1::PublishEventResponse, Status>>, Status> {
        let asked = Asked::<PublishBatch>::of(request);
        let Asked { request, caller, trace } = asked.inspect_err(metrics::not_accepted)?;
        let PublishBatch { organization_id, events } = request;
        let taken = self.quota.take(&organization_id, events.len());
        taken.inspect_err(metrics::not_accepted)?;
        let shard = self.log.shard_of(&organization_id);
        let mut operations = Vec::with_capacity(events.len());
        let accepted: Vec<Result<_, Status>> = events
            .into_iter()
            .map(|event| {
                let (accepting, operation) = self.accept(event?, &caller, trace.clone());
                operations.push(operation);
                Ok(accepting)
            })
            .collect();
        // All of them wait for the same few commits.
        let appended = self.log.append_all(shard, operations);
        let appended = tokio::time::timeout(answer::COMMIT_PATIENCE, appended).await;
        let mut appended = appended.map(Vec::into_iter);
        let answers = accepted.into_iter().map(|item| {
            let accepting = item.inspect_err(metrics::not_accepted)?;
            let answer = match &mut appended {
                Ok(appended) => accept::answered(accepting.event_id, appended.next()),
                Err(_) => Err(answer::in_doubt()),
            };
            accepting.over(&answer);
            answer
        });
        let answers = answers.collect();
        // All are in doubt, and the caller hears it once.
        appended.map(|_| answers).map_err(|_| answer::in_doubt())
    }
}

#[tonic::async_trait]
impl IngestService for IngestApi {
    async fn publish_event(
        &self,
        request: Request<v1::PublishEventRequest>,
    ) -> Result<Response<v1::PublishEventResponse>, Status> {
        let published = self.publish(request).await?;
        Ok(Response::new(published))
    }

    async fn publish_events(
        &self,
        request: Request<v1::PublishEventsRequest>,
    ) -> Result<Response<v1::PublishEventsResponse>, Status> {
        let published = self.publish_batch(request).await?;
        let results = published.into_iter().map(|result| v1::PublishResult {
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
        let (store, shard) = (self.log.store(), self.log.shard_of(&organization_id));
        let accepted = Interval { start: start_time, end: end_time };
        let publisher = caller.only_events_of().map(str::to_owned);
        let filter = &EventFilter { event_type, accepted, publisher };
        let organization = &organization_id;
        let read = |before, limit| async move {
            let found = store.list_events(shard, organization, filter, before, limit).await;
            let Found { rows, next } = found.map_err(answer::query_failed)?;
            let things = rows.iter().map(|event| (event.id, event.into())).collect();
            Ok(Read { things, next })
        };
        let turn = answer::long_read(&self.log, organization);
        let (events, next_page_token) = page.fill(turn, read).await?;
        Ok(Response::new(v1::ListEventsResponse { events, next_page_token }))
    }
}
