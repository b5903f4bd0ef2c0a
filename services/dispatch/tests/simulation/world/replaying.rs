//! Replays, started as the service does it, and read back.

use std::collections::BTreeSet;

use keeptrusts_webhooks_domain::fact::Fact;
use keeptrusts_webhooks_domain::ids::{EndpointId, EventId, OrganizationId, ReplayId};
use keeptrusts_webhooks_domain::log::Stream;
use keeptrusts_webhooks_domain::replay::{
    NewReplay, Replay, ReplayFact, ReplayScope, ReplaySelection,
};
use keeptrusts_webhooks_store::queries::{EventFilter, ReplayFilter};
use keeptrusts_webhooks_store::{AppendError, BodyId, ExpectedVersion, NewRecord, new_ulid};

use super::World;

impl World {
    /// Everything in a scope up to now.
    pub(crate) fn selection(&self, endpoint_id: EndpointId, scope: ReplayScope) -> ReplaySelection {
        ReplaySelection {
            endpoint_id,
            scope,
            start_time: None,
            // So that the replay's own attempts are later.
            end_time: Some(self.now() + std::time::Duration::from_micros(1)),
            start_event: None,
            end_event: None,
            event_types: Vec::new(),
            include_delivered: false,
        }
    }

    /// Starts a replay of a scope, 100 deliveries a second.
    pub(crate) async fn replay(&self, endpoint_id: EndpointId, scope: ReplayScope) -> ReplayId {
        let selection = self.selection(endpoint_id, scope);
        self.try_replay(selection, 100).await.expect("the request is taken in")
    }

    /// Starts a replay, if the database lets it.
    pub(crate) async fn try_replay(
        &self,
        selection: ReplaySelection,
        deliveries_per_second: u32,
    ) -> Result<ReplayId, AppendError> {
        let organization = self.read_endpoint(selection.endpoint_id).await.organization_id;
        let id = ReplayId::new(new_ulid(self.now()));
        let new =
            NewReplay { selection, deliveries_per_second, matched_count: 0, may_match_more: false };
        let record = NewRecord {
            stream: Stream::Replay(id),
            expected: ExpectedVersion::New,
            fact: Fact::Replay(ReplayFact::Requested(new)),
        };
        self.append(&organization, record, None).await?;
        Ok(id)
    }

    /// Requests a replay's cancellation, if the database lets it.
    pub(crate) async fn try_cancel_replay(&self, id: ReplayId) -> Result<(), AppendError> {
        let replay = self.read_replay(id).await;
        let endpoint_id = replay.request.selection.endpoint_id;
        let record = NewRecord {
            stream: Stream::Replay(id),
            expected: ExpectedVersion::Any,
            fact: Fact::Replay(ReplayFact::Cancelled { endpoint_id }),
        };
        self.append(&replay.organization_id, record, None).await.map(drop)
    }

    pub(crate) async fn read_replay(&self, id: ReplayId) -> Replay {
        for organization in &self.organizations {
            let shard = self.shard_of(organization);
            let found = self.database.replay(shard, organization, id).await;
            if let Some(replay) = found.expect("readable") {
                return replay;
            }
        }
        panic!("{id} does not exist");
    }

    /// Deletes an event's body, as retention does.
    pub(crate) async fn erase_body(&self, event_id: EventId) {
        let organization = &self.organizations[0];
        let shard = self.shard_of(organization);
        // The first body above that position is its own.
        let before = EventId::new(ulid::Ulid(event_id.ulid().0 - 1));
        let after = Some(BodyId::Event(before));
        let erased = self.database.erase_bodies(shard, organization, after, 1).await;
        assert_eq!(erased.expect("writable").next, Some(BodyId::Event(event_id)));
    }

    /// The events of an organization.
    pub(crate) async fn events_of(&self, organization: &OrganizationId) -> BTreeSet<EventId> {
        let (shard, filter) = (self.shard_of(organization), EventFilter::default());
        let (database, all) = (&self.database, usize::MAX);
        let found = database.list_events(shard, organization, &filter, EventId::MAX, all).await;
        found.expect("readable").rows.into_iter().map(|event| event.id).collect()
    }

    /// Every replay.
    pub(crate) async fn replays(&self) -> Vec<Replay> {
        let mut replays = Vec::new();
        for organization in &self.organizations {
            let (shard, before) = (self.shard_of(organization), ReplayId::MAX);
            let (all, limit) = (ReplayFilter::default(), usize::MAX);
            let found = self.database.list_replays(shard, organization, &all, before, limit).await;
            replays.extend(found.expect("readable").rows);
        }
        replays
    }
}
