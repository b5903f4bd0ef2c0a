//! The newest records of a shard, in memory, so that those who read along need not ask the
//! database for what this process has just appended.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use bytes::Bytes;
use keeptrusts_webhooks_domain::log::{Position, Stream};

use crate::limits::{MAX_TAIL_BYTES, MAX_TAIL_RECORDS};
use crate::operation::{BodyId, NewBody, Record};

/// A part of the log without gaps that ends with the last record this process appended.
#[derive(Default)]
pub(crate) struct Tail {
    records: VecDeque<Arc<Record>>,
    bodies: HashMap<BodyId, Bytes>,
    body_bytes: usize,
}

impl Tail {
    /// Adds records that were just committed. If others were appended in between by another
    /// process, the part before the gap is forgotten.
    pub(crate) fn extend(&mut self, records: Vec<Record>, bodies: impl IntoIterator<Item = NewBody>) {
        let Some(first) = records.first() else { return };
        let follows = self.records.back().is_none_or(|last| last.position.next() == first.position);
        if !follows {
            *self = Tail::default();
        }
        self.records.extend(records.into_iter().map(Arc::new));
        for body in bodies {
            // Exchanges of attempts are only read when somebody looks at one attempt.
            if matches!(body.id, BodyId::Event(_)) {
                self.body_bytes += body.content.len();
                self.bodies.insert(body.id, body.content);
            }
        }
        while self.records.len() > MAX_TAIL_RECORDS || self.body_bytes > MAX_TAIL_BYTES {
            self.forget_oldest();
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

    /// A remembered body.
    pub(crate) fn body(&self, id: BodyId) -> Option<Bytes> {
        self.bodies.get(&id).cloned()
    }

    fn forget_oldest(&mut self) {
        let Some(record) = self.records.pop_front() else {
            *self = Tail::default();
            return;
        };
        let event_id = match (record.stream, &record.fact) {
            (Stream::Event(id), _) if record.version.0 == 1 => Some(id),
            (_, fact) => fact.test_event(),
        };
        if let Some(body) = event_id.and_then(|id| self.bodies.remove(&BodyId::Event(id))) {
            self.body_bytes -= body.len();
        }
    }
}
