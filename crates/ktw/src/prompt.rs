//! Questions to the user.

use std::io::{self, IsTerminal, Write};

use crate::failure::Failure;

/// Whether somebody can answer: stdin and stderr are a terminal.
pub(crate) fn is_possible() -> bool {
    io::stdin().is_terminal() && io::stderr().is_terminal()
}

/// Asks for a yes. Without a terminal, the option `--yes` is needed.
pub(crate) fn confirm(question: &str) -> Result<(), Failure> {
    if !is_possible() {
        return Err(Failure::Usage(format!("{question} Nobody can answer here: add --yes")));
    }
    match line(&format!("{question} [y/N] "))?.to_lowercase().as_str() {
        "y" | "yes" => Ok(()),
        _ => Err(Failure::Usage("nothing was done".to_owned())),
    }
}

/// Asks for a line.
pub(crate) fn line(question: &str) -> Result<String, Failure> {
    let mut stderr = io::stderr().lock();
    let asked = write!(stderr, "{question}").and_then(|()| stderr.flush());
    asked.map_err(|error| Failure::local("ask", error))?;
    let mut answer = String::new();
    io::stdin().read_line(&mut answer).map_err(|error| Failure::local("read the answer", error))?;
    Ok(answer.trim().to_owned())
}

/// Asks for a secret, which is not shown while it is typed.
pub(crate) fn secret(question: &str) -> Result<String, Failure> {
    let answer = rpassword::prompt_password(question);
    let answer = answer.map_err(|error| Failure::local("read the answer", error))?;
    Ok(answer.trim().to_owned())
}
