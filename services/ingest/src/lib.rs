//! The ingest service: accepts events. It answers OK when the event is durable in the log. Everything
//! that happens to the event later follows from that record.

mod accept;
mod api;
mod commit_permits;
mod event_stream;
pub mod flags;
mod metrics;
mod quota;
mod spans;

use keeptrusts_webhooks_contracts::api::{
    AuthorizedRequest, GetEvent, ListChunk, ListEvents, Publish, PublishBatch, View,
    event_with_body, rows_of_one_read,
};
use keeptrusts_webhooks_contracts::status::{self, Resource, status_message};
use keeptrusts_webhooks_contracts::v1;
use keeptrusts_webhooks_contracts::v1::ingest_service_server::IngestService;
use keeptrusts_webhooks_domain::event::Event;
use keeptrusts_webhooks_domain::ids::OrganizationId;
use keeptrusts_webhooks_domain::log::Shard;
use keeptrusts_webhooks_process::{database_errors, log_writer, long_reads};
use keeptrusts_webhooks_store::queries::{EventFilter, Interval};
use keeptrusts_webhooks_store::{AppendError, AppendOutcome, BodyId, Operation};
use tokio::time::timeout;
use tonic::{Request, Response, Status, Streaming};

use crate::commit_permits::MAX_EVENTS_PER_APPEND;
use crate::event_stream::Acknowledgements;

pub use api::IngestApi;

/// The result of appending a batch.
struct BatchResult {
    /// The results of the first events.
    results: Vec<Result<AppendOutcome, AppendError>>,
    /// Why the other events have no result. None: all events have one.
    error: Option<Status>,
}

impl IngestApi {
    async fn publish(
        &self,
        request: Request<v1::PublishEventRequest>,
    ) -> Result<v1::PublishEventResponse, Status> {
        let call = AuthorizedRequest::<Publish>::of(request);
        let AuthorizedRequest { request: publish, caller, trace, .. } =
            call.inspect_err(metrics::not_accepted)?;
        let taken = self.quota.take(&publish.organization_id, 1);
        taken.inspect_err(metrics::not_accepted)?;
        let permit = self.permits.acquire(&publish.organization_id, 1).await;
        let _permit = permit.inspect_err(metrics::not_accepted)?;
        let shard = self.log.shard_of(&publish.organization_id);
        let (event, operation) = self.accept(publish, &caller, trace);
        let appended = log_writer::append_operation(&self.log, shard, operation).await;
        let answer = accept::answer(event.event_id, appended);
        event.finish(&answer);
        answer
    }

    /// Events with their bodies, as far as these are kept.
    async fn with_bodies(&self, shard: Shard, events: &[Event]) -> Result<Vec<v1::Event>, Status> {
        let ids: Vec<_> = events.iter().map(|event| BodyId::Event(event.id)).collect();
        let bodies = self.log.bodies(shard, &ids).await.map_err(database_errors::query_failed)?;
        let messages = events
            .iter()
            .zip(&ids)
            .map(|(event, id)| event_with_body(event, bodies.get(id).map(AsRef::as_ref)));
        Ok(messages.collect())
    }

    /// An answer for each event. An error if it is the same for all of them.
    async fn publish_batch(
        &self,
        request: Request<v1::BatchPublishEventsRequest>,
    ) -> Result<Vec<Result<v1::PublishEventResponse, Status>>, Status> {
        let call = AuthorizedRequest::<PublishBatch>::of(request);
        let AuthorizedRequest { request, caller, trace, .. } =
            call.inspect_err(metrics::not_accepted)?;
        let PublishBatch { organization_id, events } = request;
        let taken = self.quota.take(&organization_id, events.len());
        taken.inspect_err(metrics::not_accepted)?;
        let mut operations = Vec::with_capacity(events.len());
        let pending: Vec<Result<_, Status>> = events
            .into_iter()
            .map(|event| {
                let (event, operation) = self.accept(event?, &caller, trace.clone());
                operations.push(operation);
                Ok(event)
            })
            .collect();
        let BatchResult { results, error } = self.append_batch(&organization_id, operations).await;
        let is_any_known = !results.is_empty();
        let mut results = results.into_iter();
        let answers = pending.into_iter().map(|event| {
            let event = event.inspect_err(metrics::not_accepted)?;
            let answer = match (results.next(), &error) {
                (Some(result), _) => accept::answer(event.event_id, result),
                (None, Some(status)) => Err(status.clone()),
                (None, None) => Err(status::internal()),
            };
            event.finish(&answer);
            answer
        });
        let answers = answers.collect();
        match error {
            // The error is the same for all events, so the caller gets it once.
            Some(status) if !is_any_known => Err(status),
            _ => Ok(answers),
        }
    }

    /// Appends a batch in parts, so that other calls have their turn. Stops when a part fails.
    async fn append_batch(
        &self,
        organization: &OrganizationId,
        operations: Vec<Operation>,
    ) -> BatchResult {
        let shard = self.log.shard_of(organization);
        let mut results = Vec::with_capacity(operations.len());
        let mut operations = operations.into_iter();
        while operations.len() > 0 {
            let part: Vec<_> = operations.by_ref().take(MAX_EVENTS_PER_APPEND).collect();
            let _permit = match self.permits.acquire(organization, part.len()).await {
                Ok(permit) => permit,
                Err(status) => return BatchResult { results, error: Some(status) },
            };
            let appended = self.log.append_all(shard, part);
            match timeout(log_writer::COMMIT_TIMEOUT, appended).await {
                Ok(appended) => results.extend(appended),
                Err(_) => {
                    let error = Some(database_errors::commit_unknown());
                    return BatchResult { results, error };
                }
            }
        }
        BatchResult { results, error: None }
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

    async fn batch_publish_events(
        &self,
        request: Request<v1::BatchPublishEventsRequest>,
    ) -> Result<Response<v1::BatchPublishEventsResponse>, Status> {
        use v1::batch_publish_events_response as response;
        let published = self.publish_batch(request).await?;
        let results = published.into_iter().map(|result| response::Result {
            result: Some(match result {
                Ok(accepted) => response::result::Result::Response(accepted),
                Err(status) => response::result::Result::Status(status_message(&status)),
            }),
        });
        Ok(Response::new(v1::BatchPublishEventsResponse { results: results.collect() }))
    }

    type StreamEventsStream = Acknowledgements;

    async fn stream_events(
        &self,
        request: Request<Streaming<v1::StreamEventsRequest>>,
    ) -> Result<Response<Self::StreamEventsStream>, Status> {
        Ok(Response::new(self.publish_stream(request)?))
    }

    async fn get_event(
        &self,
        request: Request<v1::GetEventRequest>,
    ) -> Result<Response<v1::GetEventResponse>, Status> {
        let AuthorizedRequest { request, caller, .. } = AuthorizedRequest::<GetEvent>::of(request)?;
        let GetEvent { organization_id, event_id, view } = request;
        let shard = self.log.shard_of(&organization_id);
        let event = self.log.store().event(shard, &organization_id, event_id).await;
        let event = event.map_err(database_errors::query_failed)?;
        let may_read =
            |event: &Event| caller.only_events_of().is_none_or(|actor| actor == event.publisher);
        let event = event.filter(may_read);
        let event = event.ok_or_else(|| status::not_found(Resource::Event, event_id))?;
        let event = match view {
            View::Basic => Some((&event).into()),
            View::Full => self.with_bodies(shard, &[event]).await?.pop(),
        };
        Ok(Response::new(v1::GetEventResponse { event }))
    }

    async fn list_events(
        &self,
        request: Request<v1::ListEventsRequest>,
    ) -> Result<Response<v1::ListEventsResponse>, Status> {
        let AuthorizedRequest { request, caller, .. } =
            AuthorizedRequest::<ListEvents>::of(request)?;
        let ListEvents { organization_id, page, event_types, start_time, end_time, view } = request;
        let (store, shard) = (self.log.store(), self.log.shard_of(&organization_id));
        let accepted = Interval { start: start_time, end: end_time };
        let publisher = caller.only_events_of().map(str::to_owned);
        let filter = &EventFilter { event_types: event_types.into(), accepted, publisher };
        let organization = &organization_id;
        let read = |before, limit| async move {
            let page = store.list_events(shard, organization, filter, before, limit).await;
            let page = page.map_err(database_errors::query_failed)?;
            match view {
                View::Basic => {
                    let items = page.rows.iter().map(|event| (event.id, event.into())).collect();
                    Ok(ListChunk { items, next: page.next })
                }
                View::Full => {
                    let read = rows_of_one_read(&page.rows, |event| event.body.size as usize);
                    let next = page.next_after(read.len(), |event| event.id);
                    let messages = self.with_bodies(shard, read).await?;
                    let items = read.iter().map(|event| event.id).zip(messages).collect();
                    Ok(ListChunk { items, next })
                }
            }
        };
        let permit = long_reads::of_page(&self.log, organization, view).await?;
        let (events, next_page_token) = page.fill(permit, read).await?;
        Ok(Response::new(v1::ListEventsResponse { events, next_page_token }))
    }
}
