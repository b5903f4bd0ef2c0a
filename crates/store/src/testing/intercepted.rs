//! A store whose calls pass an interceptor, which may count, delay or fail them.

use std::collections::{BTreeMap, HashMap};
use std::future::Future;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use keeptrusts_webhooks_domain::Timestamp;
use keeptrusts_webhooks_domain::ids::{EndpointId, KeyId, OperationId, OrganizationId};
use keeptrusts_webhooks_domain::log::{Position, Shard, Stream, Version};
use keeptrusts_webhooks_domain::replay::{ReplayCursor, ReplaySelection};
use tokio::sync::mpsc;

use crate::error::StoreError;
use crate::log::PositionKey;
use crate::log::operation::{AppendOutcome, BodyId, Operation, Record};
use crate::log::other_writes::OtherWrites;
use crate::queries::replay_candidates::CandidatePage;
use crate::queries::selection::ErasedSelection;
use crate::queries::{AuditFilter, Extreme};
use crate::store::{
    AppendedBatch, AttemptSum, ClusterState, DueKey, DuePage, ErasedBodies, Lease,
    RebuildDifference, ShardState, Store, TableVersions, Tables, WaitingEndpoints,
};
use crate::tables::{Keys, Rows};
use crate::vault::{
    DataKeyCreation, MasterKeyHistory, RewrappedDataKey, StoredDataKey, Vault, WrappedDataKey,
};

/// A call of a store's method.
#[derive(Clone, Copy)]
pub struct Call<'a> {
    /// The method's name.
    pub method: &'static str,
    /// Its shard. None: the call is about the database or about keys.
    pub shard: Option<Shard>,
    /// The operations of an append.
    pub operations: &'a [Operation],
    /// How many rows it may return.
    pub limit: Option<usize>,
    /// The table that rows are selected from.
    pub table: Option<&'static str>,
}

impl Call<'_> {
    fn of(method: &'static str) -> Call<'static> {
        Call { method, shard: None, operations: &[], limit: None, table: None }
    }

    fn on(method: &'static str, shard: Shard) -> Call<'static> {
        Call { shard: Some(shard), ..Call::of(method) }
    }
}

/// Sees the calls of a store. All methods but `around` have defaults that change nothing.
pub trait Interceptor: Send + Sync + 'static {
    /// Carries out a call, or fails it. The store works only while `work` is polled.
    fn around<T: Send>(
        &self,
        call: Call<'_>,
        work: impl Future<Output = Result<T, StoreError>> + Send,
    ) -> impl Future<Output = Result<T, StoreError>> + Send;

    /// A batch was appended, and its caller gets the answer.
    fn appended(&self, _batch: &AppendedBatch) {}

    /// Records were read. If this fails, the reader gets the error instead.
    fn has_read(&self, _shard: Shard, _records: &[Record]) -> Result<(), StoreError> {
        Ok(())
    }

    /// The store has granted a lease.
    fn granted(&self, _lease: Lease) {}

    /// The announcements of other processes.
    fn take_hints(&self, store: &dyn Store) -> Option<mpsc::Receiver<(Shard, Position)>> {
        store.take_hints()
    }

    /// A position is to be announced to other processes.
    fn announce(&self, store: &dyn Store, shard: Shard, position: Position) {
        store.announce(shard, position);
    }

    /// The store is closed.
    fn closed(&self) {}
}

/// A store behind an [`Interceptor`].
pub struct Intercepted<I> {
    store: Arc<dyn Store>,
    interceptor: I,
}

impl<I> Intercepted<I> {
    pub fn new(store: Arc<dyn Store>, interceptor: I) -> Intercepted<I> {
        Intercepted { store, interceptor }
    }

    pub fn interceptor(&self) -> &I {
        &self.interceptor
    }

    /// The store behind the interceptor.
    pub fn store(&self) -> &dyn Store {
        &*self.store
    }
}

/// Implements a trait: the methods in braces, and the others as the store does.
macro_rules! intercept {
    (
        $trait:ident { $($own:tt)* }
        $(async fn $name:ident($($argument:ident: $type:ty),*) -> $output:ty;)*
    ) => {
        #[async_trait]
        impl<I: Interceptor> $trait for Intercepted<I> {
            $($own)*

            $(async fn $name(&self, $($argument: $type),*) -> Result<$output, StoreError> {
                let call = Call::of(stringify!($name));
                self.interceptor.around(call, self.store.$name($($argument),*)).await
            })*
        }
    };
}

intercept! {
    Store {
        fn shard_count(&self) -> u16 {
            self.store.shard_count()
        }

        fn is_shared(&self) -> bool {
            self.store.is_shared()
        }

        async fn append(
            &self,
            shard: Shard,
            operations: &[Operation],
        ) -> Result<AppendedBatch, StoreError> {
            let call = Call { operations, ..Call::on("append", shard) };
            let batch = self.interceptor.around(call, self.store.append(shard, operations)).await?;
            self.interceptor.appended(&batch);
            Ok(batch)
        }

        async fn read(
            &self,
            shard: Shard,
            after: Position,
            limit: usize,
        ) -> Result<Vec<Record>, StoreError> {
            let call = Call { limit: Some(limit), ..Call::on("read", shard) };
            let records = self.interceptor.around(call, self.store.read(shard, after, limit)).await?;
            self.interceptor.has_read(shard, &records)?;
            Ok(records)
        }

        async fn acquire_lease(
            &self,
            shard: Shard,
            owner: &str,
            time_to_live: Duration,
        ) -> Result<Option<Lease>, StoreError> {
            let work = async {
                let lease = self.store.acquire_lease(shard, owner, time_to_live).await?;
                lease.iter().for_each(|lease| self.interceptor.granted(*lease));
                Ok(lease)
            };
            self.interceptor.around(Call::on("acquire_lease", shard), work).await
        }

        async fn try_commit(&self, shard: Shard) -> Result<(), StoreError> {
            let call = Call::on("try_commit", shard);
            self.interceptor.around(call, self.store.try_commit(shard)).await
        }

        fn other_writes(&self) -> &OtherWrites {
            self.store.other_writes()
        }

        fn take_hints(&self) -> Option<mpsc::Receiver<(Shard, Position)>> {
            self.interceptor.take_hints(&*self.store)
        }

        fn announce(&self, shard: Shard, position: Position) {
            self.interceptor.announce(&*self.store, shard, position);
        }

        /// The store stays open: others may have it, too.
        async fn close(&self) {
            self.interceptor.closed();
        }
    }

    async fn answers(limit: Duration) -> ();
    async fn find_operations(
        shard: Shard, after: Position, operations: &[OperationId]
    ) -> HashMap<OperationId, AppendOutcome>;
    async fn read_stream(
        shard: Shard, stream: Stream, after: Version, limit: usize
    ) -> Vec<Record>;
    async fn shard_state(shard: Shard) -> ShardState;
    async fn position_key(shard: Shard) -> PositionKey;
    async fn bodies(shard: Shard, ids: &[BodyId]) -> HashMap<BodyId, Bytes>;
    async fn delete_expired_bodies(shard: Shard, limit: usize) -> usize;
    async fn count_events_and_attempts(shard: Shard, organization: &OrganizationId) -> u64;
    async fn erase_bodies(
        shard: Shard, organization: &OrganizationId, after: Option<BodyId>, limit: usize
    ) -> ErasedBodies;
    async fn renew_lease(lease: Lease, time_to_live: Duration) -> bool;
    async fn release_lease(lease: Lease) -> ();
    async fn heartbeat(member: &str, time_to_live: Duration) -> ClusterState;
    async fn leave(member: &str) -> ();
    async fn note_key_uses(uses: &[(KeyId, Timestamp)]) -> ();
    async fn rebuild(shard: Shard, progress: &(dyn Fn(Position) + Sync)) -> ();
    async fn check(
        shard: Shard, limit: usize, progress: &(dyn Fn(Position) + Sync)
    ) -> Vec<RebuildDifference>;
    async fn table_versions() -> TableVersions;
}

intercept! {
    Tables {
        async fn due_deliveries(
            &self,
            shard: Shard,
            endpoint: EndpointId,
            after: DueKey,
            limit: usize,
        ) -> Result<DuePage, StoreError> {
            let call = Call { limit: Some(limit), ..Call::on("due_deliveries", shard) };
            let work = self.store.due_deliveries(shard, endpoint, after, limit);
            self.interceptor.around(call, work).await
        }

        async fn select(
            &self,
            shard: Shard,
            selection: &ErasedSelection,
        ) -> Result<Rows, StoreError> {
            let call = Call { table: Some(selection.table), ..Call::on("select", shard) };
            self.interceptor.around(call, self.store.select(shard, selection)).await
        }
    }

    async fn look_up(shard: Shard, keys: &Keys<'_>) -> Rows;
    async fn count(shard: Shard, selection: &ErasedSelection) -> u64;
    async fn grouped(
        shard: Shard, selection: &ErasedSelection, group: &'static str, extreme: Extreme
    ) -> Vec<(String, i64)>;
    async fn audit_records(
        shard: Shard, organization: &OrganizationId, filter: &AuditFilter,
        range: (Position, Option<Position>), limit: usize
    ) -> Vec<Record>;
    async fn attempt_sums(
        shard: Shard, organization: &OrganizationId, hours: Range<Timestamp>
    ) -> Vec<AttemptSum>;
    async fn waiting_endpoints(shard: Shard) -> WaitingEndpoints;
    async fn replay_candidates(
        shard: Shard, organization: &OrganizationId, selection: &ReplaySelection,
        before: Position, after: ReplayCursor, limit: usize
    ) -> CandidatePage;
}

intercept! {
    Vault {}

    async fn claim_master_key(key_id: &str) -> String;
    async fn master_keys() -> MasterKeyHistory;
    async fn replace_master_key(current: &str, new: &str) -> bool;
    async fn data_keys(
        shard: Shard, organizations: &[OrganizationId]
    ) -> HashMap<OrganizationId, StoredDataKey>;
    async fn create_data_key(
        shard: Shard, organization: &OrganizationId, key: &WrappedDataKey
    ) -> DataKeyCreation;
    async fn wrapped_data_keys(
        shard: Shard, except: Option<&str>, after: Option<&OrganizationId>, limit: usize
    ) -> Vec<(OrganizationId, WrappedDataKey)>;
    async fn rewrap_data_keys(shard: Shard, rewrapped: &[RewrappedDataKey]) -> usize;
    async fn count_data_keys(shard: Shard) -> BTreeMap<String, u64>;
    async fn erase_data_key(shard: Shard, organization: &OrganizationId) -> ();
}
