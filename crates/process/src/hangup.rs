//! SIGHUP: the signal to read keys and certificates again.

use std::io;

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

/// Counts the SIGHUPs that the process has received. Code that reads files takes a clone of the
/// receiver and waits for changes; signals that arrive while it is busy are one change.
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
