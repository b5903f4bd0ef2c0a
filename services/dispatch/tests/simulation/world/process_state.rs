//! Whether a simulated process runs, is frozen (SIGSTOP), or is dead (SIGKILL).

use tokio::sync::watch;

/// Stands between a process and everything else: while the process does not run, none of its calls
/// goes out and no answer comes in, so whatever its tasks still do has no effect.
pub(crate) struct ProcessState(watch::Sender<State>);

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Running,
    Frozen,
    Dead,
}

impl ProcessState {
    pub(crate) fn new_running() -> ProcessState {
        ProcessState(watch::Sender::new(State::Running))
    }

    pub(crate) fn freeze(&self) {
        self.0.send_replace(State::Frozen);
    }

    pub(crate) fn thaw(&self) {
        self.0.send_replace(State::Running);
    }

    /// Final.
    pub(crate) fn kill(&self) {
        self.0.send_replace(State::Dead);
    }

    /// Waits until the process runs: for ever if it is dead.
    pub(crate) async fn running(&self) {
        // We hold the sender, so it cannot be dropped.
        _ = self.0.subscribe().wait_for(|state| *state == State::Running).await;
    }
}
