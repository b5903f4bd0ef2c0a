//! Runs a `main`: reads flags, prints the error, waits for the last lines, returns the exit status.
//!
//! Decision: docs/decisions/the-end-has-one-limit.md

use std::error::Error;
use std::fmt::Write;
use std::future::Future;
use std::process::ExitCode;

use clap::Parser;
use keeptrusts_webhooks_telemetry::{output, print_stderr};
use tokio::runtime;

use crate::command_line::{self, EnvironmentFlags};
use crate::shutdown::{self, LAST_LINES};

/// Why a program ends before it was asked to. Printed with its causes.
pub type Failure = Box<dyn Error + Send + Sync>;

/// The `main` of a server: reads its flags and runs it.
pub fn main<Flags: Parser>(program: impl AsyncFnOnce(Flags) -> Result<(), Failure>) -> ExitCode {
    let (flags, given) = command_line::parse();
    run(async { status(program(flags).await, &given) })
}

/// Runs a server. Afterwards the process waits only for its last log lines, and no longer than
/// [`LAST_LINES`]: not for threads that ask a name server or a collector.
pub fn run(main: impl Future<Output = ExitCode>) -> ExitCode {
    run_until(main, |code| {
        output::finish(LAST_LINES);
        code
    })
}

/// Runs a command. Afterwards the process waits until its results have been read. If a signal asks
/// it to stop, it waits no longer than [`UNREAD_RESULTS`](shutdown::UNREAD_RESULTS); results that
/// are unread then make the exit status that of the signal.
pub fn run_command(main: impl Future<Output = ExitCode>) -> ExitCode {
    run_until(main, |code| match output::finish_results(LAST_LINES) {
        true => code,
        false => shutdown::status_of_signal().map_or(code, ExitCode::from),
    })
}

/// The runtime, and with it the handlers of signals, stays up while the last lines are written.
fn run_until(
    main: impl Future<Output = ExitCode>,
    write_last_lines: impl FnOnce(ExitCode) -> ExitCode,
) -> ExitCode {
    let runtime = match runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            return write_last_lines(status(Err(error.into()), &EnvironmentFlags::default()));
        }
    };
    let code = write_last_lines(runtime.block_on(main));
    // Dropping the runtime would wait for every blocking call.
    runtime.shutdown_background();
    code
}

/// The exit status of a `main`: 0, or 1 after printing the error and its causes on stderr. Flags
/// that the environment has given are printed as their variables.
pub fn status(result: Result<(), Failure>, given: &EnvironmentFlags) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            print_stderr!("{}", given.with_variables(&with_causes(error.as_ref())));
            ExitCode::FAILURE
        }
    }
}

/// `error: …` and a line for each cause, unless the line before contains it already.
fn with_causes(error: &dyn Error) -> String {
    let mut last = error.to_string();
    let mut text = format!("error: {last}");
    let mut cause = error.source();
    while let Some(error) = cause {
        let next = error.to_string();
        if !last.contains(&next) {
            // Writing to a String cannot fail.
            let _ = write!(text, "\n  because: {next}");
        }
        last = next;
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
    fn an_error_is_printed_with_its_causes() {
        let error = chain(&["cannot open the database", "cannot read the file", "not permitted"]);
        assert_eq!(
            with_causes(&error),
            "error: cannot open the database\n  because: cannot read the file\n  because: not permitted"
        );
    }

    #[test]
    fn a_cause_that_the_error_contains_is_not_repeated() {
        let error = chain(&["cannot open: not permitted", "not permitted"]);
        assert_eq!(with_causes(&error), "error: cannot open: not permitted");
    }
}
