//! The owners of shards, as the database has them.

use keeptrusts_webhooks_domain::log::Shard;
use keeptrusts_webhooks_testkit::postgres::Cluster;
use keeptrusts_webhooks_testkit::process::Process;

use crate::platform::Database;

/// As in every Postgres database.
pub(crate) const SHARD_COUNT: u16 = 16;

/// The row of a shard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ShardRow {
    pub(crate) shard: u16,
    pub(crate) epoch: i64,
    owner: String,
    is_leased: bool,
}

impl ShardRow {
    /// Whether it belongs to this dispatch process now.
    pub(crate) fn is_owned_by(&self, process: &Process) -> bool {
        self.is_leased && self.owner.starts_with(&format!("dispatch-{}-", process.id()))
    }
}

/// All shards, in order.
pub(crate) async fn shards(cluster: &Cluster, database: &Database) -> Vec<ShardRow> {
    let url = database.url().expect("the database is on Postgres");
    let name = url.rsplit('/').next().expect("a URL ends with the database's name");
    let query = "SELECT shard, epoch, coalesce(lease_owner, ''),
                        coalesce(lease_expire_time, 0)
                            > (extract(epoch FROM clock_timestamp()) * 1000000)::bigint
                 FROM shards ORDER BY shard";
    let rows = cluster.query(name, query).await;
    rows.lines()
        .map(|row| {
            let columns: Vec<_> = row.split('|').collect();
            let [shard, epoch, owner, is_leased] = columns[..] else {
                panic!("four columns were asked for: {row}")
            };
            ShardRow {
                shard: shard.parse().expect("a number"),
                epoch: epoch.parse().expect("a number"),
                owner: owner.to_owned(),
                is_leased: is_leased == "t",
            }
        })
        .collect()
}

/// An organization on each shard, in the order of the shards.
pub(crate) fn organization_per_shard() -> Vec<String> {
    let mut organizations = vec![None; usize::from(SHARD_COUNT)];
    for number in 0.. {
        let name = format!("organization-{number}");
        let shard = Shard::of(&name.parse().expect("it is a valid id"), SHARD_COUNT);
        organizations[usize::from(shard.0)].get_or_insert(name);
        if organizations.iter().all(Option::is_some) {
            break;
        }
    }
    organizations.into_iter().flatten().collect()
}
