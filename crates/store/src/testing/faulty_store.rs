//! A store in memory that fails on request, and counts its calls.

use std::collections::{BTreeSet, VecDeque};
use std::future::Future;
use std::ops::Deref;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use keeptrusts_webhooks_domain::Timestamp;
use keeptrusts_webhooks_domain::ids::OperationId;
use keeptrusts_webhooks_domain::log::{Position, Shard};
use tokio::sync::{Semaphore, mpsc};

use super::intercepted::{Call, Intercepted, Interceptor};
use super::memory::MemoryStore;
use crate::database_problem::DatabaseProblem;
use crate::error::StoreError;
use crate::store::Store;

/// How one append fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The database cannot be reached.
    Unavailable,
    /// The commit's answer is lost, and it did not happen.
    LostBefore,
    /// The commit's answer is lost, and it did happen.
    LostAfter,
    /// It waits until the gate is opened.
    Slow,
    /// It waits until the gate is opened and is committed; then the answer is lost.
    SlowThenLostAfter,
}

/// The faults to come, and the calls so far.
pub(crate) struct Faults {
    /// One for each of the next appends. Later ones succeed.
    pub(crate) faults: Mutex<VecDeque<Fault>>,
    /// Shards whose row another transaction holds.
    pub(crate) locked: Mutex<BTreeSet<Shard>>,
    /// A batch with this operation fails as a whole.
    pub(crate) culprit: Mutex<Option<OperationId>>,
    /// How many of the next look-ups fail.
    pub(crate) failing_lookups: AtomicUsize,
    /// How many of the next reads of records fail.
    pub(crate) failing_reads: AtomicUsize,
    /// The announcements of other processes.
    pub(crate) hints: Mutex<Option<mpsc::Receiver<(Shard, Position)>>>,
    gate: Semaphore,
    batches: Mutex<Vec<usize>>,
    reads: AtomicUsize,
    states: AtomicUsize,
    closed: AtomicUsize,
    tries: AtomicUsize,
}

pub(crate) type FaultyStore = Intercepted<Faults>;

impl Deref for FaultyStore {
    type Target = Faults;

    fn deref(&self) -> &Faults {
        self.interceptor()
    }
}

impl FaultyStore {
    pub(crate) fn failing(faults: impl IntoIterator<Item = Fault>) -> Arc<FaultyStore> {
        FaultyStore::of_shards(1, faults)
    }

    /// With `count` shards. Each fault is for the next append, whatever its shard.
    pub(crate) fn of_shards(
        count: u16,
        faults: impl IntoIterator<Item = Fault>,
    ) -> Arc<FaultyStore> {
        let faults = Faults {
            faults: Mutex::new(faults.into_iter().collect()),
            locked: Mutex::default(),
            culprit: Mutex::default(),
            failing_lookups: AtomicUsize::new(0),
            failing_reads: AtomicUsize::new(0),
            hints: Mutex::default(),
            gate: Semaphore::new(0),
            batches: Mutex::default(),
            reads: AtomicUsize::new(0),
            states: AtomicUsize::new(0),
            closed: AtomicUsize::new(0),
            tries: AtomicUsize::new(0),
        };
        let store = MemoryStore::shared(count, Arc::new(Timestamp::now));
        Arc::new(Intercepted::new(Arc::new(store), faults))
    }
}

impl Faults {
    /// Lets one slow append go on.
    pub(crate) fn open_gate(&self) {
        self.gate.add_permits(1);
    }

    /// The operations of each append so far.
    pub(crate) fn batches(&self) -> Vec<usize> {
        self.batches.lock().expect("not poisoned").clone()
    }

    /// How often records or bodies were read.
    pub(crate) fn reads(&self) -> usize {
        self.reads.load(Ordering::SeqCst)
    }

    /// How often a shard's state was read.
    pub(crate) fn states(&self) -> usize {
        self.states.load(Ordering::SeqCst)
    }

    /// How many probes there were.
    pub(crate) fn tries(&self) -> usize {
        self.tries.load(Ordering::SeqCst)
    }

    /// Whether the connections are closed.
    pub(crate) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::SeqCst) > 0
    }

    /// Locks the rows of these shards, and of no others.
    pub(crate) fn lock_rows(&self, shards: impl IntoIterator<Item = u16>) {
        *self.locked.lock().expect("not poisoned") = shards.into_iter().map(Shard).collect();
    }

    fn check_lock(&self, shard: Option<Shard>) -> Result<(), StoreError> {
        let locked = self.locked.lock().expect("not poisoned");
        match shard.is_some_and(|shard| locked.contains(&shard)) {
            true => Err(StoreError::Unavailable(DatabaseProblem::Locked.into())),
            false => Ok(()),
        }
    }

    async fn wait_at_gate(&self) {
        self.gate.acquire().await.expect("the gate is not closed").forget();
    }

    fn next(&self) -> Option<Fault> {
        self.faults.lock().expect("not poisoned").pop_front()
    }

    /// Counts a call, and fails it before it reaches the store.
    fn check(&self, call: &Call<'_>) -> Result<(), StoreError> {
        let fails = |left: &AtomicUsize| {
            let one_less = |left: usize| left.checked_sub(1);
            left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, one_less).is_ok()
        };
        match call.method {
            "append" => {
                self.check_lock(call.shard)?;
                let operations = call.operations;
                self.batches.lock().expect("not poisoned").push(operations.len());
                let culprit = *self.culprit.lock().expect("not poisoned");
                if operations.iter().any(|operation| Some(operation.id) == culprit) {
                    return Err(StoreError::Failed("a row is there twice".into()));
                }
            }
            "try_commit" => {
                self.tries.fetch_add(1, Ordering::SeqCst);
                self.check_lock(call.shard)?;
            }
            "find_operations" if fails(&self.failing_lookups) => return Err(unavailable()),
            "read" => {
                self.reads.fetch_add(1, Ordering::SeqCst);
                if fails(&self.failing_reads) {
                    return Err(unavailable());
                }
            }
            "bodies" => _ = self.reads.fetch_add(1, Ordering::SeqCst),
            "shard_state" => _ = self.states.fetch_add(1, Ordering::SeqCst),
            _ => {}
        }
        Ok(())
    }
}

fn unavailable() -> StoreError {
    StoreError::Unavailable("the connection was refused".into())
}

fn lost() -> StoreError {
    StoreError::Unknown("the connection was reset".into())
}

impl Interceptor for Faults {
    async fn around<T: Send>(
        &self,
        call: Call<'_>,
        work: impl Future<Output = Result<T, StoreError>> + Send,
    ) -> Result<T, StoreError> {
        self.check(&call)?;
        let fault = match call.method {
            "append" | "try_commit" => self.next(),
            _ => None,
        };
        match fault {
            None => work.await,
            Some(Fault::Slow) => {
                self.wait_at_gate().await;
                work.await
            }
            // A probe changes nothing, so that it has no answer to lose.
            Some(_) if call.method == "try_commit" => Err(unavailable()),
            Some(Fault::Unavailable) => Err(unavailable()),
            Some(Fault::LostBefore) => Err(lost()),
            Some(Fault::LostAfter) => {
                work.await?;
                Err(lost())
            }
            Some(Fault::SlowThenLostAfter) => {
                self.wait_at_gate().await;
                work.await?;
                self.wait_at_gate().await;
                Err(lost())
            }
        }
    }

    fn take_hints(&self, _store: &dyn Store) -> Option<mpsc::Receiver<(Shard, Position)>> {
        self.hints.lock().expect("not poisoned").take()
    }

    fn closed(&self) {
        self.closed.fetch_add(1, Ordering::SeqCst);
    }
}
