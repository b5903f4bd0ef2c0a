//! Replays: events that were accepted before, sent to an endpoint because it missed them, because
//! they failed, or because somebody wants them.
//!
//! Decision: docs/decisions/a-replay-step-is-one-operation.md

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::Timestamp;
use crate::delivery_state::DeliveryState;
use crate::document::{Document, as_text, micros};
use crate::event_type::EventType;
use crate::ids::{AttemptId, EndpointId, EventId, OrganizationId, ReplayId};
use crate::log::{Position, Version};
use crate::named_enum::named_enum;

named_enum! {
    /// What a replay sends.
    pub enum ReplayScope {
        /// Events that the endpoint was not sent because it was disabled.
        Missed = "missed",
        /// Deliveries that have failed.
        Failed = "failed",
        /// Every event.
        All = "all",
    }
}

/// An end of the events that a replay is about: an event, and where in its shard's log it was
/// accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReplayBound {
    /// The event.
    pub event_id: EventId,
    /// Where it was accepted.
    pub position: Position,
}

/// Which events a replay is about, and to whom they go.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReplaySelection {
    /// To whom.
    pub endpoint_id: EndpointId,
    /// What.
    pub scope: ReplayScope,
    /// Only what happened then or later: an event's acceptance, or, for failed deliveries, the
    /// beginning of the attempt that failed.
    #[serde(serialize_with = "micros")]
    pub start_time: Option<Timestamp>,
    /// Only what happened before. None: whatever had happened when it was asked for, by the log
    /// and not by a clock, which may lag behind that of the database.
    #[serde(serialize_with = "micros")]
    pub end_time: Option<Timestamp>,
    /// Only this event and those accepted after it.
    pub start_event: Option<ReplayBound>,
    /// Only this event and those accepted before it.
    pub end_event: Option<ReplayBound>,
    /// Only these types; empty: every type.
    pub event_types: Vec<EventType>,
    /// Whether what was delivered is sent again. Only of [`ReplayScope::All`].
    pub include_delivered: bool,
}

impl ReplaySelection {
    /// Whether a time lies between the two.
    pub fn covers_time(&self, time: Timestamp) -> bool {
        self.start_time.is_none_or(|start| start <= time)
            && self.end_time.is_none_or(|end| time < end)
    }

    /// Whether an event of this type, accepted at this position, lies between the bounds.
    pub fn covers_event(&self, event_type: EventType, position: Position) -> bool {
        self.start_event.is_none_or(|bound| bound.position <= position)
            && self.end_event.is_none_or(|bound| position <= bound.position)
            && event_type != EventType::Test
            && (self.event_types.is_empty() || self.event_types.contains(&event_type))
    }

    /// What is done about an event. `delivery` is how its delivery to the endpoint stands, None if
    /// it has none; `is_kept` whether its body still is.
    ///
    /// Of everything, what was cancelled is resumed too: whoever asks for everything has the later
    /// word, and a receiver that got an attempt of it knows it by its delivery id.
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

/// What is done about an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ReplayAction {
    /// It gets a new delivery.
    Schedule,
    /// Its delivery begins its schedule anew.
    Resume,
    /// Nothing: it was delivered, or is on its way.
    Skip,
    /// Nothing: there is nothing left to send.
    Expire,
}

/// How much was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReplayCounts {
    /// Deliveries made.
    pub scheduled: u64,
    /// Deliveries resumed.
    pub resumed: u64,
    /// Left alone: delivered, or on their way.
    pub skipped: u64,
    /// Nothing left to send.
    pub expired: u64,
}

impl ReplayCounts {
    /// One more.
    pub fn count(&mut self, action: ReplayAction) {
        match action {
            ReplayAction::Schedule => self.scheduled += 1,
            ReplayAction::Resume => self.resumed += 1,
            ReplayAction::Skip => self.skipped += 1,
            ReplayAction::Expire => self.expired += 1,
        }
    }

    /// Deliveries that are sent because of it.
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

/// How far a replay has come in what it goes through, which is sorted by one of these.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum ReplayCursor {
    /// Missed events, by the position of the record that says so.
    Missed(Position),
    /// Attempts that failed.
    Attempt(AttemptId),
    /// Events.
    Event(EventId),
}

impl ReplayCursor {
    /// Before everything that a scope goes through.
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

/// What was asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewReplay {
    /// Which events, and to whom.
    pub selection: ReplaySelection,
    /// How many deliveries a second at the most.
    pub deliveries_per_second: u32,
    /// How many deliveries it was found to come to.
    pub matched_count: u64,
    /// Counting stopped at a limit: it may come to more.
    pub may_match_more: bool,
}

/// A step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReplayStep {
    /// Behind this it goes on.
    pub cursor: ReplayCursor,
    /// What was done in it.
    pub counts: ReplayCounts,
}

/// Something that happened to a replay.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReplayFact {
    /// Somebody asked for it. It is about events that were accepted before that.
    Requested(NewReplay),
    /// It has gone a step.
    Advanced(ReplayStep),
    /// It has come to its end.
    Ended {
        /// Why before it was done; empty: it is done.
        reason: String,
    },
    /// Somebody asked for its end.
    Cancelled {
        /// The endpoint that it was for.
        endpoint_id: EndpointId,
    },
}

named_enum! {
    /// How far a replay has come.
    pub enum ReplayState {
        /// Not at its end.
        Running = "running",
        /// Everything is scheduled.
        Done = "done",
        /// Ended before it was done.
        Cancelled = "cancelled",
    }
}

/// A replay as the tables hold it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Replay {
    /// Its id.
    pub id: ReplayId,
    /// Whose it is.
    pub organization_id: OrganizationId,
    /// What was asked for.
    pub request: NewReplay,
    /// How far it has come.
    pub state: ReplayState,
    /// What was done.
    pub counts: ReplayCounts,
    /// Behind this it goes on.
    pub cursor: ReplayCursor,
    /// Where it was asked for: it is about events that were accepted before.
    pub position: Position,
    /// Who asked for it.
    pub creator: String,
    /// When it was asked for.
    #[serde(serialize_with = "micros")]
    pub create_time: Timestamp,
    /// When it ended.
    #[serde(serialize_with = "micros")]
    pub finish_time: Option<Timestamp>,
    /// Why it ended before it was done; empty otherwise.
    pub end_reason: String,
    /// How many records its stream has.
    pub version: Version,
}

impl Document for Replay {
    const VERSION: u16 = 1;
}

impl Replay {
    /// A replay that was just asked for, by the record at `position`.
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

    /// The replay after one more fact, recorded at `recorded_at`. What has ended stays ended.
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
    fn what_is_done_depends_on_the_scope_and_on_how_the_delivery_stands() {
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
    fn bounds_are_events_of_the_replay_themselves_and_tests_are_never() {
        let bound = |position| ReplayBound { event_id: EventId::MIN, position: Position(position) };
        let selection = ReplaySelection {
            start_event: Some(bound(3)),
            end_event: Some(bound(5)),
            event_types: vec![EventType::PolicyBlock],
            ..selection(ReplayScope::All)
        };
        let covered = |position| selection.covers_event(EventType::PolicyBlock, Position(position));
        assert_eq!([2, 3, 4, 5, 6].map(covered), [false, true, true, true, false]);
        assert!(!selection.covers_event(EventType::KeyRotated, Position(4)));
        assert!(!self::selection(ReplayScope::All).covers_event(EventType::Test, Position(4)));
    }

    #[test]
    fn steps_add_up_and_what_has_ended_stays_ended() {
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
