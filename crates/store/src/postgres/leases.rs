//! Leases, and who is there to take them. The database's clock judges, so that skewed machines
//! cannot both own a shard.

use std::time::Duration;

use keeptrusts_webhooks_domain::log::{Epoch, Shard};
use sqlx::{FromRow, PgPool};

use super::session::{change, fetch};
use crate::rows::duration_micros;
use crate::store::{Lease, ShardLease, StoreError, Survey};

pub(super) async fn acquire(
    writers: &PgPool,
    shard: Shard,
    owner: &str,
    time_to_live: Duration,
) -> Result<Option<Lease>, StoreError> {
    let query = sqlx::query_as::<_, (i64,)>(
        "UPDATE shards
         SET epoch = epoch + 1,
             lease_owner = $2,
             lease_expire_time =
                 (extract(epoch FROM clock_timestamp()) * 1000000)::bigint + $3
         WHERE shard = $1
           AND (lease_owner IS NULL
                OR lease_expire_time <=
                   (extract(epoch FROM clock_timestamp()) * 1000000)::bigint)
         RETURNING epoch",
    )
    .bind(i32::from(shard.0))
    .bind(owner)
    .bind(duration_micros(time_to_live));
    let epoch = change(writers, query).await?.pop();
    Ok(epoch.map(|(epoch,)| Lease { shard, epoch: Epoch(epoch) }))
}

pub(super) async fn renew(
    writers: &PgPool,
    lease: Lease,
    time_to_live: Duration,
) -> Result<bool, StoreError> {
    let query = sqlx::query_as::<_, (i64,)>(
        "UPDATE shards
         SET lease_expire_time =
                 (extract(epoch FROM clock_timestamp()) * 1000000)::bigint + $3
         WHERE shard = $1 AND epoch = $2 AND lease_owner IS NOT NULL
         RETURNING epoch",
    )
    .bind(i32::from(lease.shard.0))
    .bind(lease.epoch.0)
    .bind(duration_micros(time_to_live));
    Ok(!change(writers, query).await?.is_empty())
}

pub(super) async fn release(writers: &PgPool, lease: Lease) -> Result<(), StoreError> {
    let query = sqlx::query_as::<_, (i64,)>(
        "UPDATE shards
         SET lease_owner = NULL, lease_expire_time = NULL
         WHERE shard = $1 AND epoch = $2
         RETURNING epoch",
    )
    .bind(i32::from(lease.shard.0))
    .bind(lease.epoch.0);
    change(writers, query).await?;
    Ok(())
}

#[derive(FromRow)]
struct LeaseRow {
    shard: i32,
    lease_owner: Option<String>,
    expires_in: i64,
}

/// Two statements, each of which reads or writes one table: where the tables are distributed,
/// they are on different nodes.
pub(super) async fn survey(
    writers: &PgPool,
    member: &str,
    time_to_live: Duration,
) -> Result<Survey, StoreError> {
    // The rows that are read do not show what the same statement writes.
    let query = sqlx::query_as::<_, (String,)>(
        "WITH clock AS MATERIALIZED (
             SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint AS now
         ),
         reported AS (
             INSERT INTO dispatch_members (member, expire_time)
             SELECT $1, now + $2 FROM clock
             ON CONFLICT (member) DO UPDATE SET expire_time = excluded.expire_time
         ),
         forgotten AS (
             DELETE FROM dispatch_members
             WHERE member <> $1 AND expire_time < (SELECT now FROM clock) - 3600000000
         )
         SELECT member
         FROM dispatch_members
         WHERE member <> $1
           AND expire_time > (SELECT now FROM clock)
           AND expire_time <= (SELECT now FROM clock) + 10 * $2",
    )
    .bind(member)
    .bind(duration_micros(time_to_live));
    let others = change(writers, query).await?.into_iter().map(|(other,)| other);
    let mut members: Vec<_> = others.chain([member.to_owned()]).collect();
    members.sort_unstable();

    let query = sqlx::query_as::<_, LeaseRow>(
        "SELECT shard, lease_owner,
                greatest(0, coalesce(lease_expire_time, 0)
                    - (extract(epoch FROM clock_timestamp()) * 1000000)::bigint) AS expires_in
         FROM shards
         ORDER BY shard",
    );
    let shards = fetch(writers, query).await?.into_iter().map(|row| {
        let unreadable = |_| StoreError::Unreadable(format!("shard {}", row.shard));
        Ok(ShardLease {
            shard: Shard(u16::try_from(row.shard).map_err(unreadable)?),
            owner: row.lease_owner,
            expires_in: Duration::from_micros(row.expires_in.unsigned_abs()),
        })
    });
    Ok(Survey { members, shards: shards.collect::<Result<_, StoreError>>()? })
}

pub(super) async fn leave(writers: &PgPool, member: &str) -> Result<(), StoreError> {
    let query = sqlx::query_as::<_, (String,)>(
        "DELETE FROM dispatch_members WHERE member = $1 RETURNING member",
    )
    .bind(member);
    change(writers, query).await?;
    Ok(())
}
