//! The keys and sessions that this process has ended lately, so that a cache of valid keys learns at
//! once that one of them is not valid any more.
//!
//! Decision: docs/decisions/a-process-knows-the-keys-that-it-ended.md

use std::collections::{HashSet, VecDeque};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use keeptrusts_webhooks_domain::fact::Fact;
use keeptrusts_webhooks_domain::ids::KeyId;
use keeptrusts_webhooks_domain::key::KeyFact;
use keeptrusts_webhooks_domain::log::Stream;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::log::operation::Operation;

/// How long an end is remembered: longer than a query that read the key before its end may take,
/// and longer than any cache keeps the result.
const END_LIFETIME: Duration = Duration::from_secs(60);

/// The recent ends of one shard's keys.
#[derive(Debug, Default)]
pub(crate) struct EndedKeys {
    recent: Mutex<RecentIds>,
    /// How many ends there were, ever.
    count: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct RecentIds {
    ids: HashSet<KeyId>,
    by_time: VecDeque<(Instant, KeyId)>,
}

impl EndedKeys {
    /// Notes the keys that a committed operation has ended. Called before its caller is answered.
    pub(crate) fn note(&self, operation: &Operation) {
        let records = operation.records.iter();
        let ended = records.filter_map(|record| match (&record.stream, &record.fact) {
            (Stream::Key(id), Fact::Key(KeyFact::Revoked | KeyFact::SessionEnded)) => Some(*id),
            _ => None,
        });
        for id in ended {
            self.recent.lock().unwrap_or_else(PoisonError::into_inner).add(id, Instant::now());
            self.count.send_modify(|count| *count += 1);
        }
    }

    pub(crate) fn contains(&self, id: KeyId) -> bool {
        self.recent.lock().unwrap_or_else(PoisonError::into_inner).ids.contains(&id)
    }

    pub(crate) fn watch(&self) -> watch::Receiver<u64> {
        self.count.subscribe()
    }
}

impl RecentIds {
    fn add(&mut self, id: KeyId, now: Instant) {
        while let Some((time, old)) = self.by_time.front()
            && now.duration_since(*time) > END_LIFETIME
        {
            self.ids.remove(old);
            self.by_time.pop_front();
        }
        if self.ids.insert(id) {
            self.by_time.push_back((now, id));
        }
    }
}

#[cfg(test)]
mod tests {
    use ulid::Ulid;

    use super::*;

    #[test]
    fn ends_are_remembered_for_a_while() {
        let (mut recent, begin) = (RecentIds::default(), Instant::now());
        let [one, two] = [1, 2].map(|number| KeyId::new(Ulid(number)));
        recent.add(one, begin);
        recent.add(one, begin + END_LIFETIME);
        recent.add(two, begin + END_LIFETIME);
        assert!(recent.ids.contains(&one));
        recent.add(two, begin + END_LIFETIME + Duration::from_secs(1));
        assert_eq!((recent.ids, recent.by_time.len()), (HashSet::from([two]), 1));
    }
}
