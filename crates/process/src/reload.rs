//! Reading again what a running process was started with: keys, certificates.

use std::io;

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

/// Counts how often the process was asked to read its files again, by SIGHUP.
///
/// Whoever reads some of them takes a clone and waits for it to change. Signals that come while
/// it is busy are one change.
///
/// From this call on the signal no longer ends the process. Must be called within a tokio
/// runtime; fails only if the operating system refuses a handler.
pub fn on_hangup() -> io::Result<watch::Receiver<u64>> {
    let mut hangups = signal(SignalKind::hangup())?;
    let (count, counted) = watch::channel(0);
    tokio::spawn(async move {
        while hangups.recv().await.is_some() {
            tracing::info!(signal = "SIGHUP", "asked to read keys and certificates again");
            count.send_modify(|count| *count += 1);
        }
    });
    Ok(counted)
}
