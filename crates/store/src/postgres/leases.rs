//! Leases and the members that take them. The database's clock decides, so that machines whose
//! clocks differ cannot both own a shard.
//!
//! No lease waits for another: each has a statement of its own, which gives up soon if somebody
//! holds the shard's row. Nothing else uses their connections.
//!
//! Decision: docs/decisions/one-row-never-stops-all-shards.md

use std::time::Duration;

use keeptrusts_webhooks_domain::log::{Epoch, Shard};
use sqlx_macros::FromRow;

use super::errors::is_lock_timeout;
use super::pool::Pool;
use super::session::{change_within, fetch_within, lock_timeout};
use super::session_limits::SessionLimits;
use crate::error::StoreError;
use crate::store::{ClusterState, Lease, ShardLease};
use crate::tables::duration_micros;

/// The longest that lease work waits.
const LIMITS: SessionLimits = SessionLimits {
    statement: Duration::from_secs(1),
    lock: Duration::from_millis(500),
    peer: Duration::from_secs(5),
    answer: Duration::from_secs(2),
};

/// The limits of sessions for lease work.
pub(super) fn session_limits(timeout: Duration) -> SessionLimits {
    let SessionLimits { statement, lock, answer, .. } = LIMITS;
    SessionLimits { statement: statement.min(timeout), lock, peer: timeout, answer }
}

/// How long work on a lease waits. It is short compared with the lease: several attempts must fit
/// between a renewal and the end of the lease.
struct WaitLimits {
    /// For one row that somebody else holds.
    lock: Duration,
    /// For everything, a new connection included.
    answer: Duration,
}

/// Even for short leases, since a busy machine needs some time to make a connection.
const SHORTEST_WAIT: WaitLimits =
    WaitLimits { lock: Duration::from_millis(50), answer: Duration::from_secs(1) };

impl WaitLimits {
    fn of(time_to_live: Duration) -> WaitLimits {
        WaitLimits {
            lock: (time_to_live / 20).clamp(SHORTEST_WAIT.lock, LIMITS.lock),
            answer: (time_to_live / 5).clamp(SHORTEST_WAIT.answer, LIMITS.answer),
        }
    }
}

pub(super) async fn acquire(
    leases: &Pool,
    shard: Shard,
    owner: &str,
    time_to_live: Duration,
) -> Result<Option<Lease>, StoreError> {
    let limits = WaitLimits::of(time_to_live);
    // MATERIALIZED sets the limit before the row is found and waited for. A damaged epoch stays as
    // it is, so that each owner finds it damaged.
    let query = sqlx::query_as::<_, (i64,)>(
        "WITH lock_limit AS MATERIALIZED (SELECT set_config('lock_timeout', $4, true))
         UPDATE shards
         SET epoch = CASE WHEN epoch < 0 THEN epoch ELSE epoch + 1 END,
             lease_owner = $2,
             lease_expire_time =
                 (extract(epoch FROM clock_timestamp()) * 1000000)::bigint + $3
         FROM lock_limit
         WHERE shard = $1
           AND (lease_owner IS NULL
                OR lease_expire_time <=
                   (extract(epoch FROM clock_timestamp()) * 1000000)::bigint)
         RETURNING epoch",
    )
    .bind(i32::from(shard.0))
    .bind(owner)
    .bind(duration_micros(time_to_live))
    .bind(lock_timeout(limits.lock));
    let epoch = change_within(limits.answer, leases, query).await?.pop();
    Ok(epoch.map(|(epoch,)| Lease { shard, epoch: Epoch(epoch) }))
}

pub(super) async fn renew(
    leases: &Pool,
    lease: Lease,
    time_to_live: Duration,
) -> Result<bool, StoreError> {
    let limits = WaitLimits::of(time_to_live);
    let query = sqlx::query_as::<_, (i64,)>(
        "WITH lock_limit AS MATERIALIZED (SELECT set_config('lock_timeout', $4, true))
         UPDATE shards
         SET lease_expire_time =
                 (extract(epoch FROM clock_timestamp()) * 1000000)::bigint + $3
         FROM lock_limit
         WHERE shard = $1 AND epoch = $2 AND lease_owner IS NOT NULL
         RETURNING epoch",
    )
    .bind(i32::from(lease.shard.0))
    .bind(lease.epoch.0)
    .bind(duration_micros(time_to_live))
    .bind(lock_timeout(limits.lock));
    Ok(!change_within(limits.answer, leases, query).await?.is_empty())
}

pub(super) async fn release(leases: &Pool, lease: Lease) -> Result<(), StoreError> {
    let query = sqlx::query_as::<_, (i64,)>(
        "UPDATE shards
         SET lease_owner = NULL, lease_expire_time = NULL
         WHERE shard = $1 AND epoch = $2
         RETURNING epoch",
    )
    .bind(i32::from(lease.shard.0))
    .bind(lease.epoch.0);
    change_within(LIMITS.answer, leases, query).await?;
    Ok(())
}

#[derive(FromRow)]
struct LeaseRow {
    shard: i32,
    lease_owner: Option<String>,
    epoch: i64,
    expires_in: i64,
}

/// Runs a statement for each table: distributed tables may be on different nodes.
pub(super) async fn heartbeat(
    leases: &Pool,
    member: &str,
    time_to_live: Duration,
) -> Result<ClusterState, StoreError> {
    let limits = WaitLimits::of(time_to_live);
    match report(leases, member, time_to_live, &limits).await {
        // The other members can be read all the same.
        Err(error) if is_lock_timeout(&error) => {
            tracing::warn!(%member, "cannot report as alive: the row of dispatch_members is locked");
        }
        reported => reported?,
    }
    let others = other_members(leases, member, time_to_live, &limits).await?;
    let others = others.into_iter().map(|(other,)| other);
    let mut members: Vec<_> = others.chain([member.to_owned()]).collect();
    members.sort_unstable();

    let query = sqlx::query_as::<_, LeaseRow>(
        "SELECT shard, lease_owner, epoch,
                greatest(now, coalesce(lease_expire_time, 0)) - now AS expires_in
         FROM shards,
              (SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint AS now) AS clock
         ORDER BY shard",
    );
    let shards = fetch_within(limits.answer, leases, query).await?.into_iter().map(|row| {
        let unreadable = |_| StoreError::Unreadable(format!("shard {}", row.shard));
        Ok(ShardLease {
            shard: Shard(u16::try_from(row.shard).map_err(unreadable)?),
            epoch: row.lease_owner.as_ref().map(|_| Epoch(row.epoch)),
            owner: row.lease_owner,
            expires_in: Duration::from_micros(row.expires_in.unsigned_abs()),
        })
    });
    Ok(ClusterState { members, shards: shards.collect::<Result<_, StoreError>>()? })
}

/// Reports a member as alive, and deletes members that have expired more than an hour ago.
async fn report(
    leases: &Pool,
    member: &str,
    time_to_live: Duration,
    limits: &WaitLimits,
) -> Result<(), StoreError> {
    let query = sqlx::query_as::<_, (String,)>(
        "WITH clock AS MATERIALIZED (
             SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint AS now,
                    set_config('lock_timeout', $3, true)
         ),
         expired AS (
             DELETE FROM dispatch_members
             WHERE member = ANY (ARRAY(
                 SELECT member
                 FROM dispatch_members
                 WHERE member <> $1 AND expire_time < (SELECT now FROM clock) - 3600000000
                 FOR UPDATE SKIP LOCKED))
         )
         INSERT INTO dispatch_members (member, expire_time)
         SELECT $1, now + $2 FROM clock
         ON CONFLICT (member) DO UPDATE SET expire_time = excluded.expire_time
         RETURNING member",
    )
    .bind(member)
    .bind(duration_micros(time_to_live))
    .bind(lock_timeout(limits.lock));
    change_within(limits.answer, leases, query).await?;
    Ok(())
}

async fn other_members(
    leases: &Pool,
    member: &str,
    time_to_live: Duration,
    limits: &WaitLimits,
) -> Result<Vec<(String,)>, StoreError> {
    let query = sqlx::query_as::<_, (String,)>(
        "WITH clock AS MATERIALIZED (
             SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint AS now
         )
         SELECT member
         FROM dispatch_members
         WHERE member <> $1
           AND expire_time > (SELECT now FROM clock)
           AND expire_time <= (SELECT now FROM clock) + 10 * $2",
    )
    .bind(member)
    .bind(duration_micros(time_to_live));
    fetch_within(limits.answer, leases, query).await
}

pub(super) async fn leave(leases: &Pool, member: &str) -> Result<(), StoreError> {
    let query = sqlx::query_as::<_, (String,)>(
        "DELETE FROM dispatch_members WHERE member = $1 RETURNING member",
    )
    .bind(member);
    change_within(LIMITS.answer, leases, query).await?;
    Ok(())
}
