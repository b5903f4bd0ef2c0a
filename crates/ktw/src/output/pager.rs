//! Long tables go through the user's pager.

use std::env;
use std::io::{self, IsTerminal, Write};
use std::process::{Command, Stdio};

use anstream::AutoStream;
use terminal_size::{Height, terminal_size};

use crate::failure::Failure;

/// Prints a text, through `$PAGER` (or `less -FRX`) if stdout is a terminal with fewer lines.
pub(super) fn show(text: &str) -> Result<(), Failure> {
    let is_longer = terminal_size()
        .is_some_and(|(_, Height(height))| text.lines().count() >= usize::from(height));
    let paged = is_longer && io::stdout().is_terminal() && through_pager(text).is_ok();
    if paged {
        return Ok(());
    }
    let mut stdout = AutoStream::auto(io::stdout().lock());
    stdout.write_all(text.as_bytes())?;
    Ok(stdout.flush()?)
}

/// An error: there is no such pager, and nothing was shown.
fn through_pager(text: &str) -> io::Result<()> {
    let pager = env::var("PAGER").unwrap_or_default();
    let mut words = pager.split_whitespace();
    let (program, arguments): (&str, Vec<&str>) = match words.next() {
        Some(program) => (program, words.collect()),
        None => ("less", vec!["-FRX"]),
    };
    let mut child = Command::new(program).args(arguments).stdin(Stdio::piped()).spawn()?;
    if let Some(mut stdin) = child.stdin.take() {
        let mut colored = AutoStream::new(Vec::new(), AutoStream::choice(&io::stdout()));
        colored.write_all(text.as_bytes())?;
        // The user may leave the pager before everything is written.
        let _ = stdin.write_all(&colored.into_inner());
    }
    child.wait()?;
    Ok(())
}
