//! Leases where there is one process: their owners are kept in memory.
//!
//! Only the epoch is in the database, so that it never decreases.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use keeptrusts_webhooks_domain::log::{Epoch, Shard};
use sqlx::SqliteConnection;

use super::errors::{commit_error, store_error};
use super::writer::begin;
use crate::error::StoreError;
use crate::store::{ClusterState, Lease, ShardLease};

/// The lease of each shard, by the number of the shard.
pub(super) struct Leases(Mutex<Vec<Option<GrantedLease>>>);

struct GrantedLease {
    owner: String,
    lease: Lease,
}

impl Leases {
    pub(super) fn new(shard_count: u16) -> Leases {
        Leases(Mutex::new((0..shard_count).map(|_| None).collect()))
    }

    pub(super) fn grant(&self, owner: &str, lease: Lease) {
        self.granted()[usize::from(lease.shard.0)] =
            Some(GrantedLease { owner: owner.to_owned(), lease });
    }

    /// Whether the shard was not granted again since.
    pub(super) fn is_current(&self, lease: Lease) -> bool {
        let leases = self.granted();
        let granted = leases[usize::from(lease.shard.0)].as_ref();
        granted.is_some_and(|granted| granted.lease == lease)
    }

    pub(super) fn release(&self, lease: Lease) {
        let granted = &mut self.granted()[usize::from(lease.shard.0)];
        granted.take_if(|granted| granted.lease == lease);
    }

    /// Shows this process as the only member.
    pub(super) fn heartbeat(&self, member: &str) -> ClusterState {
        let leases = self.granted();
        let shards = leases.iter().zip(0..).map(|(granted, shard)| ShardLease {
            shard: Shard(shard),
            owner: granted.as_ref().map(|granted| granted.owner.clone()),
            epoch: granted.as_ref().map(|granted| granted.lease.epoch),
            expires_in: granted.as_ref().map_or(Duration::ZERO, |_| Duration::MAX),
        });
        ClusterState { members: vec![member.to_owned()], shards: shards.collect() }
    }

    fn granted(&self) -> MutexGuard<'_, Vec<Option<GrantedLease>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Begins the shard's next epoch.
pub(super) async fn next_epoch(
    connection: &mut SqliteConnection,
    shard: Shard,
) -> Result<Epoch, StoreError> {
    let mut transaction = begin(connection).await?;
    // A damaged epoch stays as it is, so that each owner finds it damaged.
    let (epoch,): (i64,) = sqlx::query_as(
        "UPDATE shards SET epoch = iif(epoch < 0, epoch, epoch + 1) WHERE shard = ? RETURNING epoch",
    )
    .bind(i64::from(shard.0))
    .fetch_one(&mut *transaction)
    .await
    .map_err(store_error)?;
    transaction.commit().await.map_err(commit_error)?;
    Ok(Epoch(epoch))
}
