//! What tests observe: requests that arrived, and the database's content, whatever happened to the
//! processes.

use keeptrusts_webhooks_contracts::log_codec;
use keeptrusts_webhooks_domain::Timestamp;
use keeptrusts_webhooks_domain::attempt::{Attempt, AttemptOutcome, HttpExchange};
use keeptrusts_webhooks_domain::delivery::{Delivery, DeliveryState};
use keeptrusts_webhooks_domain::endpoint::{Endpoint, EndpointState};
use keeptrusts_webhooks_domain::event::ContentDigest;
use keeptrusts_webhooks_domain::ids::{AttemptId, DeliveryId, EndpointId, EventId, OrganizationId};
use keeptrusts_webhooks_domain::log::{Position, Shard};
use keeptrusts_webhooks_store::queries::{AttemptFilter, DeliveryFilter};
use keeptrusts_webhooks_store::{BodyId, Record, ShardLease};

use super::{Request, World};

const ALL: usize = usize::MAX;

impl World {
    /// Every request so far, in the order of their arrival.
    pub(crate) fn requests(&self) -> Vec<Request> {
        self.network.requests()
    }

    /// The requests that an endpoint received.
    pub(crate) fn requests_to(&self, name: &str) -> Vec<Request> {
        self.requests().into_iter().filter(|request| request.to == name).collect()
    }

    pub(crate) async fn deliveries(&self, event_id: EventId) -> Vec<Delivery> {
        self.find_deliveries(DeliveryFilter { event_id: Some(event_id), ..Default::default() })
            .await
    }

    pub(crate) async fn all_deliveries(&self) -> Vec<Delivery> {
        self.find_deliveries(DeliveryFilter::default()).await
    }

    /// An endpoint's deliveries.
    pub(crate) async fn deliveries_to(&self, endpoint_id: EndpointId) -> Vec<Delivery> {
        let endpoint_id = Some(endpoint_id);
        self.find_deliveries(DeliveryFilter {
            endpoint_ids: endpoint_id.into(),
            ..Default::default()
        })
        .await
    }

    /// The only delivery of an event.
    pub(crate) async fn delivery_of(&self, event_id: EventId) -> Delivery {
        let mut deliveries = self.deliveries(event_id).await;
        assert_eq!(deliveries.len(), 1, "the event has one delivery");
        deliveries.remove(0)
    }

    pub(crate) async fn read_delivery(&self, id: DeliveryId) -> Delivery {
        for organization in &self.organizations {
            let shard = self.shard_of(organization);
            let found = self.database.deliveries(shard, organization, &[id]).await;
            if let Some(delivery) = found.expect("readable").pop() {
                return delivery;
            }
        }
        panic!("{id} does not exist");
    }

    pub(crate) async fn state(&self, id: DeliveryId) -> DeliveryState {
        self.read_delivery(id).await.state
    }

    /// A delivery's recorded attempts, the oldest first.
    pub(crate) async fn attempts(&self, delivery_id: DeliveryId) -> Vec<Attempt> {
        let organization = self.read_delivery(delivery_id).await.organization_id;
        let filter = AttemptFilter { delivery_id: Some(delivery_id), ..Default::default() };
        self.find_attempts(&organization, &filter).await
    }

    pub(crate) async fn outcomes(&self, delivery_id: DeliveryId) -> Vec<AttemptOutcome> {
        self.attempts(delivery_id).await.into_iter().map(|attempt| attempt.outcome).collect()
    }

    pub(crate) async fn all_attempts(&self) -> Vec<Attempt> {
        let mut attempts = Vec::new();
        for organization in &self.organizations {
            attempts.extend(self.find_attempts(organization, &AttemptFilter::default()).await);
        }
        attempts
    }

    pub(crate) async fn read_endpoint(&self, id: EndpointId) -> Endpoint {
        for organization in &self.organizations {
            let shard = self.shard_of(organization);
            let found = self.database.endpoint(shard, organization, id).await;
            if let Some(endpoint) = found.expect("readable") {
                return endpoint;
            }
        }
        panic!("{id} does not exist");
    }

    /// The endpoints of the first organization's shard.
    pub(crate) async fn endpoints(&self) -> Vec<EndpointId> {
        let shard = self.shard_of(&self.organizations[0]);
        let found = self.database.shard_endpoints(shard, EndpointId::MIN, ALL).await;
        found.expect("readable").into_iter().map(|endpoint| endpoint.id).collect()
    }

    pub(crate) async fn status(&self, id: EndpointId) -> EndpointState {
        self.read_endpoint(id).await.state
    }

    /// The events that an endpoint has missed, in the order of their routing.
    pub(crate) async fn missed(&self, id: EndpointId) -> Vec<EventId> {
        let organization = self.read_endpoint(id).await.organization_id;
        let shard = self.shard_of(&organization);
        let missed = self.database.missed_events(shard, id, Position::START, ALL).await;
        missed.expect("readable").into_iter().map(|missed| missed.event_id).collect()
    }

    /// The stored request and response of an attempt.
    pub(crate) async fn exchange_of(&self, attempt: &Attempt) -> HttpExchange {
        let shard = self.shard_of(&attempt.organization_id);
        let id = BodyId::Attempt(attempt.details.id);
        let mut found = self.database.bodies(shard, &[id]).await.expect("readable");
        let encoded = found.remove(&id).expect("kept");
        assert_eq!(ContentDigest::of(&encoded), attempt.details.exchange);
        log_codec::decode_exchange(&encoded).expect("readable")
    }

    /// Whether an attempt's exchange can be read.
    pub(crate) async fn keeps_exchange_of(&self, attempt: &Attempt) -> bool {
        let shard = self.shard_of(&attempt.organization_id);
        let id = BodyId::Attempt(attempt.details.id);
        self.database.bodies(shard, &[id]).await.expect("readable").contains_key(&id)
    }

    /// Deletes the expired bodies that are still there; returns how many.
    pub(crate) async fn delete_expired(&self) -> usize {
        let mut deleted = 0;
        for shard in (0..self.database.shard_count()).map(Shard) {
            deleted += self.database.delete_expired_bodies(shard, ALL).await.expect("deleted");
        }
        deleted
    }

    /// Every shard's log.
    pub(crate) async fn logs(&self) -> Vec<Vec<Record>> {
        let mut logs = Vec::new();
        for shard in (0..self.database.shard_count()).map(Shard) {
            logs.push(self.database.read(shard, Position::START, ALL).await.expect("readable"));
        }
        logs
    }

    /// The owner of each shard. Asked under another process's name, so that no process is kept
    /// alive.
    pub(crate) async fn leases(&self) -> Vec<ShardLease> {
        let cluster = self.database.heartbeat("observer", std::time::Duration::ZERO).await;
        cluster.expect("readable").shards
    }

    /// How many shards a process has.
    pub(crate) async fn shards_of(&self, name: &str) -> usize {
        let prefix = format!("{name}-");
        let is_its = |lease: &&ShardLease| {
            lease.owner.as_ref().is_some_and(|owner| owner.starts_with(&prefix))
        };
        self.leases().await.iter().filter(|lease| !lease.is_free()).filter(is_its).count()
    }

    /// How often any process took a shard.
    pub(crate) fn acquisition_count(&self) -> usize {
        self.environment.acquisitions.all().len()
    }

    /// Whether some process has taken the delivery's shard in this time.
    pub(crate) fn changed_hands(
        &self,
        organization: &OrganizationId,
        from: Timestamp,
        to: Timestamp,
    ) -> bool {
        let acquisitions = self.environment.acquisitions.all();
        let shard = self.shard_of(organization);
        acquisitions.iter().any(|(time, taken)| *taken == shard && (from..=to).contains(time))
    }

    /// Invariant 7: the tables are what the log says.
    pub(crate) async fn assert_tables_match_the_log(&self) {
        for shard in (0..self.database.shard_count()).map(Shard) {
            let differences = self.database.check(shard, 10, &|_| {}).await.expect("readable");
            assert_eq!(differences, [], "shard {shard}");
        }
    }

    async fn find_deliveries(&self, filter: DeliveryFilter) -> Vec<Delivery> {
        let mut deliveries = Vec::new();
        for organization in &self.organizations {
            let shard = self.shard_of(organization);
            let (before, database) = (DeliveryId::MAX, &self.database);
            let found = database.list_deliveries(shard, organization, &filter, before, ALL).await;
            deliveries.extend(found.expect("readable").rows);
        }
        deliveries
    }

    async fn find_attempts(
        &self,
        organization: &OrganizationId,
        filter: &AttemptFilter,
    ) -> Vec<Attempt> {
        let (shard, before) = (self.shard_of(organization), AttemptId::MAX);
        let found = self.database.list_attempts(shard, organization, filter, before, ALL).await;
        let mut attempts = found.expect("readable").rows;
        // Ids of one millisecond have no order.
        attempts.sort_by_key(|attempt| (attempt.delivery_id, attempt.details.number));
        attempts
    }
}
