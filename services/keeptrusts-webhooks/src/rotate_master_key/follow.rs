//! A rotation that a running server does: told by SIGHUP, followed in the database.

use std::path::Path;
use std::time::Duration;

use keeptrusts_webhooks_process::database::RunningServer;
use keeptrusts_webhooks_store::Store;
use keeptrusts_webhooks_telemetry::print_stderr;
use rustix::process::{Pid, Signal, kill_process};
use tokio::time::{Instant, sleep};

use super::{RotationError, count_data_keys};
use crate::progress::Progress;

/// Between two looks at the database.
const LOOK_AGAIN: Duration = Duration::from_millis(200);
/// How long nothing may change before the server is given up on.
const PATIENCE: Duration = Duration::from_secs(60);
/// The same if somebody has to send the signal first.
const PATIENCE_WITH_PEOPLE: Duration = Duration::from_secs(600);

/// Tells the server, and waits until all data keys are wrapped under the new master key, or
/// until nothing changes any more.
pub(super) async fn until_done(
    store: &dyn Store,
    server: &RunningServer,
    master_key_id: &str,
    path: &Path,
) -> Result<(), RotationError> {
    let patience = match hang_up(server) {
        Ok(()) => {
            print_stderr!("told {} to read the file", server.description);
            PATIENCE
        }
        Err(reason) => {
            print_stderr!("cannot send SIGHUP to {}: {reason}", server.description);
            print_stderr!("send it yourself now, for example by `systemctl kill -s HUP`; waiting");
            PATIENCE_WITH_PEOPLE
        }
    };
    let mut progress = None;
    let (mut seen, mut changed) = (None, Instant::now());
    loop {
        let current = store.master_keys().await?.current;
        let counts = count_data_keys(store).await?;
        let all: u64 = counts.values().sum();
        let done = counts.get(master_key_id).copied().unwrap_or_default();
        if current.as_deref() == Some(master_key_id) && done == all {
            return Ok(());
        }
        if seen != Some((current.clone(), done)) {
            progress.get_or_insert_with(|| Progress::new(all, "data keys")).reached(done);
            (seen, changed) = (Some((current, done)), Instant::now());
        }
        if changed.elapsed() > patience {
            let server = server.description.clone();
            return Err(RotationError::ServerDoesNothing { server, path: path.to_owned() });
        }
        sleep(LOOK_AGAIN).await;
    }
}

fn hang_up(server: &RunningServer) -> Result<(), String> {
    let id = server.process_id.and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
    let id = id.ok_or("it is not certain which process that is")?;
    kill_process(id, Signal::HUP).map_err(|error| error.to_string())
}
