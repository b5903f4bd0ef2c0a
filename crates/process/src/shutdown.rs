//! Stopping: first in order, then at once.

use std::io;
use std::process::exit;
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// How long appends may take to finish when the process is asked to stop.
pub const APPENDS_PATIENCE: Duration = Duration::from_secs(10);

/// A token that is cancelled when the process is asked to stop, by SIGTERM or SIGINT.
///
/// Whoever works in the process watches it, finishes what is in hand, and returns. A second
/// signal ends the process at once, with status 143 (SIGTERM) or 130 (SIGINT): what is not in
/// the log by then has not happened, and what is in it is safe.
///
/// From this call on the signals no longer end the process by themselves. Must be called
/// within a tokio runtime; fails only if the operating system refuses a handler.
pub fn on_signals() -> io::Result<CancellationToken> {
    let asked = CancellationToken::new();
    let token = asked.clone();
    on_first_signal(move |_| asked.cancel())?;
    Ok(token)
}

/// Calls `stop` when the process is asked to stop, as [`on_signals`] has it, with the status to
/// exit with: 143 (SIGTERM) or 130 (SIGINT), as shells report for a process that a signal has
/// ended.
pub fn on_first_signal(stop: impl FnOnce(u8) + Send + 'static) -> io::Result<()> {
    let mut signals = Signals {
        terminate: signal(SignalKind::terminate())?,
        interrupt: signal(SignalKind::interrupt())?,
    };
    tokio::spawn(async move {
        let (first, status) = signals.next().await;
        tracing::info!(signal = first, "shutting down; a second signal ends the process at once");
        stop(status);
        let (second, status) = signals.next().await;
        tracing::warn!(signal = second, "ending at once");
        exit(i32::from(status));
    });
    Ok(())
}

struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    /// The name of the next one, and the exit status.
    async fn next(&mut self) -> (&'static str, u8) {
        tokio::select! {
            _ = self.terminate.recv() => ("SIGTERM", 143),
            _ = self.interrupt.recv() => ("SIGINT", 130),
        }
    }
}
