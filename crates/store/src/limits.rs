//! Every limit of the store, in one place.

use std::time::Duration;

use crate::backoff::Backoff;

/// The operations of one transaction.
pub const MAX_BATCH_OPERATIONS: usize = 512;
/// The bodies of one transaction, in bytes; a single operation may exceed it.
pub const MAX_BATCH_BYTES: usize = 4 * 1024 * 1024;
/// The operations that wait for a shard's appender. Further callers wait until there is room.
pub const MAX_WAITING_OPERATIONS: usize = 4_096;
/// The newest records of a shard that are kept in memory for followers.
pub const MAX_TAIL_RECORDS: usize = 8_192;
/// The newest bodies of events of a shard that are kept in memory, in bytes.
pub const MAX_TAIL_BYTES: usize = 16 * 1024 * 1024;
/// The deliveries of a shard that are kept in memory until they end, so that the outcomes of their
/// attempts can be appended without reading them.
pub const MAX_KNOWN_DELIVERIES: usize = 2_048;
/// The records of a shard that are read at once for followers of organizations.
pub const FEED_RECORDS: usize = 500;
/// The batches that a follower of an organization may leave unread before it has to read the log
/// itself. A batch holds the organization's records among [`FEED_RECORDS`].
pub const FEED_BATCHES: usize = 32;
/// The rows that a filtered list examines in one statement, whether they match or not, unless its
/// page is larger. Short statements free the connection often.
pub const ROWS_EXAMINED: usize = 1_000;
/// The long reads that run in a process at once. It has four connections that read by default, so
/// that some are left for short reads.
pub const LONG_READS: usize = 2;
/// The long reads of one organization that run at once.
pub const LONG_READS_PER_ORGANIZATION: usize = 1;
/// The long reads of one organization that may wait. Further ones are refused.
pub const MAX_WAITING_LONG_READS: usize = 16;
/// How long a long read waits before it is refused.
pub const MAX_LONG_READ_WAIT: Duration = Duration::from_secs(30);
/// The followers that are behind and read from the database at the same time.
pub const CATCH_UPS: usize = 1;
/// The records of one step of a rebuild.
pub const REBUILD_STEP: usize = 1_000;
/// The shards of a Postgres database, fixed when it is created.
pub const POSTGRES_SHARDS: u16 = 16;
/// The least time between two probes of a database that has failed.
pub const PROBE_INTERVAL: Duration = Duration::from_secs(3);
/// How often positions are read, in case an announcement was lost.
pub const SLOW_POLL: Duration = Duration::from_secs(15);
/// How often in a row the commit of a batch may end without an answer, and prove not to have
/// happened, before the batch fails. A disk that fails at each fsync does that at once.
pub const MAX_LOST_ANSWERS: u32 = 3;
/// The waits while an uncertain commit cannot be looked up.
pub const LOOKUP_BACKOFF: Backoff = Backoff::new(Duration::from_millis(50), Duration::from_secs(2));
/// The master keys that a process reads: enough for a rotation each day of a month after which
/// nobody removes the old ones.
pub const MAX_MASTER_KEYS: usize = 32;
