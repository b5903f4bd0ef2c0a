//! Every limit of the log, in one place.

use std::time::Duration;

use crate::backoff::Backoff;

/// The operations of one transaction.
pub const MAX_BATCH_OPERATIONS: usize = 512;
/// The bodies of one transaction, in bytes; a single operation may exceed it.
pub const MAX_BATCH_BYTES: usize = 4 * 1024 * 1024;
/// The operations that wait for a shard's appender. Whoever comes then waits its turn.
pub const MAX_WAITING_OPERATIONS: usize = 4_096;
/// The newest records of a shard that are kept in memory for those who read along.
pub const MAX_TAIL_RECORDS: usize = 8_192;
/// The bodies kept with them, in bytes.
pub const MAX_TAIL_BYTES: usize = 16 * 1024 * 1024;
/// The records of a shard that are read at once for those who follow an organization.
pub const FEED_RECORDS: usize = 500;
/// What an organization's followers may leave unread before they read the log by themselves:
/// so many times the records that one of them has in [`FEED_RECORDS`].
pub const FEED_BATCHES: usize = 32;
/// The rows that a list looks at in one statement, whether they match or not, unless more are
/// asked for. Short statements give the connection back to others often.
pub const ROWS_LOOKED_AT: usize = 1_000;
/// The long reads that a process has under way, of all organizations. Connections that read
/// are four by default, so that some are left for what reads a few rows.
pub const LONG_READS: usize = 2;
/// And of one organization.
pub const LONG_READS_PER_ORGANIZATION: usize = 1;
/// How many of an organization may wait for that.
pub const MAX_WAITING_LONG_READS: usize = 16;
/// How long one waits at the most.
pub const MAX_LONG_READ_WAIT: Duration = Duration::from_secs(30);
/// Those who read the log along, are behind, and read at the same time.
pub const CATCH_UPS: usize = 1;
/// The records of one step of a rebuild.
pub const REBUILD_STEP: usize = 1_000;
/// The shards of a Postgres database, fixed when it is created.
pub const POSTGRES_SHARDS: u16 = 16;
/// The least time between two tries whether a database that has failed commits again.
pub const PROBE_INTERVAL: Duration = Duration::from_secs(3);
/// How often positions are read in case a notification was lost.
pub const SLOW_POLL: Duration = Duration::from_secs(15);
/// How often in a row a batch's commit may end without an answer, and turn out not to have
/// happened, before its callers are told so. A disk that fails at each fsync does that at once.
pub const MAX_LOST_ANSWERS: u32 = 3;
/// The waits while an uncertain commit cannot be looked up.
pub const LOOKUP_BACKOFF: Backoff = Backoff::new(Duration::from_millis(50), Duration::from_secs(2));
/// The master keys that a process reads: enough for a rotation each day of a month after which
/// nobody removes the old ones.
pub const MAX_MASTER_KEYS: usize = 32;
