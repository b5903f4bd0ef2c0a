//! Announces appends to other processes and receives their announcements, with NOTIFY and LISTEN.
//!
//! These are only hints and may be lost: readers also look at the positions from time to time.
//!
//! Decision: docs/decisions/readers-follow-from-memory.md

use std::convert::Infallible;
use std::error::Error;
use std::io;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use keeptrusts_webhooks_domain::log::{Position, Shard};
use sqlx::postgres::{PgListener, PgPoolOptions};
use tokio::sync::{Notify, mpsc};
use tokio::time::{sleep, timeout};
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

/// The newest position of each shard that has not been announced yet; 0: none.
struct Announcements {
    positions: Vec<AtomicI64>,
    added: Notify,
}

impl Hints {
    pub(super) fn start(
        connector: Arc<Connector>,
        limits: SessionLimits,
        shard_count: u16,
    ) -> Hints {
        let positions = (0..shard_count).map(|_| AtomicI64::new(0)).collect();
        let announcements = Arc::new(Announcements { positions, added: Notify::new() });
        let (hints, received) = mpsc::channel(MAX_WAITING_HINTS);
        let (tasks, stop) = (TaskTracker::new(), CancellationToken::new());
        let pool = Pool::new(Arc::clone(&connector), limits, CONNECTIONS - 1);
        let listen = listen(connector, limits, hints);
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
    fn add(&self, shard: usize, position: i64) {
        let slot = self.positions.get(shard);
        if slot.is_some_and(|slot| slot.fetch_max(position, Ordering::AcqRel) < position) {
            self.added.notify_one();
        }
    }

    /// Takes the shards and positions that are to be announced.
    fn take(&self) -> Vec<(usize, i64)> {
        let slots = self.positions.iter().enumerate();
        let taken = slots.map(|(shard, position)| (shard, position.swap(0, Ordering::AcqRel)));
        taken.filter(|(_, position)| *position > 0).collect()
    }
}

async fn notify(pool: Pool, announcements: Arc<Announcements>) {
    loop {
        announcements.added.notified().await;
        let taken = announcements.take();
        let rest = match send(&pool, &taken).await {
            Ok(()) => NOTIFY_INTERVAL,
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

async fn send(pool: &Pool, positions: &[(usize, i64)]) -> Result<(), StoreError> {
    let payloads: Vec<_> =
        positions.iter().map(|(shard, position)| format!("{shard}:{position}")).collect();
    if payloads.is_empty() {
        return Ok(());
    }
    let query = sqlx::query_as::<_, (i64,)>(
        "SELECT count(pg_notify($1, payload)::text) FROM unnest($2::text[]) AS payload",
    )
    .bind(CHANNEL)
    .bind(payloads);
    change(pool, query).await?;
    Ok(())
}

async fn listen(
    connector: Arc<Connector>,
    limits: SessionLimits,
    hints: mpsc::Sender<(Shard, Position)>,
) {
    let mut backoff = LISTEN_BACKOFF;
    while !hints.is_closed() {
        let listening = || backoff.reset();
        let Err(error) = listen_once(&connector, &limits, &hints, listening).await;
        tracing::debug!(error = %ErrorChain(&*error), "lost the connection that listens for appends, connecting again");
        backoff.wait().await;
    }
}

/// Listens until the connection is lost.
async fn listen_once(
    connector: &Connector,
    limits: &SessionLimits,
    hints: &mpsc::Sender<(Shard, Position)>,
    listening: impl FnOnce(),
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
    listening();
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
                if let Some(hint) = parse(notification.payload()) {
                    // A receiver that is behind or gone misses it.
                    let _ = hints.try_send(hint);
                }
            }
            Err(_) => {
                let test = sqlx::query("SELECT 1").execute(&mut listener);
                timeout(TEST_LIMIT, test).await.map_err(|_| lost())??;
            }
        }
    }
}

fn parse(payload: &str) -> Option<(Shard, Position)> {
    let (shard, position) = payload.split_once(':')?;
    Some((Shard(shard.parse().ok()?), Position(position.parse().ok()?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn announcements(shard_count: usize) -> Announcements {
        let positions = (0..shard_count).map(|_| AtomicI64::new(0)).collect();
        Announcements { positions, added: Notify::new() }
    }

    #[test]
    fn only_the_newest_position_of_each_shard_is_announced_and_once() {
        let announcements = announcements(4);
        for (shard, position) in [(2, 7), (0, 3), (2, 9), (2, 8)] {
            announcements.positions[shard].fetch_max(position, Ordering::AcqRel);
        }
        assert_eq!(announcements.take(), [(0, 3), (2, 9)]);
        assert!(announcements.take().is_empty());
    }

    #[test]
    fn a_payload_that_is_not_ours_is_no_hint() {
        assert_eq!(parse("3:41"), Some((Shard(3), Position(41))));
        for payload in ["", "3", "3:", ":41", "x:1", "70000:1"] {
            assert_eq!(parse(payload), None, "{payload:?}");
        }
    }
}
