//! Why a command failed: what is printed, and the exit status that scripts see.

use std::fmt;
use std::io;
use std::process::ExitCode;

use client::Code;
use keeptrusts_webhooks_client as client;

use crate::wording::Wording;

/// What `ktw --help` says about exit statuses; [`Failure::status`] keeps to it.
pub(crate) const EXIT_STATUSES: &str = "\
Exit status:
  0  it worked
  1  it failed for a reason that is not below
  2  wrong arguments
  3  there is no such thing, or it is another organization's
  4  the key is missing, wrong, or may not do this
  5  the server found a value wrong
  6  it cannot be done in the present state, or somebody else was faster
  7  the server cannot be reached, or did not answer in time
  8  a limit or a quota is reached
  9  a check failed: `verify`, `doctor`, `test`, lines of `publish`
  130  it was interrupted (Ctrl+C) before its end";

/// Why a command ends without success.
#[derive(Debug)]
pub(crate) enum Failure {
    /// What the user gave is wrong, and was found wrong here.
    Usage(String),
    /// There is no such thing, which was found out here.
    NotFound(String),
    /// There is no key, and nothing that needs none was asked for.
    NoKey(String),
    /// The server refused, or could not be reached.
    Call(client::Error),
    /// A check has failed, which the output says.
    Check(String),
    /// Something of this machine: a file, a terminal, a local server.
    Local {
        /// What was done.
        doing: String,
        /// What went wrong.
        error: String,
    },
    /// The user has ended it before its end; what has happened until then.
    Interrupted(String),
    /// Nobody reads the output any more, which is no error: `ktw … | head`.
    OutputClosed,
}

impl Failure {
    /// Something of this machine went wrong while this was done.
    pub(crate) fn local(doing: impl Into<String>, error: impl fmt::Display) -> Failure {
        Failure::Local { doing: doing.into(), error: error.to_string() }
    }

    /// Whether the server, or the client, found what was sent wrong: something else may be right.
    pub(crate) fn is_about_the_value(&self) -> bool {
        let Failure::Call(error) = self else { return false };
        matches!(error.code(), Code::InvalidArgument | Code::OutOfRange | Code::AlreadyExists)
    }

    /// The exit status; see [`EXIT_STATUSES`].
    pub(crate) fn status(&self) -> ExitCode {
        let status = match self {
            Failure::OutputClosed => 0,
            Failure::Local { .. } => 1,
            Failure::Usage(_) => 2,
            Failure::NotFound(_) => 3,
            Failure::NoKey(_) => 4,
            Failure::Check(_) => 9,
            // As shells have it: 128 and the number of SIGINT.
            Failure::Interrupted(_) => 130,
            Failure::Call(error) => match error.code() {
                Code::NotFound => 3,
                Code::Unauthenticated | Code::PermissionDenied => 4,
                Code::InvalidArgument | Code::OutOfRange => 5,
                Code::FailedPrecondition | Code::AlreadyExists | Code::Aborted => 6,
                Code::Unavailable | Code::DeadlineExceeded => 7,
                Code::ResourceExhausted => 8,
                _ => 1,
            },
        };
        ExitCode::from(status)
    }

    /// What is printed: what went wrong, each wrong field, and what helps. In the API's words.
    pub(crate) fn text(&self) -> String {
        self.text_in(&Wording::default())
    }

    /// The same in the words of a command.
    pub(crate) fn text_in(&self, wording: &Wording) -> String {
        match self {
            Failure::OutputClosed => String::new(),
            Failure::Usage(message)
            | Failure::NotFound(message)
            | Failure::NoKey(message)
            | Failure::Check(message) => {
                format!("error: {message}")
            }
            Failure::Interrupted(message) => format!("interrupted: {message}"),
            Failure::Local { doing, error } => format!("error: cannot {doing}: {error}"),
            Failure::Call(error) => call_text(error, wording),
        }
    }
}

fn call_text(error: &client::Error, wording: &Wording) -> String {
    let violations = error.field_violations();
    let mut lines = vec![match violations.is_empty() {
        true => format!("error: {}", wording.text(error.message())),
        false => "error: the server found values wrong".to_owned(),
    }];
    for client::FieldViolation { field, description, .. } in violations {
        let line = format!("  {}: {}", wording.field(field), wording.text(description));
        // Several items of one option may break the same rule.
        if !lines.contains(&line) {
            lines.push(line);
        }
    }
    if let Some(delay) = error.retry_delay() {
        lines.push(format!("  a retry may work in {:.1} s", delay.as_secs_f64()));
    }
    if let Some(help) = help(error.code()) {
        lines.push(format!("  {help}"));
    }
    if let Some(id) = error.request_id() {
        lines.push(format!("  request id: {id}"));
    }
    lines.join("\n")
}

fn help(code: Code) -> Option<&'static str> {
    match code {
        Code::Unauthenticated => {
            Some("`ktw doctor` says which key was used; `ktw profiles add` stores another one")
        }
        Code::PermissionDenied => Some("`ktw doctor` says what the key may do"),
        Code::Unavailable => {
            Some("`ktw doctor` says which address was used and what answers there")
        }
        Code::Aborted => Some("read it again (`get`), and decide again"),
        _ => None,
    }
}

impl From<client::Error> for Failure {
    fn from(error: client::Error) -> Failure {
        Failure::Call(error)
    }
}

/// Of what is printed.
impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Failure {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Failure::OutputClosed,
            _ => Failure::local("write the output", error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_on_the_command_line_has_every_exit_status() {
        let page = include_str!("../../../docs/ktw.md");
        let statuses = EXIT_STATUSES.lines().skip(1).map(|line| line.trim().split_once("  "));
        for (status, meaning) in statuses.map(|line| line.expect("a status and its meaning")) {
            let row = format!("| {status} | {meaning} |");
            assert!(page.contains(&row), "docs/ktw.md has no row {row}");
        }
    }
}
