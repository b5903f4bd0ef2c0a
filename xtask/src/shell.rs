//! Runs other programs.

use std::path::Path;
use std::process::{Command, Stdio};

use crate::failure::{Failure, Result};
use crate::workspace;

/// The command as it would be typed at the root.
pub(crate) fn words(command: &Command) -> String {
    let program = Path::new(command.get_program());
    let program = match program.strip_prefix(workspace::root()) {
        Ok(ours) => ours.as_os_str(),
        Err(_) => program.file_name().unwrap_or(program.as_os_str()),
    };
    std::iter::once(program)
        .chain(command.get_args())
        .map(|word| {
            let word = word.to_string_lossy();
            let needs_quotes = word.is_empty() || word.contains([' ', '*', '$', '"', '\n']);
            if needs_quotes { format!("'{word}'") } else { word.into_owned() }
        })
        .collect::<Vec<_>>()
        .join(" ")
}

/// Runs the command with our standard output and error, and fails unless it succeeds. It gets no
/// standard input, so that a program with a question fails instead of waiting.
pub(crate) fn run(command: &mut Command) -> Result {
    let status = command
        .stdin(Stdio::null())
        .status()
        .map_err(|error| Failure::new(format!("could not start `{}`: {error}", words(command))))?;
    if status.success() {
        Ok(())
    } else {
        Err(Failure::new(format!("`{}` failed: {status}", words(command))))
    }
}

/// Runs the command and returns its standard output. A failure contains all its output.
pub(crate) fn run_quietly(command: &mut Command) -> Result<String> {
    let output = command
        .stdin(Stdio::null())
        .output()
        .map_err(|error| Failure::new(format!("could not start `{}`: {error}", words(command))))?;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    if output.status.success() {
        return Ok(said);
    }
    Err(Failure::new(format!(
        "`{}` failed: {}\n{said}{}",
        words(command),
        output.status,
        String::from_utf8_lossy(&output.stderr)
    )))
}

/// Whether the command can be started and succeeds.
pub(crate) fn succeeds(command: &mut Command) -> bool {
    run_quietly(command).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_shown_as_they_would_be_typed() {
        let mut command = Command::new("/somewhere/bin/cargo");
        command.args(["test", "--test", "a b"]);
        assert_eq!(words(&command), "cargo test --test 'a b'");
        let tool = workspace::root().join("target/tools/tool");
        assert_eq!(words(&Command::new(tool)), "target/tools/tool");
    }

    #[test]
    fn a_failure_contains_the_programs_output() {
        let said = run_quietly(Command::new("sh").args(["-c", "echo out; echo err >&2; exit 3"]));
        let failure = said.err().unwrap().to_string();
        for part in ["exit status: 3", "out", "err"] {
            assert!(failure.contains(part), "{failure}");
        }
    }
}
