//! What a step of a replay appends. Pure.
//!
//! Decision: docs/decisions/replays-look-at-pages-of-rows.md

use keeptrusts_webhooks_domain::fact::{DeliveryFact, Fact};
use keeptrusts_webhooks_domain::ids::DeliveryId;
use keeptrusts_webhooks_domain::log::Stream;
use keeptrusts_webhooks_domain::replay::{
    Replay, ReplayAction, ReplayCounts, ReplayCursor, ReplayFact, ReplayStep,
};
use keeptrusts_webhooks_store::queries::replay_candidates::{Candidate, CandidatePage};
use keeptrusts_webhooks_store::{ExpectedVersion, NewRecord};

/// Limit for a step's deliveries: other appends wait for its commit.
const MAX_STEP_SIZE: u32 = 250;

/// How many deliveries a step may make or resume: a quarter of a second's worth.
pub(crate) fn step_size(deliveries_per_second: u32) -> usize {
    (deliveries_per_second / 4).clamp(1, MAX_STEP_SIZE) as usize
}

/// A step that is being put together.
pub(crate) struct Step {
    cursor: ReplayCursor,
    counts: ReplayCounts,
    /// Each of another delivery.
    records: Vec<NewRecord>,
    is_at_end: bool,
}

impl Step {
    /// A step that begins at the replay's cursor.
    pub(crate) fn starting_at(replay: &Replay) -> Step {
        let counts = ReplayCounts::default();
        Step { cursor: replay.cursor, counts, records: Vec::new(), is_at_end: false }
    }

    /// The position after which the next page is read.
    pub(crate) fn cursor(&self) -> ReplayCursor {
        self.cursor
    }

    /// What the step does.
    pub(crate) fn counts(&self) -> ReplayCounts {
        self.counts
    }

    /// Adds a page of candidates until the step has `room` deliveries. False: it is full, or there
    /// is nothing more.
    pub(crate) fn take(
        &mut self,
        replay: &Replay,
        page: &CandidatePage,
        room: usize,
        mut new_id: impl FnMut() -> DeliveryId,
    ) -> bool {
        let selection = &replay.request.selection;
        for candidate in &page.candidates {
            if self.records.len() >= room {
                return false;
            }
            let state = candidate.delivery.map(|delivery| delivery.state);
            let action = selection.action(state, candidate.is_kept);
            self.counts.count(action);
            self.records.extend(record(replay, candidate, action, &mut new_id));
            self.cursor = candidate.cursor;
        }
        match page.next {
            Some(next) => self.cursor = next,
            None => self.is_at_end = true,
        }
        !self.is_at_end && self.records.len() < room
    }

    /// The records of the step, the replay's own last. That one expects the replay's version from
    /// the beginning, so that the step is appended once, whoever tries it again, and not at all if
    /// the replay was cancelled.
    pub(crate) fn into_records(self, replay: &Replay) -> Vec<NewRecord> {
        let Step { cursor, counts, mut records, is_at_end } = self;
        let fact = match is_at_end && counts == ReplayCounts::default() {
            true => ReplayFact::Ended { reason: String::new() },
            false => ReplayFact::Advanced(ReplayStep { cursor, counts }),
        };
        records.push(NewRecord::following(replay, fact));
        records
    }
}

fn record(
    replay: &Replay,
    candidate: &Candidate,
    action: ReplayAction,
    new_id: &mut impl FnMut() -> DeliveryId,
) -> Option<NewRecord> {
    let (replay_id, endpoint_id) = (replay.id, replay.request.selection.endpoint_id);
    match (action, candidate.delivery) {
        (ReplayAction::Schedule, _) => Some(NewRecord {
            stream: Stream::Delivery(new_id()),
            expected: ExpectedVersion::New,
            fact: Fact::Delivery(DeliveryFact::Replayed {
                replay_id,
                event_id: candidate.event_id,
                event_type: candidate.event_type,
                event_time: candidate.event_time,
                endpoint_id,
                trace: candidate.trace.clone(),
            }),
        }),
        (ReplayAction::Resume, Some(delivery)) => Some(NewRecord {
            stream: Stream::Delivery(delivery.id),
            expected: ExpectedVersion::Exactly(delivery.version),
            fact: Fact::Delivery(DeliveryFact::Resumed { replay_id, endpoint_id }),
        }),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use keeptrusts_webhooks_domain::Timestamp;
    use keeptrusts_webhooks_domain::delivery::DeliveryState;
    use keeptrusts_webhooks_domain::event_type::EventType;
    use keeptrusts_webhooks_domain::ids::{EndpointId, EventId, ReplayId};
    use keeptrusts_webhooks_domain::log::{Position, Version};
    use keeptrusts_webhooks_domain::replay::{NewReplay, ReplayScope, ReplaySelection};
    use keeptrusts_webhooks_store::queries::replay_candidates::CandidateDelivery;
    use ulid::Ulid;

    use super::*;

    fn replay() -> Replay {
        let selection = ReplaySelection {
            endpoint_id: EndpointId::MIN,
            scope: ReplayScope::All,
            start_time: None,
            end_time: None,
            start_event: None,
            end_event: None,
            event_types: Vec::new(),
            include_delivered: false,
        };
        let request = NewReplay {
            selection,
            deliveries_per_second: 100,
            matched_count: 0,
            may_match_more: false,
        };
        let organization = "acme".parse().expect("an id");
        let (id, at) = (ReplayId::MIN, (Position(9), Timestamp::UNIX_EPOCH));
        Replay::requested(id, organization, request, "key_1".to_owned(), at)
    }

    fn cursor(number: u128) -> ReplayCursor {
        ReplayCursor::Event(EventId::new(Ulid(number)))
    }

    fn candidate(number: u128, state: Option<DeliveryState>) -> Candidate {
        let id = DeliveryId::new(Ulid(1_000 + number));
        Candidate {
            cursor: cursor(number),
            event_id: EventId::new(Ulid(number)),
            event_type: EventType::PolicyBlock,
            event_time: Some(Timestamp::UNIX_EPOCH),
            trace: None,
            delivery: state.map(|state| CandidateDelivery { id, state, version: Version(7) }),
            is_kept: true,
        }
    }

    fn take(step: &mut Step, page: &CandidatePage, room: usize) -> bool {
        let mut made = 0;
        step.take(&replay(), page, room, || {
            made += 1;
            DeliveryId::new(Ulid(made))
        })
    }

    #[test]
    fn a_step_is_a_quarter_of_a_second_and_never_too_large() {
        assert_eq!([1, 3, 100, 5_000].map(step_size), [1, 1, 25, 250]);
    }

    #[test]
    fn a_step_ends_where_its_room_does_and_counts_what_it_passes() {
        use DeliveryState::{Delivered, Failed};
        let page = CandidatePage {
            candidates: vec![
                candidate(1, Some(Delivered)),
                candidate(2, None),
                Candidate { is_kept: false, ..candidate(3, None) },
                candidate(4, Some(Failed)),
                candidate(5, Some(Delivered)),
                candidate(6, None),
            ],
            next: Some(cursor(8)),
        };
        let mut step = Step::starting_at(&replay());
        assert!(!take(&mut step, &page, 2), "full");
        // What comes after the last delivery that fits is neither lost nor counted.
        assert_eq!(step.cursor(), cursor(4));
        let counts = ReplayCounts { scheduled: 1, resumed: 1, skipped: 1, expired: 1 };
        assert_eq!(step.counts(), counts);
        let records = step.into_records(&replay());
        let expected: Vec<_> =
            records.iter().map(|record| (record.stream, record.expected)).collect();
        assert_eq!(
            expected,
            [
                (Stream::Delivery(DeliveryId::new(Ulid(1))), ExpectedVersion::New),
                (
                    Stream::Delivery(DeliveryId::new(Ulid(1_004))),
                    ExpectedVersion::Exactly(Version(7))
                ),
                (Stream::Replay(ReplayId::MIN), ExpectedVersion::Exactly(Version(1))),
            ]
        );
    }

    #[test]
    fn a_step_goes_on_to_the_next_page_and_past_what_is_no_candidate() {
        let mut step = Step::starting_at(&replay());
        let page = CandidatePage { candidates: vec![candidate(1, None)], next: Some(cursor(5)) };
        assert!(take(&mut step, &page, 2));
        assert_eq!(step.cursor(), cursor(5));
        let nothing = CandidatePage { candidates: Vec::new(), next: Some(cursor(9)) };
        assert!(take(&mut step, &nothing, 2));
        assert_eq!(step.cursor(), cursor(9));
    }

    #[test]
    fn a_replay_has_ended_when_a_step_finds_nothing_behind_the_last() {
        let last = CandidatePage { candidates: vec![candidate(1, None)], next: None };
        let mut step = Step::starting_at(&replay());
        assert!(!take(&mut step, &last, 9));
        let records = step.into_records(&replay());
        assert!(matches!(records[1].fact, Fact::Replay(ReplayFact::Advanced(_))));

        let mut step = Step::starting_at(&replay());
        assert!(!take(&mut step, &CandidatePage { candidates: Vec::new(), next: None }, 9));
        let [record] = &step.into_records(&replay())[..] else { panic!("one record") };
        assert_eq!(record.fact, Fact::Replay(ReplayFact::Ended { reason: String::new() }));
    }
}
