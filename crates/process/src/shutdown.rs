//! Graceful shutdown on a first signal, and an immediate end on a second one or after a time limit.
//!
//! Decision: docs/decisions/the-end-has-one-limit.md

use std::io;
use std::process::exit;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use clap::Args;
use keeptrusts_webhooks_telemetry::output;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::flags::positive_duration;
use crate::grpc_server::limits::LAST_ANSWERS;

/// How long the last log lines may take to be written.
pub const LAST_LINES: Duration = Duration::from_millis(500);
/// How long a command that was asked to stop waits for somebody to read its results.
pub const UNREAD_RESULTS: Duration = Duration::from_secs(2);
/// Signals this soon after the first one are the same request: `timeout` and others send one to a
/// process and another to its group, and people press keys twice.
const SAME_REQUEST: Duration = Duration::from_secs(1);

/// The time limit of a shutdown: less than the 10 s after which containers are killed.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Limits")]
pub struct ShutdownFlags {
    /// How long the process may take to end when it is asked to, by SIGTERM or SIGINT: to answer
    /// the calls under way, to finish and record attempts, to export its last spans.
    ///
    /// An attempt that takes longer is repeated after the next start. Give it some seconds less
    /// than after which the process is killed. Another signal, a second or more after the first,
    /// ends the process at once.
    #[arg(long, value_name = "TIME", default_value = "9s", value_parser = positive_duration)]
    pub shutdown_timeout: Duration,
}

/// The shutdown of a process, and how much time it has. Clones share their state.
#[derive(Debug, Clone)]
pub struct Shutdown {
    requested: CancellationToken,
    began: Arc<OnceLock<Instant>>,
    limit: Duration,
}

/// The phases of a shutdown, in their order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// The console finishes its pages.
    Pages,
    /// The server answers its calls.
    Calls,
    /// Dispatch finishes and records attempts.
    Attempts,
    /// The log commits what was appended, and the database is closed.
    Appends,
    /// Spans and metrics are exported.
    Telemetry,
}

impl Phase {
    /// The latest end of the phase, in percent of the limit.
    const fn end(self) -> u32 {
        match self {
            Phase::Pages => 15,
            Phase::Calls => 60,
            Phase::Attempts => 78,
            Phase::Appends => 87,
            Phase::Telemetry => 95,
        }
    }
}

impl Shutdown {
    /// A shutdown that has not begun, and may take `limit`.
    pub fn within(limit: Duration) -> Shutdown {
        Shutdown { requested: CancellationToken::new(), began: Arc::default(), limit }
    }

    /// Cancelled when the process is asked to stop.
    pub fn requested(&self) -> &CancellationToken {
        &self.requested
    }

    /// How long a phase may still take. If nobody has asked for the shutdown, because something has
    /// failed, it begins with this call.
    pub fn remaining(&self, phase: Phase) -> Duration {
        let began = *self.began.get_or_init(Instant::now);
        (began + self.limit * phase.end() / 100).saturating_duration_since(Instant::now())
    }

    /// How long calls may run after the phase [`Pages`](Phase::Pages), before the server answers
    /// them UNAVAILABLE.
    pub fn grace_period(&self) -> Duration {
        let calls = self.limit * (Phase::Calls.end() - Phase::Pages.end()) / 100;
        calls.saturating_sub(LAST_ANSWERS)
    }

    fn begin(&self) {
        self.began.get_or_init(Instant::now);
        self.requested.cancel();
    }
}

/// The shutdown of this process, which SIGTERM or SIGINT requests.
///
/// Everything that runs in the process watches [`Shutdown::requested`], finishes its work and
/// returns. A second signal, a second or more after the first, ends the process at once with status
/// 143 (SIGTERM) or 130 (SIGINT). After the limit the process ends with status 1. Neither loses what
/// is in the log.
///
/// From this call on the signals no longer end the process by themselves. Must be called
/// within a tokio runtime; fails only if the operating system refuses a handler.
pub fn on_signals(flags: &ShutdownFlags) -> io::Result<Shutdown> {
    let mut signals = Signals::listen()?;
    let shutdown = Shutdown::within(flags.shutdown_timeout);
    let begun = shutdown.clone();
    tokio::spawn(async move {
        let (first, _) = signals.next().await;
        let limit = begun.limit;
        tracing::info!(
            signal = first,
            ?limit,
            "shutting down; a second signal ends the process at once"
        );
        begun.begin();
        let status = tokio::select! {
            (second, status) = signals.next_request() => {
                tracing::warn!(signal = second, "ending at once");
                i32::from(status)
            }
            () = tokio::time::sleep(limit) => {
                tracing::error!(?limit, "ending now, see --shutdown-timeout; not all was finished");
                1
            }
        };
        output::finish(LAST_LINES);
        exit(status);
    });
    Ok(shutdown)
}

/// Calls `stop` with the exit status on the first signal, for commands. Like [`on_signals`], but
/// without a time limit.
pub fn on_first_signal(stop: impl FnOnce(u8) + Send + 'static) -> io::Result<()> {
    let mut signals = Signals::listen()?;
    tokio::spawn(async move {
        let (first, status) = signals.next().await;
        tracing::info!(signal = first, "stopping; a second signal ends the process at once");
        // Whoever stops the command may not read its results.
        _ = STOPPED_BY.set(status);
        output::give_results_up_after(UNREAD_RESULTS);
        stop(status);
        let (second, status) = signals.next_request().await;
        tracing::warn!(signal = second, "ending at once");
        output::finish(LAST_LINES);
        exit(i32::from(status));
    });
    Ok(())
}

static STOPPED_BY: OnceLock<u8> = OnceLock::new();

/// The exit status of the signal that has asked a command to stop. None: there was no signal.
pub(crate) fn status_of_signal() -> Option<u8> {
    STOPPED_BY.get().copied()
}

struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn listen() -> io::Result<Signals> {
        Ok(Signals {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    /// The next signal that is not the [same request](SAME_REQUEST) as the last one.
    async fn next_request(&mut self) -> (&'static str, u8) {
        let first = Instant::now();
        loop {
            let signal = self.next().await;
            if first.elapsed() >= SAME_REQUEST {
                return signal;
            }
        }
    }

    /// The name of the next signal, and the exit status that shells report for a process that it has
    /// ended.
    async fn next(&mut self) -> (&'static str, u8) {
        tokio::select! {
            _ = self.terminate.recv() => ("SIGTERM", 143),
            _ = self.interrupt.recv() => ("SIGINT", 130),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn every_phase_ends_within_the_limit() {
        let shutdown = Shutdown::within(Duration::from_secs(10));
        shutdown.begin();
        assert_eq!(shutdown.remaining(Phase::Attempts), Duration::from_millis(7_800));
        tokio::time::advance(Duration::from_secs(8)).await;
        assert_eq!(shutdown.remaining(Phase::Attempts), Duration::ZERO);
        assert_eq!(shutdown.remaining(Phase::Telemetry), Duration::from_millis(1_500));
        assert!(shutdown.grace_period() + LAST_ANSWERS < Duration::from_secs(5));
    }
}
