//! What the end-to-end tests build on: databases of their own, our processes as users start them,
//! and a client.
//!
//! A scenario that shows what is stored takes a [`Backend`] and is run on both by
//! [`on_both_backends`]. What a process or a socket does is the same on both, and is tested on
//! SQLite, which costs less. Tests do not sleep for a fixed time: they wait for conditions, and a
//! wait that exceeds [`PATIENCE`] fails its test.

mod client;
mod content;
mod database;
mod refusal;
mod server;
mod watch;

use std::time::Duration;

use tokio::time::{Instant, sleep};

pub(crate) use self::client::{Client, Endpoint, channel, data_json};
pub(crate) use self::database::{Backend, Database};
pub(crate) use self::refusal::assert_refused;
pub(crate) use self::server::{Server, ServerBuilder, console_url};
pub(crate) use self::watch::{seen_at, watched};

/// How long a test waits for what should happen at once. Far more than it takes, since the machine
/// may be busy with other tests.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// Between two checks of a condition.
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// Checks until there is a result. Panics after [`PATIENCE`], naming `what` was waited for.
pub(crate) async fn eventually<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let end = Instant::now() + PATIENCE;
    loop {
        if let Some(seen) = look().await {
            return seen;
        }
        assert!(Instant::now() < end, "{PATIENCE:?} passed, and still not: {what}");
        sleep(LOOK_AGAIN).await;
    }
}

/// Runs each of the named scenarios, `async fn(Backend)`, as a test on SQLite and as one on
/// Postgres.
macro_rules! on_both_backends {
    ($($scenario:ident),* $(,)?) => {
        mod on_sqlite {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $scenario() {
                super::$scenario(crate::platform::Backend::Sqlite).await;
            })*
        }
        mod on_postgres {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $scenario() {
                super::$scenario(crate::platform::Backend::Postgres).await;
            })*
        }
    };
}
pub(crate) use on_both_backends;
