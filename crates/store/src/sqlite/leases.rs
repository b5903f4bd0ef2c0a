//! Leases where there is one process: who holds a shard is known here, and nobody else asks.
//!
//! Only the epoch is in the database, so that it never begins again.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use keeptrusts_webhooks_domain::log::Shard;

use crate::store::{ClusterState, Lease, ShardLease};

/// Who holds each shard.
pub(super) struct Leases(Mutex<Vec<Option<Holder>>>);

struct Holder {
    owner: String,
    lease: Lease,
}

impl Leases {
    /// Nobody holds any.
    pub(super) fn new(shard_count: u16) -> Leases {
        Leases(Mutex::new((0..shard_count).map(|_| None).collect()))
    }

    /// Notes that a new epoch has begun.
    pub(super) fn grant(&self, owner: &str, lease: Lease) {
        self.holders()[usize::from(lease.shard.0)] =
            Some(Holder { owner: owner.to_owned(), lease });
    }

    /// Whether nobody has taken the shard since.
    pub(super) fn is_current(&self, lease: Lease) -> bool {
        let holders = self.holders();
        let holder = holders[usize::from(lease.shard.0)].as_ref();
        holder.is_some_and(|holder| holder.lease == lease)
    }

    /// Notes that a lease was given back.
    pub(super) fn release(&self, lease: Lease) {
        let holder = &mut self.holders()[usize::from(lease.shard.0)];
        holder.take_if(|holder| holder.lease == lease);
    }

    /// The one member, and what it holds.
    pub(super) fn heartbeat(&self, member: &str) -> ClusterState {
        let holders = self.holders();
        let shards = holders.iter().zip(0..).map(|(holder, shard)| ShardLease {
            shard: Shard(shard),
            owner: holder.as_ref().map(|holder| holder.owner.clone()),
            epoch: holder.as_ref().map(|holder| holder.lease.epoch),
            expires_in: holder.as_ref().map_or(Duration::ZERO, |_| Duration::MAX),
        });
        ClusterState { members: vec![member.to_owned()], shards: shards.collect() }
    }

    fn holders(&self) -> MutexGuard<'_, Vec<Option<Holder>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
