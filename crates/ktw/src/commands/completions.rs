//! `ktw completions` and `ktw man`.

use std::io::{self, Write};
use std::path::PathBuf;

use clap::{Args, Command};
use clap_complete::Shell;
use clap_complete::env::Shells;

use crate::completion::VARIABLE;
use crate::failure::Failure;

/// Prints completions for a shell: `source <(ktw completions bash)`.
///
/// They ask this program, which asks the server for endpoints and channels, replays and types of events. If
/// the server does not answer within a second, these are not offered.
#[derive(Args)]
#[command(after_help = "\
Examples:
  source <(ktw completions bash)                                # in ~/.bashrc; zsh likewise
  ktw completions fish | source                                 # in ~/.config/fish/config.fish
  ktw completions powershell | Out-String | Invoke-Expression   # in $PROFILE
  eval (ktw completions elvish | slurp)                         # in ~/.elvish/rc.elv")]
pub(crate) struct Completions {
    /// The shell.
    #[arg(value_name = "SHELL")]
    shell: Shell,
}

/// Writes the manual's pages into a folder: `ktw man --folder ~/.local/share/man/man1`.
#[derive(Args)]
pub(crate) struct Man {
    /// The folder; it is made if it is missing. Without it, the first page is printed.
    #[arg(long, value_name = "FOLDER")]
    folder: Option<PathBuf>,
}

impl Completions {
    pub(crate) fn run(self) -> Result<(), Failure> {
        let shells = Shells::builtins();
        let name = self.shell.to_string();
        let shell = shells
            .completer(&name)
            .ok_or_else(|| Failure::Usage(format!("there are no completions for {name}")))?;
        let mut text = Vec::new();
        shell.write_registration(VARIABLE, "ktw", "ktw", "ktw", &mut text)?;
        Ok(io::stdout().lock().write_all(&text)?)
    }
}

impl Man {
    pub(crate) fn run(self, ktw: Command) -> Result<(), Failure> {
        let Some(folder) = self.folder else {
            let mut text = Vec::new();
            clap_mangen::Man::new(ktw).render(&mut text)?;
            return Ok(io::stdout().lock().write_all(&text)?);
        };
        let doing = || format!("write the manual's pages to {}", folder.display());
        let written =
            std::fs::create_dir_all(&folder).and_then(|()| clap_mangen::generate_to(ktw, &folder));
        written.map_err(|error| Failure::local(doing(), error))
    }
}
