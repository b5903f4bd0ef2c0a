//! `ktw completions` and `ktw man`.

use std::io::{self, Write};
use std::path::PathBuf;

use clap::{Args, Command};
use clap_complete::Shell;

use crate::failure::Failure;

/// Prints completions for a shell.
#[derive(Args)]
pub(crate) struct Completions {
    /// The shell.
    #[arg(value_name = "SHELL")]
    shell: Shell,
}

/// Writes the manual's pages.
#[derive(Args)]
pub(crate) struct Man {
    /// The folder; it is made if it is missing. Without it, the first page is printed.
    #[arg(long, value_name = "FOLDER")]
    folder: Option<PathBuf>,
}

impl Completions {
    pub(crate) fn run(self, mut ktw: Command) -> Result<(), Failure> {
        let mut text = Vec::new();
        clap_complete::generate(self.shell, &mut ktw, "ktw", &mut text);
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
