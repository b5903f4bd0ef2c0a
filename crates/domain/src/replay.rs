//! Replays: they send past events to an endpoint that missed them, that failed to take them, or that
//! should get them again.
//!
//! Decision: docs/decisions/a-replay-step-is-one-operation.md

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::Timestamp;
use crate::delivery_state::DeliveryState;
use crate::document::{Document, as_text, micros};
use crate::event::Event;
use crate::event_type::EventType;
use crate::ids::{AttemptId, EndpointId, EventId, OrganizationId, ReplayId};
use crate::log::{Position, Version};
use crate::named_enum::named_enum;

named_enum! {
    /// Which events a replay sends.
    pub enum ReplayScope {
        /// Events that were not sent because the endpoint was disabled.
        Missed = "missed",
        /// Events whose delivery has failed.
        Failed = "failed",
        /// Every event.
        All = "all",
    }
}

/// The first or the last event of a replay, and its position in the shard's log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReplayBound {
    /// The event.
    pub event_id: EventId,
    /// The position of the event's first record.
    pub position: Position,
}

/// Which events a replay sends, and to which endpoint.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReplaySelection {
    /// The endpoint to send them to.
    pub endpoint_id: EndpointId,
    /// Which events.
    pub scope: ReplayScope,
    /// Only events that were accepted then or later; for failed deliveries, only those whose failed
    /// attempt began then or later.
    #[serde(serialize_with = "micros")]
    pub start_time: Option<Timestamp>,
    /// Only what happened before that time. None: everything that was in the log when the replay was
    /// requested. (The log decides, because a clock may lag behind the clock of the database.)
    #[serde(serialize_with = "micros")]
    pub end_time: Option<Timestamp>,
    /// Only this event and the events that were accepted after it.
    pub start_event: Option<ReplayBound>,
    /// Only this event and the events that were accepted before it.
    pub end_event: Option<ReplayBound>,
    /// Only these types. Empty: every type.
    pub event_types: Vec<EventType>,
    /// Whether delivered events are sent again. Only with [`ReplayScope::All`].
    pub include_delivered: bool,
}

impl ReplaySelection {
    /// Whether a time is within `start_time` and `end_time`.
    pub fn covers_time(&self, time: Timestamp) -> bool {
        self.start_time.is_none_or(|start| start <= time)
            && self.end_time.is_none_or(|end| time < end)
    }

    /// Whether an event is within the events and types of the selection. Tests never are.
    pub fn covers_event(&self, event: &Event) -> bool {
        self.start_event.is_none_or(|bound| bound.position <= event.position)
            && self.end_event.is_none_or(|bound| event.position <= bound.position)
            && !event.is_test
            && (self.event_types.is_empty() || self.event_types.contains(&event.event_type))
    }

    /// What the replay does with an event. `delivery` is the state of its delivery to the endpoint,
    /// None if it has none. `is_kept` says whether the event's body is still kept.
    ///
    /// With [`ReplayScope::All`] cancelled deliveries are resumed too: the replay is the later request,
    /// and a receiver that already got an attempt recognises the delivery's id.
    pub fn action(&self, delivery: Option<DeliveryState>, is_kept: bool) -> ReplayAction {
        let wanted = match (self.scope, delivery) {
            (ReplayScope::Missed | ReplayScope::All, None) => ReplayAction::Schedule,
            (ReplayScope::Failed | ReplayScope::All, Some(DeliveryState::Failed))
            | (ReplayScope::All, Some(DeliveryState::Cancelled)) => ReplayAction::Resume,
            (ReplayScope::All, Some(DeliveryState::Delivered)) if self.include_delivered => {
                ReplayAction::Schedule
            }
            _ => return ReplayAction::Skip,
        };
        if is_kept { wanted } else { ReplayAction::Expire }
    }
}

/// What a replay does with an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ReplayAction {
    /// Creates a delivery.
    Schedule,
    /// Restarts the schedule of its delivery.
    Resume,
    /// Nothing, because it was delivered or its delivery has not ended.
    Skip,
    /// Nothing, because its body is no longer kept.
    Expire,
}

/// How many events a replay has handled, by action.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReplayCounts {
    /// Deliveries that were created.
    pub scheduled: u64,
    /// Deliveries that were resumed.
    pub resumed: u64,
    /// Events that were skipped.
    pub skipped: u64,
    /// Events whose body is no longer kept.
    pub expired: u64,
}

impl ReplayCounts {
    /// Counts one more event with this action.
    pub fn count(&mut self, action: ReplayAction) {
        match action {
            ReplayAction::Schedule => self.scheduled += 1,
            ReplayAction::Resume => self.resumed += 1,
            ReplayAction::Skip => self.skipped += 1,
            ReplayAction::Expire => self.expired += 1,
        }
    }

    /// The deliveries that are sent because of the replay.
    pub fn sent(&self) -> u64 {
        self.scheduled + self.resumed
    }

    fn add(&mut self, other: &ReplayCounts) {
        self.scheduled += other.scheduled;
        self.resumed += other.resumed;
        self.skipped += other.skipped;
        self.expired += other.expired;
    }
}

/// How far a replay has read its list. What the list is sorted by depends on the scope.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum ReplayCursor {
    /// Missed events, sorted by the position of the record that says that they were missed.
    Missed(Position),
    /// Failed attempts, sorted by id.
    Attempt(AttemptId),
    /// Events, sorted by id.
    Event(EventId),
}

impl ReplayCursor {
    /// The start of the list for a scope.
    pub fn start(scope: ReplayScope) -> ReplayCursor {
        match scope {
            ReplayScope::Missed => ReplayCursor::Missed(Position::START),
            ReplayScope::Failed => ReplayCursor::Attempt(AttemptId::MIN),
            ReplayScope::All => ReplayCursor::Event(EventId::MIN),
        }
    }
}

impl fmt::Display for ReplayCursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ReplayCursor::Missed(position) => position.fmt(f),
            ReplayCursor::Attempt(id) => id.fmt(f),
            ReplayCursor::Event(id) => id.fmt(f),
        }
    }
}

/// A text that is not a cursor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("is not a replay's cursor")]
pub struct InvalidCursor;

impl FromStr for ReplayCursor {
    type Err = InvalidCursor;

    fn from_str(text: &str) -> Result<Self, InvalidCursor> {
        if text.starts_with(AttemptId::PREFIX) {
            return text.parse().map(ReplayCursor::Attempt).map_err(|_| InvalidCursor);
        }
        if text.starts_with(EventId::PREFIX) {
            return text.parse().map(ReplayCursor::Event).map_err(|_| InvalidCursor);
        }
        text.parse().map(|number| ReplayCursor::Missed(Position(number))).map_err(|_| InvalidCursor)
    }
}

as_text!(ReplayCursor);

/// A requested replay.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewReplay {
    /// Which events, and to which endpoint.
    pub selection: ReplaySelection,
    /// The most deliveries that are scheduled in a second.
    pub deliveries_per_second: u32,
    /// The deliveries that it was counted to schedule, at the time of the request.
    pub matched_count: u64,
    /// Whether counting stopped at a limit, so that there may be more.
    pub may_match_more: bool,
}

/// One step of a replay.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReplayStep {
    /// How far the step has read; the next one begins after it.
    pub cursor: ReplayCursor,
    /// What the step did.
    pub counts: ReplayCounts,
}

/// Something that happened to a replay.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReplayFact {
    /// A user requested the replay. It is about events that were accepted before that.
    Requested(NewReplay),
    /// The replay has made a step.
    Advanced(ReplayStep),
    /// The replay has ended.
    Ended {
        /// Why it ended early, for people to read. Empty: it is done.
        reason: String,
    },
    /// A user cancelled the replay.
    Cancelled {
        /// The endpoint of the replay.
        endpoint_id: EndpointId,
    },
}

named_enum! {
    /// The progress of a replay.
    pub enum ReplayState {
        /// It has not ended.
        Running = "running",
        /// It has scheduled everything.
        Done = "done",
        /// It ended early.
        Cancelled = "cancelled",
    }
}

/// A replay as the tables hold it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Replay {
    /// The replay's id.
    pub id: ReplayId,
    /// The organization that owns it.
    pub organization_id: OrganizationId,
    /// What was requested.
    pub request: NewReplay,
    /// Its state.
    pub state: ReplayState,
    /// What it has done so far.
    pub counts: ReplayCounts,
    /// How far it has read; the next step begins after it.
    pub cursor: ReplayCursor,
    /// The position of its first record. It is about events that were accepted before.
    pub position: Position,
    /// The actor that requested it, as in the log.
    pub creator: String,
    /// When it was requested.
    #[serde(serialize_with = "micros")]
    pub create_time: Timestamp,
    /// When it ended. None while it is running.
    #[serde(serialize_with = "micros")]
    pub finish_time: Option<Timestamp>,
    /// Why it ended early, for people to read. Empty otherwise.
    pub end_reason: String,
    /// The number of records in its stream.
    pub version: Version,
}

impl Document for Replay {
    const VERSION: u16 = 1;
    const HIDDEN_FIELDS: &'static [&'static str] = &[];
}

impl Replay {
    /// The replay after its Requested fact, which is in the record at `position`.
    pub fn requested(
        id: ReplayId,
        organization_id: OrganizationId,
        request: NewReplay,
        creator: String,
        (position, recorded_at): (Position, Timestamp),
    ) -> Replay {
        Replay {
            id,
            organization_id,
            state: ReplayState::Running,
            counts: ReplayCounts::default(),
            cursor: ReplayCursor::start(request.selection.scope),
            request,
            position,
            creator,
            create_time: recorded_at,
            finish_time: None,
            end_reason: String::new(),
            version: Version(1),
        }
    }

    /// The replay after one more fact, recorded at `recorded_at`. A replay that has ended stays ended.
    pub fn apply(&mut self, fact: &ReplayFact, recorded_at: Timestamp) {
        self.version = self.version.next();
        if self.state != ReplayState::Running {
            return;
        }
        let (state, reason) = match fact {
            ReplayFact::Requested(_) => return,
            ReplayFact::Advanced(step) => {
                self.cursor = step.cursor;
                self.counts.add(&step.counts);
                return;
            }
            ReplayFact::Ended { reason } if reason.is_empty() => (ReplayState::Done, ""),
            ReplayFact::Ended { reason } => (ReplayState::Cancelled, reason.as_str()),
            ReplayFact::Cancelled { .. } => (ReplayState::Cancelled, "cancelled on request"),
        };
        self.state = state;
        self.end_reason = reason.to_owned();
        self.finish_time = Some(recorded_at);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::ContentDigest;

    fn selection(scope: ReplayScope) -> ReplaySelection {
        ReplaySelection {
            endpoint_id: EndpointId::MIN,
            scope,
            start_time: None,
            end_time: None,
            start_event: None,
            end_event: None,
            event_types: Vec::new(),
            include_delivered: false,
        }
    }

    fn replay() -> Replay {
        let request = NewReplay {
            selection: selection(ReplayScope::All),
            deliveries_per_second: 100,
            matched_count: 3,
            may_match_more: false,
        };
        let organization = "acme".parse().expect("an id");
        let (id, at) = (ReplayId::MIN, (Position(9), Timestamp::UNIX_EPOCH));
        Replay::requested(id, organization, request, "key_1".to_owned(), at)
    }

    #[test]
    fn the_action_depends_on_the_scope_and_on_the_state_of_the_delivery() {
        use DeliveryState::*;
        use ReplayAction::{Resume, Schedule, Skip};
        let states =
            [None, Some(Scheduled), Some(Retrying), Some(Delivered), Some(Failed), Some(Cancelled)];
        let again = ReplaySelection { include_delivered: true, ..selection(ReplayScope::All) };
        for (selection, expected) in [
            (selection(ReplayScope::Missed), [Schedule, Skip, Skip, Skip, Skip, Skip]),
            (selection(ReplayScope::Failed), [Skip, Skip, Skip, Skip, Resume, Skip]),
            (selection(ReplayScope::All), [Schedule, Skip, Skip, Skip, Resume, Resume]),
            (again, [Schedule, Skip, Skip, Schedule, Resume, Resume]),
        ] {
            assert_eq!(states.map(|state| selection.action(state, true)), expected);
            let without_body = states.map(|state| selection.action(state, false));
            let expired = expected.map(|action| match action {
                Skip => Skip,
                _ => ReplayAction::Expire,
            });
            assert_eq!(without_body, expired);
        }
    }

    #[test]
    fn both_bounds_are_included_and_tests_never_are() {
        let bound = |position| ReplayBound { event_id: EventId::MIN, position: Position(position) };
        let selection = ReplaySelection {
            start_event: Some(bound(3)),
            end_event: Some(bound(5)),
            event_types: vec![EventType::PolicyBlock],
            ..selection(ReplayScope::All)
        };
        let event = |event_type, position| Event {
            id: EventId::MIN,
            organization_id: "acme".parse().expect("an id"),
            event_type,
            is_test: false,
            event_time: Timestamp::UNIX_EPOCH,
            create_time: Timestamp::UNIX_EPOCH,
            body: ContentDigest::of(b""),
            idempotency: None,
            trace_id: None,
            publisher: String::new(),
            position: Position(position),
        };
        let block = |position| event(EventType::PolicyBlock, position);
        let covered = |position| selection.covers_event(&block(position));
        assert_eq!([2, 3, 4, 5, 6].map(covered), [false, true, true, true, false]);
        assert!(!selection.covers_event(&event(EventType::KeyRotated, 4)));
        // Of a type that the selection names.
        assert!(!selection.covers_event(&Event { is_test: true, ..block(4) }));
    }

    #[test]
    fn steps_add_up_and_a_replay_that_has_ended_stays_ended() {
        let mut replay = replay();
        let cursor = ReplayCursor::Event(EventId::MAX);
        let counts = ReplayCounts { scheduled: 2, resumed: 1, skipped: 4, expired: 1 };
        let step = ReplayFact::Advanced(ReplayStep { cursor, counts });
        replay.apply(&step, Timestamp::UNIX_EPOCH);
        replay.apply(&step, Timestamp::UNIX_EPOCH);
        assert_eq!((replay.counts.sent(), replay.counts.skipped, replay.cursor), (6, 8, cursor));
        let endpoint_id = EndpointId::MIN;
        replay.apply(&ReplayFact::Cancelled { endpoint_id }, Timestamp::UNIX_EPOCH);
        let cancelled = replay.clone();
        replay.apply(&ReplayFact::Ended { reason: String::new() }, Timestamp::MAX);
        replay.apply(&step, Timestamp::MAX);
        assert_eq!(replay, Replay { version: Version(6), ..cancelled });
        assert_eq!(replay.state, ReplayState::Cancelled);
    }

    #[test]
    fn a_cursor_is_read_back_from_its_text() {
        for cursor in [
            ReplayCursor::Missed(Position(7)),
            ReplayCursor::Attempt(AttemptId::MAX),
            ReplayCursor::Event(EventId::MIN),
        ] {
            assert_eq!(cursor.to_string().parse(), Ok(cursor));
        }
        assert_eq!("dlv_1".parse::<ReplayCursor>(), Err(InvalidCursor));
    }
}
