//! The ingest service: accepts events. An event is answered with OK once it is in the log,
//! durable; everything that comes of it comes of that record.

mod accept;
pub mod flags;
mod metrics;
mod places;
mod quota;
mod spans;

use std::sync::Arc;
use std::time::Duration;

use keeptrusts_webhooks_contracts::api::{
    AuthorizedRequest, EventRef, ListChunk, ListEvents, Publish, PublishBatch, event_with_body,
    publish_error,
};
use keeptrusts_webhooks_contracts::status::{self, Resource};
use keeptrusts_webhooks_contracts::v1;
use keeptrusts_webhooks_contracts::v1::ingest_service_server::{
    IngestService, IngestServiceServer,
};
use keeptrusts_webhooks_domain::event::Event;
use keeptrusts_webhooks_domain::ids::OrganizationId;
use keeptrusts_webhooks_process::answer;
use keeptrusts_webhooks_process::grpc_server::limits::UNLIMITED_HERE;
use keeptrusts_webhooks_store::queries::{EventFilter, Interval, ListPage};
use keeptrusts_webhooks_store::{AppendError, AppendOutcome, BodyId, Clock, Log, Operation};
use tonic::{Request, Response, Status};

use crate::flags::IngestFlags;
use crate::places::{CommitPlaces, MAX_EVENTS_AT_ONCE};
use crate::quota::Quota;

/// What became of a batch.
struct Appending {
    /// Of the first events.
    results: Vec<Result<AppendOutcome, AppendError>>,
    /// Why there is none of the rest.
    ended: Option<Status>,
}

/// The gRPC service.
pub struct IngestApi {
    log: Arc<Log>,
    clock: Clock,
    body_retention: Duration,
    quota: Quota,
    places: CommitPlaces,
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
        metrics::register();
        let quota = Quota::new(flags.publish_quota);
        IngestServiceServer::new(IngestApi {
            log,
            clock,
            body_retention,
            quota,
            places: CommitPlaces::new(),
        })
        .max_decoding_message_size(UNLIMITED_HERE)
    }
}

impl IngestApi {
    async fn publish(
        &self,
        request: Request<v1::PublishEventRequest>,
    ) -> Result<v1::PublishEventResponse, Status> {
        let call = AuthorizedRequest::<Publish>::of(request);
        let AuthorizedRequest { request: publish, caller, trace } =
            call.inspect_err(metrics::not_accepted)?;
        let taken = self.quota.take(&publish.organization_id, 1);
        taken.inspect_err(metrics::not_accepted)?;
        let places = self.places.take(&publish.organization_id, 1).await;
        let _places = places.inspect_err(metrics::not_accepted)?;
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
        let call = AuthorizedRequest::<PublishBatch>::of(request);
        let AuthorizedRequest { request, caller, trace } =
            call.inspect_err(metrics::not_accepted)?;
        let PublishBatch { organization_id, events } = request;
        let taken = self.quota.take(&organization_id, events.len());
        taken.inspect_err(metrics::not_accepted)?;
        let mut operations = Vec::with_capacity(events.len());
        let accepted: Vec<Result<_, Status>> = events
            .into_iter()
            .map(|event| {
                let (accepting, operation) = self.accept(event?, &caller, trace.clone());
                operations.push(operation);
                Ok(accepting)
            })
            .collect();
        let Appending { results, ended } = self.append(&organization_id, operations).await;
        let is_any_known = !results.is_empty();
        let mut results = results.into_iter();
        let answers = accepted.into_iter().map(|item| {
            let accepting = item.inspect_err(metrics::not_accepted)?;
            let answer = match (results.next(), &ended) {
                (Some(result), _) => accept::answered(accepting.event_id, result),
                (None, Some(status)) => Err(status.clone()),
                (None, None) => Err(status::internal()),
            };
            accepting.over(&answer);
            answer
        });
        let answers = answers.collect();
        match ended {
            // It is the same for all of them, and the caller hears it once.
            Some(status) if !is_any_known => Err(status),
            _ => Ok(answers),
        }
    }

    /// Appends a batch, some events at a time so that others have their turn, until the first of
    /// them is not known to be appended.
    async fn append(&self, organization: &OrganizationId, operations: Vec<Operation>) -> Appending {
        let shard = self.log.shard_of(organization);
        let mut results = Vec::with_capacity(operations.len());
        let mut operations = operations.into_iter();
        while operations.len() > 0 {
            let part: Vec<_> = operations.by_ref().take(MAX_EVENTS_AT_ONCE).collect();
            let _places = match self.places.take(organization, part.len()).await {
                Ok(places) => places,
                Err(status) => return Appending { results, ended: Some(status) },
            };
            let appended = self.log.append_all(shard, part);
            match tokio::time::timeout(answer::COMMIT_PATIENCE, appended).await {
                Ok(appended) => results.extend(appended),
                Err(_) => return Appending { results, ended: Some(answer::in_doubt()) },
            }
        }
        Appending { results, ended: None }
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
        let AuthorizedRequest { request, caller, .. } = AuthorizedRequest::<EventRef>::of(request)?;
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
        let AuthorizedRequest { request, caller, .. } =
            AuthorizedRequest::<ListEvents>::of(request)?;
        let ListEvents { organization_id, page, event_type, start_time, end_time } = request;
        let (store, shard) = (self.log.store(), self.log.shard_of(&organization_id));
        let accepted = Interval { start: start_time, end: end_time };
        let publisher = caller.only_events_of().map(str::to_owned);
        let filter = &EventFilter { event_type, accepted, publisher };
        let organization = &organization_id;
        let read = |before, limit| async move {
            let found = store.list_events(shard, organization, filter, before, limit).await;
            let ListPage { rows, next } = found.map_err(answer::query_failed)?;
            let things = rows.iter().map(|event| (event.id, event.into())).collect();
            Ok(ListChunk { items: things, next })
        };
        let turn = answer::long_read(&self.log, organization);
        let (events, next_page_token) = page.fill(turn, read).await?;
        Ok(Response::new(v1::ListEventsResponse { events, next_page_token }))
    }
}
