//! DispatchService: deliveries, attempts, replays and statistics, and requests to a shard's owner.

mod attempts;
mod cancel;
mod changes;
mod delivery_messages;
mod delivery_states;
mod disabled_endpoints;
mod dispatch_api;
mod replays;
mod resuming;
mod retry;
mod send_test;
mod stats;
mod summary;
mod watch;
mod watch_events;

use keeptrusts_webhooks_contracts::api::{
    AuthorizedRequest, CreateReplay, DeliveryRef, GetAttempt, GetDelivery, GetEndpointStats,
    GetHealthSummary, ListAttempts, ListChunk, ListDeliveries, ListReplays, ReplayRef, View,
    WatchDeliveries, WatchEvents,
};
use keeptrusts_webhooks_contracts::status::{self, Resource};
use keeptrusts_webhooks_contracts::v1;
use keeptrusts_webhooks_contracts::v1::dispatch_service_server::DispatchService;
use keeptrusts_webhooks_domain::delivery::Delivery;
use keeptrusts_webhooks_domain::health::{last_week, week_of};
use keeptrusts_webhooks_domain::ids::EndpointId;
use keeptrusts_webhooks_domain::log;
use keeptrusts_webhooks_process::{database_errors, long_reads};
use keeptrusts_webhooks_store::queries::health::summarize;
use keeptrusts_webhooks_store::queries::{AttemptFilter, DeliveryFilter, Interval};
use tonic::{Request, Response, Status};

pub use dispatch_api::DispatchApi;

/// Up to so many hours, statistics of one endpoint need not wait for a turn.
const SHORT_STATS_HOURS: u32 = 48;

#[tonic::async_trait]
impl DispatchService for DispatchApi {
    async fn send_test(
        &self,
        request: Request<v1::SendTestRequest>,
    ) -> Result<Response<v1::SendTestResponse>, Status> {
        Ok(Response::new(self.run_test(AuthorizedRequest::of_identified(request)?).await?))
    }

    async fn list_deliveries(
        &self,
        request: Request<v1::ListDeliveriesRequest>,
    ) -> Result<Response<v1::ListDeliveriesResponse>, Status> {
        let AuthorizedRequest { request, .. } = AuthorizedRequest::<ListDeliveries>::of(request)?;
        let ListDeliveries {
            organization_id,
            page,
            endpoint_ids,
            event_id,
            event_types,
            states,
            view,
            ..
        } = request;
        let scheduled = Interval { start: request.start_time, end: request.end_time };
        let (store, shard) = (self.log.store(), self.log.shard_of(&organization_id));
        let organization = &organization_id;
        let disabled = &self.disabled_endpoints(organization, &states).await?;
        let filter = &DeliveryFilter {
            endpoint_ids: endpoint_ids.into(),
            event_id,
            event_types: event_types.into(),
            states: disabled.filter(&states),
            scheduled,
        };
        let read = |before, limit| async move {
            let page = store.list_deliveries(shard, organization, filter, before, limit).await;
            let page = page.map_err(database_errors::query_failed)?;
            match view {
                View::Basic => {
                    let item = |delivery: &Delivery| (delivery.id, disabled.message(delivery));
                    Ok(ListChunk { items: page.rows.iter().map(item).collect(), next: page.next })
                }
                View::Full => {
                    self.deliveries_with_attempts(shard, organization, disabled, page).await
                }
            }
        };
        let turn = long_reads::of_page(&self.log, organization, view).await?;
        let (deliveries, next_page_token) = page.fill(turn, read).await?;
        Ok(Response::new(v1::ListDeliveriesResponse { deliveries, next_page_token }))
    }

    async fn get_delivery(
        &self,
        request: Request<v1::GetDeliveryRequest>,
    ) -> Result<Response<v1::GetDeliveryResponse>, Status> {
        let AuthorizedRequest { request, .. } = AuthorizedRequest::<GetDelivery>::of(request)?;
        let GetDelivery { organization_id, delivery_id, view } = request;
        let delivery = self.delivery(&organization_id, delivery_id).await?;
        let delivery = match view {
            View::Basic => self.message(&delivery).await?,
            View::Full => self.delivery_with_attempts(&delivery).await?,
        };
        Ok(Response::new(v1::GetDeliveryResponse { delivery: Some(delivery) }))
    }

    async fn get_attempt(
        &self,
        request: Request<v1::GetAttemptRequest>,
    ) -> Result<Response<v1::GetAttemptResponse>, Status> {
        let AuthorizedRequest { request, .. } = AuthorizedRequest::<GetAttempt>::of(request)?;
        let GetAttempt { organization_id, attempt_id, view } = request;
        let shard = self.log.shard_of(&organization_id);
        let attempt = self.attempt(shard, &organization_id, attempt_id).await?;
        let attempt = match view {
            View::Basic => (&attempt).into(),
            View::Full => self.attempt_with_content(shard, &attempt).await?,
        };
        Ok(Response::new(v1::GetAttemptResponse { attempt: Some(attempt) }))
    }

    async fn list_attempts(
        &self,
        request: Request<v1::ListAttemptsRequest>,
    ) -> Result<Response<v1::ListAttemptsResponse>, Status> {
        let AuthorizedRequest { request, .. } = AuthorizedRequest::<ListAttempts>::of(request)?;
        let ListAttempts {
            organization_id,
            page,
            endpoint_ids,
            delivery_id,
            event_types,
            outcomes,
            view,
            ..
        } = request;
        let begun = Interval { start: request.start_time, end: request.end_time };
        let filter = &AttemptFilter {
            endpoint_ids: endpoint_ids.into(),
            delivery_id,
            event_types: event_types.into(),
            outcomes: outcomes.into(),
            begun,
        };
        let (store, shard) = (self.log.store(), self.log.shard_of(&organization_id));
        let organization = &organization_id;
        let read = |before, limit| async move {
            let page = store.list_attempts(shard, organization, filter, before, limit).await;
            let page = page.map_err(database_errors::query_failed)?;
            match view {
                View::Basic => {
                    let rows = page.rows.iter();
                    let items = rows.map(|attempt| (attempt.details.id, attempt.into())).collect();
                    Ok(ListChunk { items, next: page.next })
                }
                View::Full => self.attempts_with_content(shard, organization, page).await,
            }
        };
        let turn = long_reads::of_page(&self.log, organization, view).await?;
        let (attempts, next_page_token) = page.fill(turn, read).await?;
        Ok(Response::new(v1::ListAttemptsResponse { attempts, next_page_token }))
    }

    async fn retry_delivery(
        &self,
        request: Request<v1::RetryDeliveryRequest>,
    ) -> Result<Response<v1::RetryDeliveryResponse>, Status> {
        let call = AuthorizedRequest::<DeliveryRef>::of_identified(request)?;
        let organization = &call.request.organization_id;
        let repeat = |_| self.delivery(organization, call.request.delivery_id);
        let identity = call.identity.as_ref();
        let done = self.writer(organization).once(identity, self.retry(&call), repeat).await?;
        let (delivery, duplicate) = done;
        let delivery = Some(self.message_after_change(&delivery).await);
        Ok(Response::new(v1::RetryDeliveryResponse { delivery, duplicate }))
    }

    async fn cancel_delivery(
        &self,
        request: Request<v1::CancelDeliveryRequest>,
    ) -> Result<Response<v1::CancelDeliveryResponse>, Status> {
        let call = AuthorizedRequest::<DeliveryRef>::of(request)?;
        let delivery = self.cancel(&call).await?;
        Ok(Response::new(v1::CancelDeliveryResponse {
            delivery: Some(self.message_after_change(&delivery).await),
        }))
    }

    type WatchDeliveriesStream = watch::DeliveryStream;

    async fn watch_deliveries(
        &self,
        request: Request<v1::WatchDeliveriesRequest>,
    ) -> Result<Response<Self::WatchDeliveriesStream>, Status> {
        let AuthorizedRequest { request, .. } = AuthorizedRequest::<WatchDeliveries>::of(request)?;
        Ok(Response::new(self.watch(request).await?))
    }

    type WatchEventsStream = watch_events::EventStream;

    async fn watch_events(
        &self,
        request: Request<v1::WatchEventsRequest>,
    ) -> Result<Response<Self::WatchEventsStream>, Status> {
        let AuthorizedRequest { request, .. } = AuthorizedRequest::<WatchEvents>::of(request)?;
        Ok(Response::new(DispatchApi::watch_events(self, request).await?))
    }

    async fn get_endpoint_stats(
        &self,
        request: Request<v1::GetEndpointStatsRequest>,
    ) -> Result<Response<v1::GetEndpointStatsResponse>, Status> {
        let AuthorizedRequest { request, .. } = AuthorizedRequest::<GetEndpointStats>::of(request)?;
        let GetEndpointStats { organization_id, endpoint_id, hours } = request;
        let shard = self.log.shard_of(&organization_id);
        let store = self.log.store();
        let endpoint = store.endpoint(shard, &organization_id, endpoint_id).await;
        if endpoint.map_err(database_errors::query_failed)?.is_none() {
            return Err(status::not_found(Resource::Endpoint, endpoint_id));
        }
        let _place = match hours > SHORT_STATS_HOURS {
            true => Some(long_reads::acquire(&self.log, &organization_id).await?),
            false => None,
        };
        let from_hour = stats::first_hour((self.clock)(), hours);
        let counts = store.attempt_counts(shard, endpoint_id, from_hour).await;
        Ok(Response::new(stats::response(&counts.map_err(database_errors::query_failed)?)))
    }

    async fn get_health_summary(
        &self,
        request: Request<v1::GetHealthSummaryRequest>,
    ) -> Result<Response<v1::GetHealthSummaryResponse>, Status> {
        let AuthorizedRequest { request, .. } = AuthorizedRequest::<GetHealthSummary>::of(request)?;
        let GetHealthSummary { organization_id, time } = request;
        let week = time.map_or_else(|| last_week((self.clock)()), week_of);
        let shard = self.log.shard_of(&organization_id);
        let store = self.log.store();
        // A week of every endpoint.
        let _place = long_reads::acquire(&self.log, &organization_id).await?;
        let sums = store.attempt_sums(shard, &organization_id, week.clone()).await;
        let summary = summarize(week, &sums.map_err(database_errors::query_failed)?);
        let ids: Vec<_> = summary.worst.iter().map(|endpoint| endpoint.endpoint_id).collect();
        let known = tokio::try_join!(
            store.endpoints(shard, &organization_id, &ids),
            store.failing_endpoints(shard, Some(&organization_id)),
        );
        let (endpoints, failing) = known.map_err(database_errors::query_failed)?;
        let now = (self.clock)();
        let is_failing =
            |id: EndpointId| failing.get(&id).is_some_and(|streak| streak.is_failing(now));
        Ok(Response::new(summary::response(&summary, &endpoints, is_failing)))
    }

    async fn create_replay(
        &self,
        request: Request<v1::CreateReplayRequest>,
    ) -> Result<Response<v1::CreateReplayResponse>, Status> {
        let call = AuthorizedRequest::<CreateReplay>::of_identified(request)?;
        let organization = &call.request.organization_id;
        let repeat = async |stream| {
            let log::Stream::Replay(id) = stream else { return Err(status::internal()) };
            Ok((&self.replay(organization, id).await?).into())
        };
        let create = DispatchApi::create_replay(self, &call);
        let identity = call.identity.as_ref();
        let done = self.writer(organization).once(identity, create, repeat).await?;
        let (replay, duplicate) = done;
        let replay = Some(replay);
        Ok(Response::new(v1::CreateReplayResponse { replay, duplicate }))
    }

    async fn get_replay(
        &self,
        request: Request<v1::GetReplayRequest>,
    ) -> Result<Response<v1::GetReplayResponse>, Status> {
        let AuthorizedRequest { request, .. } = AuthorizedRequest::<ReplayRef>::of(request)?;
        let replay = self.replay(&request.organization_id, request.replay_id).await?;
        Ok(Response::new(v1::GetReplayResponse { replay: Some((&replay).into()) }))
    }

    async fn list_replays(
        &self,
        request: Request<v1::ListReplaysRequest>,
    ) -> Result<Response<v1::ListReplaysResponse>, Status> {
        let AuthorizedRequest { request, .. } = AuthorizedRequest::<ListReplays>::of(request)?;
        Ok(Response::new(self.replays(request).await?))
    }

    async fn cancel_replay(
        &self,
        request: Request<v1::CancelReplayRequest>,
    ) -> Result<Response<v1::CancelReplayResponse>, Status> {
        let replay = DispatchApi::cancel_replay(self, AuthorizedRequest::of(request)?).await?;
        Ok(Response::new(v1::CancelReplayResponse { replay: Some((&replay).into()) }))
    }

    type WatchReplayStream = replays::ReplayStream;

    async fn watch_replay(
        &self,
        request: Request<v1::WatchReplayRequest>,
    ) -> Result<Response<Self::WatchReplayStream>, Status> {
        let AuthorizedRequest { request, .. } = AuthorizedRequest::<ReplayRef>::of(request)?;
        Ok(Response::new(DispatchApi::watch_replay(self, request).await?))
    }
}
