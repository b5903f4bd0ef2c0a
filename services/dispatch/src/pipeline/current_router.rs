//! The router of a shard's owner, and whether it is as the endpoints are now.

use std::sync::{Mutex, MutexGuard, PoisonError};

use keeptrusts_webhooks_domain::fact::Fact;
use keeptrusts_webhooks_domain::log::Position;
use keeptrusts_webhooks_store::Record;

use super::router::Router;

/// The router, as the log has been read, and what this process has appended since.
#[derive(Default)]
pub(crate) struct CurrentRouter(Mutex<State>);

#[derive(Default)]
pub(super) struct State {
    pub(super) router: Router,
    /// The router is as the endpoints were here.
    position: Position,
    own: OwnRecords,
}

/// The newest records without a gap that this process has appended.
#[derive(Default)]
struct OwnRecords {
    after: Position,
    last: Position,
    /// The last of them that changes an endpoint.
    last_change: Position,
}

impl CurrentRouter {
    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Begins with a router as of a position.
    pub(super) fn begin(&mut self, router: Router, position: Position) {
        *self = State { router, position, own: OwnRecords::default() };
    }

    /// The router has been told of everything up to here.
    pub(super) fn advance(&mut self, position: Position) {
        self.position = position;
    }

    /// Whether the router is as the endpoints are at the shard's last position.
    pub(super) fn is_current(&self, last_position: Position) -> bool {
        let OwnRecords { after, last, last_change } = self.own;
        self.position == last_position
            || (last == last_position && self.position >= after.max(last_change))
    }

    pub(super) fn note_own(&mut self, records: &[Record]) {
        let (Some(first), Some(last)) = (records.first(), records.last()) else { return };
        let own = &mut self.own;
        if own.last.next() != first.position {
            own.after = Position(first.position.0 - 1);
        }
        own.last = last.position;
        let mut records = records.iter().rev();
        if let Some(change) = records.find(|record| matches!(record.fact, Fact::Endpoint(_))) {
            own.last_change = change.position;
        }
    }
}

#[cfg(test)]
mod tests {
    use keeptrusts_webhooks_contracts::log_codec::Metadata;
    use keeptrusts_webhooks_domain::Timestamp;
    use keeptrusts_webhooks_domain::event_type::EventType;
    use keeptrusts_webhooks_domain::fact::{DeliveriesScheduled, EndpointFact};
    use keeptrusts_webhooks_domain::ids::{EndpointId, EventId, OperationId};
    use keeptrusts_webhooks_domain::log::{Stream, Version};

    use super::*;

    fn record(position: i64, changes_endpoint: bool) -> Record {
        let (endpoint, event) = (EndpointId::MIN, EventId::MIN);
        let (stream, fact) = match changes_endpoint {
            true => (Stream::Endpoint(endpoint), Fact::Endpoint(EndpointFact::Deleted)),
            false => {
                let scheduled = DeliveriesScheduled {
                    event_type: EventType::Test,
                    event_time: None,
                    deliveries: Vec::new(),
                    missed: Vec::new(),
                };
                (Stream::Event(event), Fact::DeliveriesScheduled(scheduled))
            }
        };
        Record {
            position: Position(position),
            stream,
            version: Version(2),
            organization_id: "acme".parse().expect("an organization"),
            fact,
            metadata: Metadata::default(),
            recorded_at: Timestamp::UNIX_EPOCH,
            operation_id: OperationId::MIN,
        }
    }

    /// A router of a position, after batches that this process has appended: their first and last
    /// positions, and the one that changes an endpoint.
    fn state(position: i64, own: &[(i64, i64, Option<i64>)]) -> State {
        let mut state = State::default();
        state.begin(Router::default(), Position(position));
        for (first, last, change) in own {
            let batch =
                (*first..=*last).map(|position| record(position, Some(position) == *change));
            state.note_own(&batch.collect::<Vec<_>>());
        }
        state
    }

    #[test]
    fn the_router_is_current_if_no_endpoint_has_changed_since() {
        for (what, position, own, last, is_current) in [
            ("all has been read", 10, &[][..], 10, true),
            ("others have appended", 10, &[], 11, false),
            ("what we appended changed no endpoint", 10, &[(11, 15, None)], 15, true),
            ("in two batches", 10, &[(11, 15, None), (16, 20, None)], 20, true),
            ("the change has not been read", 10, &[(11, 15, Some(13))], 15, false),
            ("the change has been read", 13, &[(11, 15, Some(13)), (16, 20, None)], 20, true),
            ("others have appended in between", 10, &[(11, 15, None), (18, 20, None)], 20, false),
            ("that has been read", 17, &[(11, 15, None), (18, 20, None)], 20, true),
            ("others have appended since", 17, &[(18, 20, None)], 21, false),
        ] {
            let state = state(position, own);
            assert_eq!(state.is_current(Position(last)), is_current, "{what}");
        }
    }
}
