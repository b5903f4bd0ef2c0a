//! Stopping: first in order, then at once.
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

use crate::exit::{LAST_LINES, UNREAD_RESULTS};
use crate::flags::positive_duration;
use crate::grpc_server::limits::LAST_ANSWERS;

/// Signals that come this soon after the first one are the same request: `timeout` and others send
/// one to a process and another to its group, and people's fingers repeat.
const SAME_REQUEST: Duration = Duration::from_secs(1);

/// How long the end of a process may take: less than the 10 s after which containers are killed.
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

/// The end of a process, and how much time it has. Clones are the same.
#[derive(Debug, Clone)]
pub struct Shutdown {
    asked: CancellationToken,
    /// When it was asked for.
    began: Arc<OnceLock<Instant>>,
    limit: Duration,
}

/// What a process does at its end, in this order. Each has until a part of the limit is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Pages of the console are finished.
    Pages,
    /// Calls are answered.
    Calls,
    /// Attempts are finished and recorded.
    Attempts,
    /// Appends are committed, and the database is closed.
    Appends,
    /// Spans and metrics are exported.
    Telemetry,
}

impl Phase {
    /// When it is over at the latest, in percent of the limit.
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
    /// An end that nobody has asked for.
    pub fn within(limit: Duration) -> Shutdown {
        Shutdown { asked: CancellationToken::new(), began: Arc::default(), limit }
    }

    /// Cancelled when the process is asked to stop.
    pub fn asked(&self) -> &CancellationToken {
        &self.asked
    }

    /// How long a phase may still take. The end begins now if nobody has asked for it: when
    /// something has failed.
    pub fn left(&self, phase: Phase) -> Duration {
        let began = *self.began.get_or_init(Instant::now);
        (began + self.limit * phase.end() / 100).saturating_duration_since(Instant::now())
    }

    /// How long calls may take before they are answered that the process is shutting down, from
    /// when the phase before is over.
    pub fn grace_period(&self) -> Duration {
        let calls = self.limit * (Phase::Calls.end() - Phase::Pages.end()) / 100;
        calls.saturating_sub(LAST_ANSWERS)
    }

    fn begin(&self) {
        self.began.get_or_init(Instant::now);
        self.asked.cancel();
    }
}

/// The end of this process, which SIGTERM or SIGINT asks for.
///
/// Whoever works in the process watches its token, finishes what is in hand, and returns. A second
/// signal, a second or more after the first, ends the process at once, with status 143 (SIGTERM)
/// or 130 (SIGINT): what is not in the log by then has not happened, and what is in it is safe. If whatever it may be has not
/// ended within the limit, the process ends all the same, with status 1.
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
            (second, status) = signals.another() => {
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

/// Calls `stop` when a command is asked to stop, as [`on_signals`] has it but without a limit, with
/// the status to exit with.
pub fn on_first_signal(stop: impl FnOnce(u8) + Send + 'static) -> io::Result<()> {
    let mut signals = Signals::listen()?;
    tokio::spawn(async move {
        let (first, status) = signals.next().await;
        tracing::info!(signal = first, "stopping; a second signal ends the process at once");
        // Who asks for the end need not read what the command has found.
        _ = STOPPED_BY.set(status);
        output::give_results_up_after(UNREAD_RESULTS);
        stop(status);
        let (second, status) = signals.another().await;
        tracing::warn!(signal = second, "ending at once");
        output::finish(LAST_LINES);
        exit(i32::from(status));
    });
    Ok(())
}

/// The exit status of the first signal that has asked a command to stop.
static STOPPED_BY: OnceLock<u8> = OnceLock::new();

/// With which status a command ends whose results nobody has read: that of the signal.
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

    /// The next one that is not the same request as one that has come just now.
    async fn another(&mut self) -> (&'static str, u8) {
        let first = Instant::now();
        loop {
            let signal = self.next().await;
            if first.elapsed() >= SAME_REQUEST {
                return signal;
            }
        }
    }

    /// The name of the next one, and the exit status that shells report for a process that it has
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
    async fn every_phase_has_its_end_within_the_limit() {
        let shutdown = Shutdown::within(Duration::from_secs(10));
        shutdown.begin();
        assert_eq!(shutdown.left(Phase::Attempts), Duration::from_millis(7_800));
        tokio::time::advance(Duration::from_secs(8)).await;
        assert_eq!(shutdown.left(Phase::Attempts), Duration::ZERO);
        assert_eq!(shutdown.left(Phase::Telemetry), Duration::from_millis(1_500));
        assert!(shutdown.grace_period() + LAST_ANSWERS < Duration::from_secs(5));
    }
}
