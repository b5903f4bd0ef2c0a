//! Announces appends to other processes and receives their announcements, with NOTIFY and LISTEN.
//!
//! These are only hints and may be lost: readers also look at the positions from time to time.
//!
//! A process that is alone announces nothing: a notification is a transaction. So each process that
//! listens holds an advisory lock meanwhile, which the others find, and greets them when it begins.
//!
//! Decision: docs/decisions/readers-follow-from-memory.md

use std::convert::Infallible;
use std::error::Error;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use keeptrusts_webhooks_domain::log::{Position, Shard};
use sqlx::postgres::{PgListener, PgPoolOptions};
use tokio::sync::{Notify, mpsc};
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::connector::Connector;
use super::pool::Pool;
use super::session::change;
use super::session_limits::SessionLimits;
use crate::backoff::Backoff;
use crate::error::StoreError;
use crate::error_chain::ErrorChain;

const CHANNEL: &str = "keeptrusts_webhooks_log";
/// The advisory lock of all processes that listen: the first letters of the channel's name. Anybody
/// else's lock with this number only causes announcements that nobody needs.
const LISTENERS_LOCK: i32 = i32::from_be_bytes(*b"ktwl");
/// A process is believed to be alone for so long, unless somebody greets it.
const LISTENERS_CHECK_INTERVAL: Duration = Duration::from_secs(10);
/// The number of connections for hints: one listens, one notifies.
pub(super) const CONNECTIONS: u32 = 2;
/// How long the connection that listens may take to connect.
const CONNECT_LIMIT: Duration = Duration::from_secs(5);
/// How many received hints wait for the reader. More are dropped.
const MAX_WAITING_HINTS: usize = 1_024;
/// The time between two notifications. Appends in between are announced by the second one.
const NOTIFY_INTERVAL: Duration = Duration::from_millis(2);
/// The wait after a notification that failed.
const NOTIFY_RETRY_WAIT: Duration = Duration::from_secs(1);
/// The waits before listening again.
const LISTEN_BACKOFF: Backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(10));
/// How long a test of the connection may take. The connection is tested when it was silent for as
/// long as a statement may take, since a machine that is gone is silent, too.
const TEST_LIMIT: Duration = Duration::from_secs(1);

/// The task that listens and the task that notifies.
pub(super) struct Hints {
    announcements: Arc<Announcements>,
    received: Mutex<Option<mpsc::Receiver<(Shard, Position)>>>,
    tasks: TaskTracker,
    stop: CancellationToken,
}

/// What is to be announced, and whether anybody listens.
struct Announcements {
    shards: Vec<ShardAnnouncements>,
    added: Notify,
    /// The session of this process that listens; 0: none does now.
    own_listener: AtomicI32,
    /// Somebody else has just begun to listen.
    was_greeted: AtomicBool,
}

/// Positions of one shard; 0: none.
#[derive(Default)]
struct ShardAnnouncements {
    /// The newest of this process.
    newest: AtomicI64,
    /// The newest that has not been announced yet.
    waiting: AtomicI64,
}

impl Hints {
    pub(super) fn start(
        connector: Arc<Connector>,
        limits: SessionLimits,
        shard_count: u16,
    ) -> Hints {
        let announcements = Arc::new(Announcements::new(usize::from(shard_count)));
        let (hints, received) = mpsc::channel(MAX_WAITING_HINTS);
        let (tasks, stop) = (TaskTracker::new(), CancellationToken::new());
        let pool = Pool::new(Arc::clone(&connector), limits, CONNECTIONS - 1);
        let listen = listen(connector, limits, hints, Arc::clone(&announcements));
        let notify = notify(pool, Arc::clone(&announcements));
        let (stop_listening, stop_notifying) = (stop.clone(), stop.clone());
        tasks.spawn(async move { stop_listening.run_until_cancelled(listen).await });
        tasks.spawn(async move { stop_notifying.run_until_cancelled(notify).await });
        tasks.close();
        Hints { announcements, received: Mutex::new(Some(received)), tasks, stop }
    }

    /// The hints of other processes, for the first caller.
    pub(super) fn take(&self) -> Option<mpsc::Receiver<(Shard, Position)>> {
        self.received.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Announces a position soon.
    pub(super) fn announce(&self, shard: Shard, position: Position) {
        self.announcements.add(usize::from(shard.0), position.0);
    }

    pub(super) async fn stop(&self) {
        self.stop.cancel();
        self.tasks.wait().await;
    }
}

impl Drop for Hints {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

impl Announcements {
    fn new(shard_count: usize) -> Announcements {
        Announcements {
            shards: (0..shard_count).map(|_| ShardAnnouncements::default()).collect(),
            added: Notify::new(),
            own_listener: AtomicI32::new(0),
            was_greeted: AtomicBool::new(false),
        }
    }

    fn add(&self, shard: usize, position: i64) {
        let Some(announcements) = self.shards.get(shard) else { return };
        announcements.newest.fetch_max(position, Ordering::AcqRel);
        if announcements.waiting.fetch_max(position, Ordering::AcqRel) < position {
            self.added.notify_one();
        }
    }

    /// Somebody else has begun to listen, and may have missed what was not announced.
    fn greeted(&self) {
        self.was_greeted.store(true, Ordering::Release);
        for announcements in &self.shards {
            let newest = announcements.newest.load(Ordering::Acquire);
            announcements.waiting.fetch_max(newest, Ordering::AcqRel);
        }
        self.added.notify_one();
    }

    /// Takes the shards and positions that are to be announced.
    fn take(&self) -> Vec<(usize, i64)> {
        let shards = self.shards.iter().enumerate();
        let taken =
            shards.map(|(shard, positions)| (shard, positions.waiting.swap(0, Ordering::AcqRel)));
        taken.filter(|(_, position)| *position > 0).collect()
    }
}

async fn notify(pool: Pool, announcements: Arc<Announcements>) {
    // When this process was last found to be alone.
    let mut alone_at = None::<Instant>;
    loop {
        announcements.added.notified().await;
        if announcements.was_greeted.swap(false, Ordering::AcqRel) {
            alone_at = None;
        }
        // Before it listens, nobody can greet it.
        let own_listener = announcements.own_listener.load(Ordering::Acquire);
        let is_alone = own_listener != 0
            && alone_at.is_some_and(|checked| checked.elapsed() < LISTENERS_CHECK_INTERVAL);
        let taken = announcements.take();
        if is_alone {
            continue;
        }
        let rest = match send(&pool, own_listener, &taken).await {
            Ok(others_listen) => {
                alone_at = (!others_listen).then(Instant::now);
                NOTIFY_INTERVAL
            }
            Err(error) => {
                // They are announced again, together with later appends: other processes would look
                // by themselves only much later.
                taken.into_iter().for_each(|(shard, position)| announcements.add(shard, position));
                tracing::debug!(error = %ErrorChain(&error), "other processes were not notified of an append");
                NOTIFY_RETRY_WAIT
            }
        };
        sleep(rest).await;
    }
}

/// Announces positions if anybody else listens. Answers whether somebody does.
///
/// Notifications need not be durable, so nothing waits for a flush.
async fn send(
    pool: &Pool,
    own_listener: i32,
    positions: &[(usize, i64)],
) -> Result<bool, StoreError> {
    let payloads: Vec<_> =
        positions.iter().map(|(shard, position)| format!("{shard}:{position}")).collect();
    if payloads.is_empty() {
        return Ok(true);
    }
    let query = sqlx::query_as::<_, (bool,)>(
        "WITH others AS MATERIALIZED (
             SELECT count(*) > 0 AS listen, set_config('synchronous_commit', 'off', true)
             FROM pg_locks
             WHERE locktype = 'advisory' AND classid = 0 AND objid = $1 AND pid <> $2
               AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
         )
         SELECT listen AND count(pg_notify($3, payload)::text) FILTER (WHERE listen) > 0
         FROM others LEFT JOIN unnest($4::text[]) AS payload ON listen
         GROUP BY listen",
    )
    .bind(LISTENERS_LOCK)
    .bind(own_listener)
    .bind(CHANNEL)
    .bind(payloads);
    let others_listen = change(pool, query).await?;
    Ok(others_listen.first().is_some_and(|(listen,)| *listen))
}

async fn listen(
    connector: Arc<Connector>,
    limits: SessionLimits,
    hints: mpsc::Sender<(Shard, Position)>,
    announcements: Arc<Announcements>,
) {
    let mut backoff = LISTEN_BACKOFF;
    while !hints.is_closed() {
        let listening = |session| {
            announcements.own_listener.store(session, Ordering::Release);
            backoff.reset();
        };
        let listening = listen_once(&connector, &limits, &hints, &announcements, listening);
        let Err(error) = listening.await;
        announcements.own_listener.store(0, Ordering::Release);
        tracing::debug!(error = %ErrorChain(&*error), "lost the connection that listens for appends, connecting again");
        backoff.wait().await;
    }
}

/// Listens until the connection is lost.
async fn listen_once(
    connector: &Connector,
    limits: &SessionLimits,
    hints: &mpsc::Sender<(Shard, Position)>,
    announcements: &Announcements,
    listening: impl FnOnce(i32),
) -> Result<Infallible, Box<dyn Error + Send + Sync>> {
    let lost = || sqlx::Error::Io(io::ErrorKind::ConnectionAborted.into());
    // sqlx listens only on connections of its own pools, so another connection finds the host.
    drop(connector.connect(limits, CONNECT_LIMIT).await?);
    let settings = limits.settings();
    let pool = PgPoolOptions::new()
        .max_connections(1)
        .acquire_timeout(CONNECT_LIMIT)
        .after_connect(move |connection, _| {
            let settings = sqlx::AssertSqlSafe(settings.clone());
            Box::pin(async { sqlx::raw_sql(settings).execute(connection).await.map(drop) })
        })
        .connect_lazy_with(connector.preferred().clone());
    let mut listener = PgListener::connect_with(&pool).await?;
    listener.eager_reconnect(false);
    listener.listen(CHANNEL).await?;
    let greet = sqlx::query_scalar(
        "SELECT pg_backend_pid()
         FROM (SELECT pg_advisory_lock_shared($1), pg_notify($2, $3 || pg_backend_pid()),
                      set_config('synchronous_commit', 'off', true)) AS greeted",
    )
    .bind(i64::from(LISTENERS_LOCK))
    .bind(CHANNEL)
    .bind(GREETING);
    let session = timeout(limits.answer, greet.fetch_one(&mut listener)).await;
    let session: i32 = session.map_err(|_| lost())??;
    listening(session);
    // Announcements may have been missed while nobody listened.
    let positions = sqlx::query_as::<_, (i32, i64)>("SELECT shard, last_position FROM shards");
    for (shard, position) in
        timeout(limits.answer, positions.fetch_all(&mut listener)).await.map_err(|_| lost())??
    {
        if let Ok(shard) = u16::try_from(shard) {
            let _ = hints.try_send((Shard(shard), Position(position)));
        }
    }
    loop {
        match timeout(limits.statement, listener.try_recv()).await {
            Ok(received) => {
                let notification = received?.ok_or_else(lost)?;
                match parse(notification.payload()) {
                    // A receiver that is behind or gone misses it.
                    Some(Received::Hint(shard, position)) => {
                        let _ = hints.try_send((shard, position));
                    }
                    Some(Received::Greeting(other)) if other != session => announcements.greeted(),
                    Some(Received::Greeting(_)) | None => {}
                }
            }
            Err(_) => {
                let test = sqlx::query("SELECT 1").execute(&mut listener);
                timeout(TEST_LIMIT, test).await.map_err(|_| lost())??;
            }
        }
    }
}

/// What a notification says.
#[derive(Debug, PartialEq, Eq)]
enum Received {
    Hint(Shard, Position),
    /// This session has begun to listen.
    Greeting(i32),
}

const GREETING: &str = "listening:";

fn parse(payload: &str) -> Option<Received> {
    if let Some(session) = payload.strip_prefix(GREETING) {
        return session.parse().ok().map(Received::Greeting);
    }
    let (shard, position) = payload.split_once(':')?;
    Some(Received::Hint(Shard(shard.parse().ok()?), Position(position.parse().ok()?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_newest_position_of_each_shard_is_announced_and_once() {
        let announcements = Announcements::new(4);
        for (shard, position) in [(2, 7), (0, 3), (2, 9), (2, 8), (4, 1)] {
            announcements.add(shard, position);
        }
        assert_eq!(announcements.take(), [(0, 3), (2, 9)]);
        assert!(announcements.take().is_empty());
    }

    #[test]
    fn who_begins_to_listen_is_told_what_was_announced_before() {
        let announcements = Announcements::new(4);
        announcements.add(2, 7);
        announcements.take();
        announcements.greeted();
        assert_eq!(announcements.take(), [(2, 7)]);
    }

    #[test]
    fn a_payload_that_is_not_ours_is_no_hint() {
        assert_eq!(parse("3:41"), Some(Received::Hint(Shard(3), Position(41))));
        assert_eq!(parse("listening:17"), Some(Received::Greeting(17)));
        for payload in ["", "3", "3:", ":41", "x:1", "70000:1", "listening:", "listening:x"] {
            assert_eq!(parse(payload), None, "{payload:?}");
        }
    }
}
