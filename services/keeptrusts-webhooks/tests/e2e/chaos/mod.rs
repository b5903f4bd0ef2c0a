//! Parts of tests with failures: load that continues through them, and checks that nothing was
//! lost or done twice.

mod evidence;
mod load;
mod rebuild;
mod shards;

pub(crate) use self::evidence::{
    ProcessRuns, assert_every_event_delivered_once_recorded, repeated_requests, wait_until_received,
};
pub(crate) use self::load::{Acknowledged, Load};
pub(crate) use self::rebuild::{check_tables, rebuild_tables};
pub(crate) use self::shards::{SHARD_COUNT, organization_per_shard, shards};
