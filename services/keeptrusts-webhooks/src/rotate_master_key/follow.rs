//! Has a running server rotate: signals it by SIGHUP, and follows its progress in the database.

use std::path::Path;
use std::time::Duration;

use keeptrusts_webhooks_process::database::RunningServer;
use keeptrusts_webhooks_store::Store;
use keeptrusts_webhooks_telemetry::print_stderr;
use rustix::process::{Pid, Signal, kill_process};
use tokio::time::{Instant, sleep};

use super::data_key_counts::count_data_keys;
use super::error::RotationError;
use crate::progress::Progress;

const POLL_INTERVAL: Duration = Duration::from_millis(200);
/// How long there may be no progress before the wait ends.
const TIMEOUT: Duration = Duration::from_secs(60);
/// The same if a person has to send the signal first.
const TIMEOUT_FOR_MANUAL_SIGNAL: Duration = Duration::from_secs(600);

/// Signals the server, and waits until all data keys are wrapped under the new master key, or until
/// there is no progress any more.
pub(super) async fn wait_until_rotated(
    store: &dyn Store,
    server: &RunningServer,
    master_key_id: &str,
    path: &Path,
) -> Result<(), RotationError> {
    let timeout = match send_hangup(server) {
        Ok(()) => {
            print_stderr!("told {} to read the file", server.description);
            TIMEOUT
        }
        Err(reason) => {
            print_stderr!("cannot send SIGHUP to {}: {reason}", server.description);
            print_stderr!("send it yourself now, for example by `systemctl kill -s HUP`; waiting");
            TIMEOUT_FOR_MANUAL_SIGNAL
        }
    };
    let mut progress = None;
    let (mut last, mut changed) = (None, Instant::now());
    loop {
        let current = store.master_keys().await?.current;
        let counts = count_data_keys(store).await?;
        let all: u64 = counts.values().sum();
        let done = counts.get(master_key_id).copied().unwrap_or_default();
        if current.as_deref() == Some(master_key_id) && done == all {
            return Ok(());
        }
        if last != Some((current.clone(), done)) {
            progress.get_or_insert_with(|| Progress::new(all, "data keys")).reached(done);
            (last, changed) = (Some((current, done)), Instant::now());
        }
        if changed.elapsed() > timeout {
            let server = server.description.clone();
            return Err(RotationError::ServerDoesNothing { server, path: path.to_owned() });
        }
        sleep(POLL_INTERVAL).await;
    }
}

fn send_hangup(server: &RunningServer) -> Result<(), String> {
    let id = server.process_id.and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
    let id = id.ok_or("it is not certain which process that is")?;
    kill_process(id, Signal::HUP).map_err(|error| error.to_string())
}
