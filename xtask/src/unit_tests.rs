//! Builds all unit tests, then runs several test binaries at the same time.
//!
//! `cargo test` runs one binary after the other, although most of them end with a few slow tests
//! that use one core, or wait for a database.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader, IsTerminal, stderr};
use std::num::NonZero;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::{Mutex, PoisonError, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use crate::failure::{Context, Failure, Result};
use crate::workspace;

/// The names of tests that need a Postgres server begin so. They have a step of their own, so that the
/// others answer soon after a change.
pub(crate) const POSTGRES_TESTS: &str = "postgres::tests::";

/// What is tested, for `cargo test`.
const TARGETS: [&str; 4] = ["test", "--workspace", "--lib", "--bins"];

/// A test binary that has ended.
struct Finished {
    name: String,
    output: std::io::Result<Output>,
    duration: Duration,
}

/// Variables that say where the tools are.
type Environment = [(&'static str, PathBuf)];

/// Builds and runs them. All of them run, even if one fails.
pub(crate) fn run(environment: &Environment) -> Result {
    let mut binaries = build(environment)?;
    // The largest belong to the crates with the longest tests, which should not begin last.
    binaries.sort_by_key(|binary| binary.metadata().map_or(0, |metadata| metadata.len()));
    let queue = Mutex::new(VecDeque::from_iter(binaries.into_iter().rev()));
    let next = || queue.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
    let mut failed = Vec::new();
    thread::scope(|scope| {
        let (sender, finished) = mpsc::channel();
        for _ in 0..thread::available_parallelism().map_or(1, NonZero::get) {
            let (sender, next) = (sender.clone(), &next);
            scope.spawn(move || {
                while let Some(binary) = next() {
                    // The receiver outlives the senders.
                    _ = sender.send(run_binary(&binary, environment));
                }
            });
        }
        drop(sender);
        for binary in finished {
            if !report(&binary) {
                failed.push(binary.name);
            }
        }
    });
    if failed.is_empty() {
        return Ok(());
    }
    failed.sort();
    Err(Failure::new(format!("unit tests failed in {}", failed.join(", "))))
}

/// Builds the test binaries; returns their paths. Cargo's other lines are passed on.
fn build(environment: &Environment) -> Result<Vec<PathBuf>> {
    let color = if stderr().is_terminal() { "--color=always" } else { "--color=never" };
    let mut command = workspace::cargo(&[&TARGETS[..], &["--no-run", color]].concat());
    let doing = || "run cargo".to_owned();
    command.envs(environment.iter().cloned());
    let mut cargo = command.stdin(Stdio::null()).stderr(Stdio::piped()).spawn().context(doing)?;
    let mut binaries = Vec::new();
    for line in cargo.stderr.take().into_iter().flat_map(|output| BufReader::new(output).lines()) {
        let line = line.context(doing)?;
        match executable(&line) {
            Some(binary) => binaries.push(binary),
            None => eprintln!("{line}"),
        }
    }
    match cargo.wait().context(doing)? {
        status if !status.success() => Err(Failure::new("the unit tests do not build")),
        _ if binaries.is_empty() => Err(Failure::new("cargo names no test binary")),
        _ => Ok(binaries),
    }
}

/// The path in a line such as `Executable unittests src/lib.rs (target/debug/deps/access-1f2e)`.
fn executable(line: &str) -> Option<PathBuf> {
    let path = line.rsplit_once('(')?.1.strip_suffix(')')?;
    let names_binary = line.contains("Executable") && line.contains(" unittests ");
    names_binary.then(|| workspace::root().join(path))
}

fn run_binary(binary: &Path, environment: &Environment) -> Finished {
    let start = Instant::now();
    let mut command = Command::new(binary);
    command.args(["--skip", POSTGRES_TESTS]);
    command.envs(environment.iter().cloned()).current_dir(workspace::root());
    let output = command.stdin(Stdio::null()).output();
    Finished { name: crate_name(binary), output, duration: start.elapsed() }
}

/// `access` for `target/debug/deps/access-1f2e`.
fn crate_name(binary: &Path) -> String {
    let file = binary.file_name().unwrap_or_default().to_string_lossy();
    file.rsplit_once('-').map_or(&*file, |(name, _)| name).to_owned()
}

/// Prints a line for a success, everything for a failure; returns whether it is a success.
fn report(Finished { name, output, duration }: &Finished) -> bool {
    let seconds = duration.as_secs_f64();
    let output = match output {
        Ok(output) => output,
        Err(error) => {
            println!("{name}: cannot be started: {error}");
            return false;
        }
    };
    let text = String::from_utf8_lossy(&output.stdout);
    if !output.status.success() {
        println!("{text}{}", String::from_utf8_lossy(&output.stderr));
        println!("{name}: failed after {seconds:.1} s ({})", output.status);
        return false;
    }
    let results: Vec<_> =
        text.lines().filter_map(|line| line.strip_prefix("test result: ")).collect();
    println!("{name}: {} ({seconds:.1} s)", results.join("; "));
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_binaries_are_read_from_what_cargo_prints() {
        let lines = [
            "    Finished `test` profile [unoptimized (0)] in 0.40s (cached)",
            "  Executable unittests src/lib.rs (target/debug/deps/access-1f2e)",
            "\u{1b}[1m  Executable\u{1b}[0m unittests src/main.rs (/elsewhere/deps/x-task-03)",
        ];
        let paths: Vec<_> = lines.into_iter().filter_map(executable).collect();
        let names: Vec<_> = paths.iter().map(|path| crate_name(path)).collect();
        assert_eq!(names, ["access", "x-task"]);
        assert_eq!(paths[0], workspace::root().join("target/debug/deps/access-1f2e"));
        assert_eq!(paths[1], Path::new("/elsewhere/deps/x-task-03"));
    }

    #[test]
    fn a_binary_that_fails_or_cannot_be_started_fails_the_step() {
        for (program, succeeds) in [("/bin/true", true), ("/bin/false", false), ("/no/such", false)]
        {
            assert_eq!(report(&run_binary(Path::new(program), &[])), succeeds, "{program}");
        }
    }
}
