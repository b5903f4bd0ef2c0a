//! The frame of a `main`, and a process's last word.
//!
//! Decision: docs/decisions/the-end-has-one-limit.md

use std::error::Error;
use std::fmt::Write;
use std::future::Future;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use keeptrusts_webhooks_telemetry::{output, print_stderr};
use tokio::runtime;

use crate::command_line::{self, FromEnvironment};
use crate::shutdown;

/// Why a program ends before it was asked to, for people.
pub type Failure = Box<dyn Error + Send + Sync>;

/// How long the last lines may take to be written.
pub const LAST_LINES: Duration = Duration::from_millis(500);

/// How long results that nobody reads keep a command that was asked to stop.
pub const UNREAD_RESULTS: Duration = Duration::from_secs(2);

/// The `main` of a program that serves: reads its flags, and runs it to its end.
pub fn main<Flags: Parser>(program: impl AsyncFnOnce(Flags) -> Result<(), Failure>) -> ExitCode {
    let (flags, given) = command_line::read();
    run(async { with(program(flags).await, &given) })
}

/// Runs a process that serves. When it has ended nothing is waited for any more but its last
/// lines, and those for [`LAST_LINES`]: not a thread that asks a name server or a collector, and
/// not whoever should read its output.
pub fn run(main: impl Future<Output = ExitCode>) -> ExitCode {
    run_until(main, |code| {
        output::finish(LAST_LINES);
        code
    })
}

/// Runs a command. Its results are waited for until they are read, or it is asked to stop: then
/// for [`UNREAD_RESULTS`], and its status is the signal's if they are not read.
pub fn run_command(main: impl Future<Output = ExitCode>) -> ExitCode {
    run_until(main, |code| match output::finish_results(LAST_LINES) {
        true => code,
        false => shutdown::status_of_signal().map_or(code, ExitCode::from),
    })
}

/// Whoever listens to signals still does so while the last lines are written.
fn run_until(
    main: impl Future<Output = ExitCode>,
    write_last_lines: impl FnOnce(ExitCode) -> ExitCode,
) -> ExitCode {
    let runtime = match runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            return write_last_lines(with(Err(error.into()), &FromEnvironment::default()));
        }
    };
    let code = write_last_lines(runtime.block_on(main));
    // Dropped, it would wait for every blocking call that is under way.
    runtime.shutdown_background();
    code
}

/// The exit status of a `main`: 0, or 1 with the error and what caused it on stderr, in which
/// flags that the environment has given are called by their variables' names.
pub fn with(result: Result<(), Failure>, given: &FromEnvironment) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            print_stderr!("{}", given.name_in(&explained(error.as_ref())));
            ExitCode::FAILURE
        }
    }
}

/// `error: …` and a line for each cause that the lines before do not tell already.
fn explained(error: &dyn Error) -> String {
    let mut said = error.to_string();
    let mut text = format!("error: {said}");
    let mut cause = error.source();
    while let Some(error) = cause {
        let next = error.to_string();
        if !said.contains(&next) {
            // Writing to a String cannot fail.
            let _ = write!(text, "\n  because: {next}");
        }
        said = next;
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("{message}")]
    struct Layer {
        message: &'static str,
        source: Option<Box<Layer>>,
    }

    fn chain(messages: &[&'static str]) -> Layer {
        let [message, rest @ ..] = messages else { panic!("an error has a message") };
        let source = (!rest.is_empty()).then(|| Box::new(chain(rest)));
        Layer { message, source }
    }

    #[test]
    fn an_error_is_told_with_its_causes() {
        let error = chain(&["cannot open the database", "cannot read the file", "not permitted"]);
        assert_eq!(
            explained(&error),
            "error: cannot open the database\n  because: cannot read the file\n  because: not permitted"
        );
    }

    #[test]
    fn a_cause_that_was_told_already_is_not_repeated() {
        let error = chain(&["cannot open: not permitted", "not permitted"]);
        assert_eq!(explained(&error), "error: cannot open: not permitted");
    }
}
