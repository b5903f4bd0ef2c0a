//! A process's connection to the database, which counts calls and can fail.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

use keeptrusts_webhooks_domain::Timestamp;
use keeptrusts_webhooks_domain::log::{Position, Shard};
use keeptrusts_webhooks_store::testing::intercepted::{Call, Intercepted, Interceptor};
use keeptrusts_webhooks_store::{AppendedBatch, Clock, Lease, Record, Refusal, Store, StoreError};
use tokio::sync::mpsc;

use super::database_faults::{DatabaseFaults, Fault};
use super::process_state::ProcessState;

/// Announcements between processes, as LISTEN/NOTIFY carries them.
#[derive(Default)]
pub(crate) struct Announcements(Mutex<Vec<mpsc::Sender<(Shard, Position)>>>);

impl Announcements {
    fn listen(&self) -> mpsc::Receiver<(Shard, Position)> {
        let (sender, receiver) = mpsc::channel(64);
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(sender);
        receiver
    }

    fn send(&self, hint: (Shard, Position)) {
        let listeners = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        listeners.iter().for_each(|listener| _ = listener.try_send(hint));
    }
}

/// When each shard was taken, by any process.
#[derive(Default)]
pub(crate) struct Acquisitions(Mutex<Vec<(Timestamp, Shard)>>);

impl Acquisitions {
    pub(crate) fn all(&self) -> Vec<(Timestamp, Shard)> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn note(&self, time: Timestamp, shard: Shard) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push((time, shard));
    }
}

/// Counts the calls over a connection.
#[derive(Default)]
pub(crate) struct Traffic(Mutex<CallCounts>);

#[derive(Default)]
struct CallCounts {
    calls: BTreeMap<&'static str, usize>,
    fenced_off: usize,
    largest_page: usize,
}

impl Traffic {
    /// How often each method was called.
    pub(crate) fn calls(&self) -> BTreeMap<&'static str, usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).calls.clone()
    }

    /// How many operations were refused because the shard had passed to another process.
    pub(crate) fn fenced_off(&self) -> usize {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).fenced_off
    }

    /// The largest page of deliveries that was requested.
    pub(crate) fn largest_page(&self) -> usize {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).largest_page
    }

    fn count(&self, count: impl FnOnce(&mut CallCounts)) {
        count(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

/// What all connections share.
#[derive(Clone)]
pub(crate) struct Environment {
    pub(crate) database: Arc<dyn Store>,
    pub(crate) clock: Clock,
    pub(crate) database_faults: Arc<DatabaseFaults>,
    pub(crate) announcements: Arc<Announcements>,
    pub(crate) acquisitions: Arc<Acquisitions>,
}

pub(crate) struct Connection {
    pub(crate) environment: Environment,
    pub(crate) process_state: Arc<ProcessState>,
    pub(crate) traffic: Arc<Traffic>,
    pub(crate) unreadable_shards: Arc<UnreadableShards>,
}

/// The shards whose log this process cannot read, because it has records of a newer version.
#[derive(Default)]
pub(crate) struct UnreadableShards(Mutex<BTreeSet<Shard>>);

impl UnreadableShards {
    pub(crate) fn set(&self, shard: Shard, is_unreadable: bool) {
        let mut shards = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match is_unreadable {
            true => _ = shards.insert(shard),
            false => _ = shards.remove(&shard),
        }
    }

    fn is_of(&self, shard: Shard) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).contains(&shard)
    }
}

impl Connection {
    pub(super) fn open(self) -> Arc<dyn Store> {
        Arc::new(Intercepted::new(Arc::clone(&self.environment.database), self))
    }
}

impl Interceptor for Connection {
    async fn around<T: Send>(
        &self,
        call: Call<'_>,
        work: impl Future<Output = Result<T, StoreError>> + Send,
    ) -> Result<T, StoreError> {
        self.process_state.running().await;
        self.traffic.count(|counts| {
            *counts.calls.entry(call.method).or_default() += 1;
            if call.method == "due_deliveries" {
                counts.largest_page = counts.largest_page.max(call.limit.unwrap_or(0));
            }
        });
        self.environment.database_faults.delay().await;
        // A call does not arrive if its process is killed or frozen on the way.
        self.process_state.running().await;
        let faults = &self.environment.database_faults;
        let newer_table = call.table.filter(|table| faults.is_newer(table));
        let fault = faults.fault(call.method);
        let result = match fault {
            Some(Fault::Unavailable) => Err(StoreError::Unavailable("simulated".into())),
            Some(Fault::LostBefore) => Err(StoreError::Unknown("simulated".into())),
            Some(Fault::LostAfter) => work.await.and(Err(StoreError::Unknown("simulated".into()))),
            None => match newer_table {
                Some(table) => Err(StoreError::Newer { table, found: 9, known: 1 }),
                None => work.await,
            },
        };
        self.environment.database_faults.delay().await;
        self.process_state.running().await;
        result
    }

    fn appended(&self, batch: &AppendedBatch) {
        let results = batch.results.iter();
        let is_fenced_off =
            |result: &&Result<_, _>| matches!(result, Err(Refusal::LeaseLost { .. }));
        let fenced_off = results.filter(is_fenced_off).count();
        self.traffic.count(|counts| counts.fenced_off += fenced_off);
    }

    fn has_read(&self, shard: Shard, records: &[Record]) -> Result<(), StoreError> {
        match self.unreadable_shards.is_of(shard) && !records.is_empty() {
            true => Err(StoreError::Unreadable("a record of an unknown kind".to_owned())),
            false => Ok(()),
        }
    }

    fn granted(&self, lease: Lease) {
        self.environment.acquisitions.note((self.environment.clock)(), lease.shard);
    }

    fn take_hints(&self, store: &dyn Store) -> Option<mpsc::Receiver<(Shard, Position)>> {
        store.is_shared().then(|| self.environment.announcements.listen())
    }

    fn announce(&self, _store: &dyn Store, shard: Shard, position: Position) {
        if !self.environment.database_faults.loses_hint() {
            self.environment.announcements.send((shard, position));
        }
    }
}
