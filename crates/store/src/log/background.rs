//! The background tasks of a log: they end when it is closed.

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// The tasks, and the signal that ends them.
#[derive(Clone, Default)]
pub(crate) struct BackgroundTasks {
    pub(crate) tracker: TaskTracker,
    /// From now on nothing new is accepted.
    pub(crate) stop: CancellationToken,
}

impl BackgroundTasks {
    /// Runs a task until the log is closed.
    pub(crate) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.tracker.spawn(self.stop.clone().run_until_cancelled_owned(task));
    }
}
