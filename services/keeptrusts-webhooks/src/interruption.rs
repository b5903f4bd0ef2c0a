//! Ending a long command before it is done, by Ctrl-C or SIGTERM.

use std::error::Error;
use std::io;
use std::iter::successors;
use std::process::ExitCode;

use keeptrusts_webhooks_process::shutdown;
use tokio::sync::watch;

/// Whether the command was asked to end, and with which exit status.
#[derive(Clone)]
pub(crate) struct Interruption(watch::Receiver<Option<u8>>);

/// A command that was asked to end, and has.
#[derive(Debug, thiserror::Error)]
#[error("interrupted: {what}")]
pub(crate) struct Interrupted {
    what: String,
    status: u8,
}

impl Interruption {
    /// Listens from now on: the signals no longer end the process, but for a second one.
    pub(crate) fn listen() -> io::Result<Interruption> {
        let (sender, receiver) = watch::channel(None);
        shutdown::on_first_signal(move |status| {
            sender.send_replace(Some(status));
        })?;
        Ok(Interruption(receiver))
    }

    /// Does work that may be dropped in the middle. An error if it was, which says what has become
    /// of it and how to go on.
    pub(crate) async fn or<T>(
        &self,
        work: impl Future<Output = T>,
        what: impl FnOnce() -> String,
    ) -> Result<T, Interrupted> {
        let mut asked = self.0.clone();
        tokio::select! {
            biased;
            done = work => Ok(done),
            // It cannot fail: who is gone without having asked never asks.
            Ok(status) = asked.wait_for(Option::is_some) => {
                let status = status.unwrap_or_default();
                Err(Interrupted { what: what(), status })
            }
        }
    }

    /// Whether the command was asked to end.
    pub(crate) fn is_asked(&self) -> bool {
        self.0.borrow().is_some()
    }

    /// For between two steps: an error, as above, if the command was asked to end.
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
    async fn work_is_left_when_the_command_is_asked_to_end() {
        let (ask, asked) = watch::channel(None);
        let interruption = Interruption(asked);
        let what = || "half of it is done".to_owned();
        assert_eq!(interruption.or(async { 1 }, what).await.expect("nobody asked"), 1);
        interruption.check(what).expect("nobody asked");

        ask.send_replace(Some(130));
        let error = interruption.or(pending::<()>(), what).await.expect_err("it was left");
        assert_eq!(error.to_string(), "interrupted: half of it is done");
        assert_eq!(error.status, 130);
        assert!(exit_status(&error).is_some());
        interruption.check(what).expect_err("between two steps, too");
    }
}
