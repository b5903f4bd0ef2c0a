//! The database as one process sees it: through a connection that counts, and that can fail.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

use keeptrusts_webhooks_domain::Timestamp;
use keeptrusts_webhooks_domain::log::{Position, Shard};
use keeptrusts_webhooks_store::testing::intercepted::{Call, Intercepted, Interceptor};
use keeptrusts_webhooks_store::{AppendedBatch, Clock, Lease, Record, Refusal, Store, StoreError};
use tokio::sync::mpsc;

use super::power::Power;
use super::weather::{Fault, Weather};

/// The other processes' announcements, as LISTEN/NOTIFY carries them.
#[derive(Default)]
pub(crate) struct Hints(Mutex<Vec<mpsc::Sender<(Shard, Position)>>>);

impl Hints {
    fn listen(&self) -> mpsc::Receiver<(Shard, Position)> {
        let (sender, receiver) = mpsc::channel(64);
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(sender);
        receiver
    }

    fn tell(&self, hint: (Shard, Position)) {
        let listeners = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        listeners.iter().for_each(|listener| _ = listener.try_send(hint));
    }
}

/// When which shard was taken by somebody.
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

/// What went over a connection.
#[derive(Default)]
pub(crate) struct Traffic(Mutex<Counts>);

#[derive(Default)]
struct Counts {
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

    /// The most deliveries that were asked for at once.
    pub(crate) fn largest_page(&self) -> usize {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).largest_page
    }

    fn count(&self, count: impl FnOnce(&mut Counts)) {
        count(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

/// What all connections have in common.
#[derive(Clone)]
pub(crate) struct Backbone {
    pub(crate) database: Arc<dyn Store>,
    pub(crate) clock: Clock,
    pub(crate) weather: Arc<Weather>,
    pub(crate) hints: Arc<Hints>,
    pub(crate) acquisitions: Arc<Acquisitions>,
}

pub(crate) struct Connection {
    pub(crate) backbone: Backbone,
    pub(crate) power: Arc<Power>,
    pub(crate) traffic: Arc<Traffic>,
    pub(crate) ignorance: Arc<Ignorance>,
}

/// The shards whose log this process cannot read: records of a newer version are in it.
#[derive(Default)]
pub(crate) struct Ignorance(Mutex<BTreeSet<Shard>>);

impl Ignorance {
    pub(crate) fn set(&self, shard: Shard, is_ignorant: bool) {
        let mut shards = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match is_ignorant {
            true => _ = shards.insert(shard),
            false => _ = shards.remove(&shard),
        }
    }

    fn is_of(&self, shard: Shard) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).contains(&shard)
    }
}

impl Connection {
    /// The database as whoever has this connection sees it.
    pub(super) fn open(self) -> Arc<dyn Store> {
        Arc::new(Intercepted::new(Arc::clone(&self.backbone.database), self))
    }
}

impl Interceptor for Connection {
    async fn around<T: Send>(
        &self,
        call: Call<'_>,
        work: impl Future<Output = Result<T, StoreError>> + Send,
    ) -> Result<T, StoreError> {
        self.power.running().await;
        self.traffic.count(|counts| {
            *counts.calls.entry(call.method).or_default() += 1;
            if call.method == "due_deliveries" {
                counts.largest_page = counts.largest_page.max(call.limit.unwrap_or(0));
            }
        });
        self.backbone.weather.delay().await;
        // Whoever is killed or frozen on the way to the database does not get there.
        self.power.running().await;
        let fault = self.backbone.weather.fault(call.method);
        let result = match fault {
            Some(Fault::Unavailable) => Err(StoreError::Unavailable("simulated".into())),
            Some(Fault::LostBefore) => Err(StoreError::Unknown("simulated".into())),
            Some(Fault::LostAfter) => work.await.and(Err(StoreError::Unknown("simulated".into()))),
            None => work.await,
        };
        self.backbone.weather.delay().await;
        self.power.running().await;
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
        match self.ignorance.is_of(shard) && !records.is_empty() {
            true => Err(StoreError::Unreadable("a record of an unknown kind".to_owned())),
            false => Ok(()),
        }
    }

    fn granted(&self, lease: Lease) {
        self.backbone.acquisitions.note((self.backbone.clock)(), lease.shard);
    }

    fn take_hints(&self, store: &dyn Store) -> Option<mpsc::Receiver<(Shard, Position)>> {
        store.is_shared().then(|| self.backbone.hints.listen())
    }

    fn announce(&self, _store: &dyn Store, shard: Shard, position: Position) {
        if !self.backbone.weather.loses_hint() {
            self.backbone.hints.tell((shard, position));
        }
    }
}
