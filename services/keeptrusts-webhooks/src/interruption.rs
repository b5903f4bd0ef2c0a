//! Interrupts a long command by Ctrl-C or SIGTERM.

use std::error::Error;
use std::io;
use std::iter::successors;
use std::process::ExitCode;

use keeptrusts_webhooks_process::shutdown;
use tokio::sync::watch;

/// Holds the exit status once a signal has asked the command to end.
#[derive(Clone)]
pub(crate) struct Interruption(watch::Receiver<Option<u8>>);

/// A command was interrupted.
#[derive(Debug, thiserror::Error)]
#[error("interrupted: {what}")]
pub(crate) struct Interrupted {
    what: String,
    status: u8,
}

impl Interruption {
    /// Handles signals from now on: the first one no longer ends the process, a second one does.
    pub(crate) fn listen() -> io::Result<Interruption> {
        let (sender, receiver) = watch::channel(None);
        shutdown::on_first_signal(move |status| {
            sender.send_replace(Some(status));
        })?;
        Ok(Interruption(receiver))
    }

    /// Does work that may be dropped in the middle. If it was, the error says what was done and how to
    /// continue.
    pub(crate) async fn run<T>(
        &self,
        work: impl Future<Output = T>,
        what: impl FnOnce() -> String,
    ) -> Result<T, Interrupted> {
        let mut signal = self.0.clone();
        tokio::select! {
            biased;
            done = work => Ok(done),
            // An error means that the sender is gone, so that no signal can come.
            Ok(status) = signal.wait_for(Option::is_some) => {
                let status = status.unwrap_or_default();
                Err(Interrupted { what: what(), status })
            }
        }
    }

    pub(crate) fn is_requested(&self) -> bool {
        self.0.borrow().is_some()
    }

    /// For use between two steps: an error, as above, if a signal has come.
    pub(crate) fn check(&self, what: impl FnOnce() -> String) -> Result<(), Interrupted> {
        match *self.0.borrow() {
            Some(status) => Err(Interrupted { what: what(), status }),
            None => Ok(()),
        }
    }
}

/// The exit status of a command that ended with `error`, if it was interrupted.
pub(crate) fn exit_status(error: &(dyn Error + 'static)) -> Option<ExitCode> {
    successors(Some(error), |error: &&(dyn Error + 'static)| (*error).source())
        .find_map(|error| error.downcast_ref::<Interrupted>())
        .map(|interrupted| ExitCode::from(interrupted.status))
}

#[cfg(test)]
mod tests {
    use std::future::pending;

    use super::*;

    #[tokio::test]
    async fn work_is_dropped_when_a_signal_comes() {
        let (signals, receiver) = watch::channel(None);
        let interruption = Interruption(receiver);
        let what = || "half of it is done".to_owned();
        assert_eq!(interruption.run(async { 1 }, what).await.expect("no signal came"), 1);
        interruption.check(what).expect("no signal came");

        signals.send_replace(Some(130));
        let error = interruption.run(pending::<()>(), what).await.expect_err("it was dropped");
        assert_eq!(error.to_string(), "interrupted: half of it is done");
        assert_eq!(error.status, 130);
        assert!(exit_status(&error).is_some());
        interruption.check(what).expect_err("between two steps, too");
    }
}
