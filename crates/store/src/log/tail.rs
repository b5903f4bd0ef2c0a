//! The newest records of a shard, in memory, so that followers need not ask the database for what
//! this process has just appended.
//!
//! Decision: docs/decisions/readers-follow-from-memory.md

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use bytes::Bytes;
use keeptrusts_webhooks_domain::log::Position;

use crate::limits::{MAX_TAIL_BYTES, MAX_TAIL_RECORDS};
use crate::log::operation::{BodyId, NewBody, Record};

/// A part of the log without gaps, which ends with the last record that this process appended.
#[derive(Default)]
pub(crate) struct Tail {
    records: VecDeque<Arc<Record>>,
    /// Of events. They are kept longer than the records that they came with: where an event goes to
    /// many endpoints, its body is needed until the last of them has been sent it.
    bodies: HashMap<BodyId, Bytes>,
    /// In the order in which they came.
    body_ids: VecDeque<BodyId>,
    body_bytes: usize,
}

impl Tail {
    /// Adds records that were just committed. If another process has appended some in between, the
    /// part before the gap is forgotten.
    pub(crate) fn extend(
        &mut self,
        records: Vec<Record>,
        bodies: impl IntoIterator<Item = NewBody>,
    ) {
        let Some(first) = records.first() else { return };
        let follows = self.records.back().is_none_or(|last| last.position.next() == first.position);
        if !follows {
            *self = Tail::default();
        }
        self.records.extend(records.into_iter().map(Arc::new));
        for body in bodies {
            // Bodies of attempts are read only when somebody looks at one attempt.
            if matches!(body.id, BodyId::Event(_)) {
                self.body_bytes += body.content.len();
                self.body_ids.push_back(body.id);
                self.bodies.insert(body.id, body.content);
            }
        }
        let excess = self.records.len().saturating_sub(MAX_TAIL_RECORDS);
        self.records.drain(..excess);
        while self.body_bytes > MAX_TAIL_BYTES {
            let Some(oldest) = self.body_ids.pop_front() else { break };
            let forgotten = self.bodies.remove(&oldest);
            self.body_bytes -= forgotten.map_or(0, |body| body.len());
        }
    }

    /// Up to `limit` records after a position, or None if that part is not remembered.
    pub(crate) fn read(&self, after: Position, limit: usize) -> Option<Vec<Arc<Record>>> {
        let first = self.records.front()?.position;
        let last = self.records.back()?.position;
        if after.next() < first || after >= last {
            return None;
        }
        // Positions have no gap, so a position is an index.
        let skip = (after.next().0 - first.0) as usize;
        Some(self.records.iter().skip(skip).take(limit).cloned().collect())
    }

    pub(crate) fn body(&self, id: BodyId) -> Option<Bytes> {
        self.bodies.get(&id).cloned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::operation::Operation;
    use crate::log::plan::{LockedShard, plan};
    use crate::testing::conformance::given::{
        delivery_id, endpoint_id, event_id, publish, request_test,
    };
    use keeptrusts_webhooks_domain::Timestamp;
    use keeptrusts_webhooks_domain::ids::EventId;

    /// An event's operation with a body of this size.
    fn with_body(size: usize) -> (BodyId, Operation) {
        let event = event_id();
        (BodyId::Event(event), body_of(publish(event), event, size))
    }

    fn body_of(operation: Operation, event: EventId, size: usize) -> Operation {
        operation.with_body(BodyId::Event(event), vec![0; size], Timestamp::MAX)
    }

    /// Adds operations as they are appended after a position.
    fn extend(tail: &mut Tail, after: i64, operations: &[Operation]) {
        let locked = LockedShard { last_position: Position(after), ..LockedShard::default() };
        let plan = plan(operations, locked, Timestamp::UNIX_EPOCH).expect("the log is sound");
        let bodies = operations.iter().flat_map(|operation| operation.bodies.clone());
        tail.extend(plan.records, bodies);
    }

    fn positions(tail: &Tail, after: i64, limit: usize) -> Option<Vec<i64>> {
        let records = tail.read(Position(after), limit)?;
        Some(records.iter().map(|record| record.position.0).collect())
    }

    #[test]
    fn it_has_the_records_that_it_remembers_and_no_others() {
        let mut tail = Tail::default();
        assert_eq!(positions(&tail, 0, 10), None);
        extend(&mut tail, 5, &[with_body(1).1, with_body(1).1]);
        extend(&mut tail, 7, &[with_body(1).1]);
        assert_eq!(positions(&tail, 5, 10), Some(vec![6, 7, 8]));
        assert_eq!(positions(&tail, 6, 1), Some(vec![7]));
        assert_eq!(positions(&tail, 4, 10), None, "5 is not remembered");
        assert_eq!(positions(&tail, 8, 10), None, "there may be more in the database");
    }

    #[test]
    fn records_before_a_gap_are_forgotten_with_their_bodies() {
        let mut tail = Tail::default();
        let ((old, first), (new, second)) = (with_body(3), with_body(4));
        extend(&mut tail, 0, &[first]);
        extend(&mut tail, 4, &[second]);
        assert_eq!(positions(&tail, 0, 10), None);
        assert_eq!(positions(&tail, 4, 10), Some(vec![5]));
        assert_eq!(tail.body(old), None);
        assert_eq!(tail.body(new).map(|body| body.len()), Some(4));
        assert_eq!(tail.body_bytes, 4);
    }

    #[test]
    fn invariant_9_it_keeps_a_limited_number_of_records() {
        let mut tail = Tail::default();
        let operations: Vec<_> = (0..MAX_TAIL_RECORDS + 10).map(|_| publish(event_id())).collect();
        extend(&mut tail, 0, &operations);
        assert_eq!(tail.records.len(), MAX_TAIL_RECORDS);
        assert_eq!(positions(&tail, 9, 1), None);
        assert_eq!(positions(&tail, 10, 1), Some(vec![11]));
    }

    #[test]
    fn bodies_are_kept_longer_than_their_records() {
        let mut tail = Tail::default();
        let (id, operation) = with_body(3);
        extend(&mut tail, 0, &[operation]);
        let operations: Vec<_> = (0..MAX_TAIL_RECORDS).map(|_| publish(event_id())).collect();
        extend(&mut tail, 1, &operations);
        assert_eq!(positions(&tail, 0, 1), None);
        assert_eq!(tail.body(id).map(|body| body.len()), Some(3));
    }

    #[test]
    fn invariant_9_it_keeps_a_limited_number_of_bytes() {
        let mut tail = Tail::default();
        let (event, test) = (event_id(), event_id());
        let operations = [
            body_of(publish(event), event, MAX_TAIL_BYTES / 2),
            body_of(request_test(delivery_id(), test, endpoint_id()), test, MAX_TAIL_BYTES / 2),
        ];
        extend(&mut tail, 0, &operations);
        assert_eq!(positions(&tail, 0, 10), Some(vec![1, 2]), "exactly full");
        let (newest, operation) = with_body(MAX_TAIL_BYTES / 2 + 1);
        extend(&mut tail, 2, &[operation]);
        assert_eq!((tail.body(BodyId::Event(event)), tail.body(BodyId::Event(test))), (None, None));
        assert!(tail.body(newest).is_some());
        assert_eq!(tail.body_bytes, MAX_TAIL_BYTES / 2 + 1);
        let (larger_than_all_that_it_keeps, operation) = with_body(MAX_TAIL_BYTES + 1);
        extend(&mut tail, 3, &[operation]);
        assert_eq!(tail.body(larger_than_all_that_it_keeps), None);
        assert_eq!((tail.body_bytes, tail.body_ids.len()), (0, 0));
    }
}
