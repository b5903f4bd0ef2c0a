//! Child processes of a test: our binaries, or any program.
//!
//! A child's output is kept and shown if its test fails. The child has its own process group and ends
//! with the test.

mod output;

use std::env;
use std::ffi::{OsStr, OsString};
use std::io::{self, PipeWriter};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use rustix::process::{
    Pid, Signal as RawSignal, WaitId, WaitIdOptions, kill_process, kill_process_group, waitid,
};
use tokio::process::{Child, Command};
use tokio::time::timeout;

use self::output::Output;
use crate::watchdog::Watchdog;

/// A program with its arguments and environment.
#[derive(Clone, Debug)]
pub struct Launch {
    program: PathBuf,
    arguments: Vec<OsString>,
    environment: Vec<(OsString, OsString)>,
    stdout: Option<Arc<PipeWriter>>,
    stderr: Option<Arc<PipeWriter>>,
}

impl Launch {
    /// A binary of this workspace, in the profile of the running test.
    pub fn binary(name: &str) -> Self {
        let test = env::current_exe().expect("the running test has a path");
        // target/<profile>/deps/<test>
        let profile = test.ancestors().nth(2).unwrap_or(Path::new("."));
        let program = profile.join(name);
        assert!(
            program.is_file(),
            "{} is missing: run `cargo build --workspace --bins` first",
            program.display()
        );
        Self::program(program)
    }

    /// Any other program, by path or from PATH.
    pub fn program(program: impl Into<PathBuf>) -> Self {
        Self {
            program: program.into(),
            arguments: Vec::new(),
            environment: Vec::new(),
            stdout: None,
            stderr: None,
        }
    }

    pub fn arg(mut self, argument: impl AsRef<OsStr>) -> Self {
        self.arguments.push(argument.as_ref().to_owned());
        self
    }

    pub fn args<A: AsRef<OsStr>>(mut self, arguments: impl IntoIterator<Item = A>) -> Self {
        let arguments = arguments.into_iter().map(|argument| argument.as_ref().to_owned());
        self.arguments.extend(arguments);
        self
    }

    /// Sets an environment variable. The test's own environment is passed on, except our binaries'
    /// configuration (`KEEPTRUSTS_WEBHOOKS_*`) and `RUST_LOG`.
    pub fn env(mut self, name: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> Self {
        self.environment.push((name.as_ref().to_owned(), value.as_ref().to_owned()));
        self
    }

    /// Redirects standard output to a pipe of the test, which need not read it. It is then not in
    /// [`Process::output`].
    pub fn stdout(mut self, pipe: &Arc<PipeWriter>) -> Self {
        self.stdout = Some(Arc::clone(pipe));
        self
    }

    /// Redirects standard error to a pipe of the test, which need not read it. It is then not in
    /// [`Process::output`].
    pub fn stderr(mut self, pipe: &Arc<PipeWriter>) -> Self {
        self.stderr = Some(Arc::clone(pipe));
        self
    }

    /// Starts it from a shell that first runs `script`, such as `ulimit -n 64`.
    pub fn after(self, script: &str) -> Self {
        let mut arguments = vec!["-c".into(), format!("{script}; exec \"$0\" \"$@\"").into()];
        arguments.push(self.program.into_os_string());
        arguments.extend(self.arguments);
        Self { program: "sh".into(), arguments, ..self }
    }

    /// Must be called in the tokio runtime that will wait for the process.
    pub fn start(&self) -> Process {
        Process::start(self)
    }

    fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        for (name, _) in env::vars_os() {
            let is_ours =
                name.to_str().is_some_and(|name| name.starts_with("KEEPTRUSTS_WEBHOOKS_"));
            if is_ours || name == "RUST_LOG" {
                command.env_remove(name);
            }
        }
        command
            .args(&self.arguments)
            // Lines are matched as text, without colours.
            .env("NO_COLOR", "1")
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .process_group(0)
            .stdin(Stdio::null());
        command
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// SIGTERM: terminate.
    Term,
    /// SIGINT: Ctrl-C.
    Int,
    /// SIGHUP: reload files.
    Hangup,
    /// SIGKILL.
    Kill,
    /// SIGSTOP: suspend.
    Stop,
    /// SIGCONT: resume.
    Continue,
}

impl From<Signal> for RawSignal {
    fn from(signal: Signal) -> Self {
        match signal {
            Signal::Term => RawSignal::TERM,
            Signal::Int => RawSignal::INT,
            Signal::Hangup => RawSignal::HUP,
            Signal::Kill => RawSignal::KILL,
            Signal::Stop => RawSignal::STOP,
            Signal::Continue => RawSignal::CONT,
        }
    }
}

/// A running or ended child process; it is killed when it is dropped.
#[derive(Debug)]
pub struct Process {
    name: String,
    child: Child,
    leader: Pid,
    output: Output,
    watchdog: Watchdog,
}

impl Process {
    fn start(launch: &Launch) -> Self {
        let name = launch
            .program
            .file_name()
            .map_or_else(String::new, |name| name.to_string_lossy().into_owned());
        // One pipe for both, so that lines keep their order.
        let (reader, writer) = io::pipe().expect("a pipe can be made");
        let mut command = launch.command();
        let end = |pipe: &Option<Arc<PipeWriter>>| {
            let pipe = pipe.as_deref().unwrap_or(&writer);
            pipe.try_clone().expect("a pipe's end can be cloned")
        };
        command.stdout(end(&launch.stdout));
        command.stderr(end(&launch.stderr));
        drop(writer);
        let mut watchdog = Watchdog::start("KILL", None);
        let child = command.spawn().unwrap_or_else(|error| {
            panic!("could not start {}: {error}", launch.program.display())
        });
        // Drops our copies of the pipe's writing end: with them open, the output would never end.
        drop(command);

        let leader = child
            .id()
            .and_then(|id| Pid::from_raw(id.cast_signed()))
            .expect("a child that was not waited for has an id");
        watchdog.guard(leader);
        Self { name, child, leader, output: Output::read(reader), watchdog }
    }

    pub fn id(&self) -> i32 {
        self.leader.as_raw_nonzero().get()
    }

    /// Standard output and standard error so far.
    pub fn output(&self) -> String {
        self.output.text()
    }

    /// Waits for a line of output that matches, lines before the call included. Panics if the process
    /// ends without one, or `within` passes.
    pub async fn wait_for_line(&self, matches: impl Fn(&str) -> bool, within: Duration) -> String {
        match timeout(within, self.output.find(matches)).await {
            Ok(Some(line)) => line,
            Ok(None) => panic!("{} ended without the line waited for", self.name),
            Err(_) => panic!("{} did not write the line waited for in {within:?}", self.name),
        }
    }

    /// Waits for a log line with the word `listening` and an address, and returns the address.
    pub async fn wait_for_listening(&self, within: Duration) -> SocketAddr {
        let line = self.wait_for_line(|line| listening_address(line).is_some(), within).await;
        listening_address(&line).expect("the line was chosen for its address")
    }

    /// Sends a signal to the process. Panics if it has been waited for.
    pub fn signal(&self, signal: Signal) {
        assert!(self.child.id().is_some(), "{} has ended already", self.name);
        kill_process(self.leader, signal.into())
            .unwrap_or_else(|error| panic!("could not send {signal:?} to {}: {error}", self.name));
    }

    /// Waits for the end of the process and of its output. Panics if `within` passes.
    pub async fn wait_exit(&mut self, within: Duration) -> ExitStatus {
        let ended = async {
            let status = self.child.wait().await.expect("a child can be waited for");
            // From now on its id may belong to another process.
            self.watchdog.release();
            self.output.end().await;
            status
        };
        timeout(within, ended)
            .await
            .unwrap_or_else(|_| panic!("{} did not end in {within:?}", self.name))
    }

    /// Sends a signal repeatedly until the process has ended. Panics if `within` passes.
    pub async fn signal_until_exit(&mut self, signal: Signal, within: Duration) -> ExitStatus {
        const AGAIN: Duration = Duration::from_millis(200);
        let ended = async {
            loop {
                self.signal(signal);
                if let Ok(status) = timeout(AGAIN, self.child.wait()).await {
                    return status.expect("a child can be waited for");
                }
            }
        };
        timeout(within, ended)
            .await
            .unwrap_or_else(|_| panic!("{} did not end in {within:?}", self.name));
        self.wait_exit(within).await
    }

    /// Kills the process with SIGKILL and waits until it is gone.
    pub async fn kill(&mut self) -> ExitStatus {
        self.signal(Signal::Kill);
        self.wait_exit(Duration::from_secs(10)).await
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if self.child.id().is_some() {
            // It may have ended by itself; until it is waited for, its id is not reused.
            let _ = kill_process_group(self.leader, RawSignal::KILL);
            // Its files, locks and ports are free when this returns. NOWAIT leaves reaping to tokio.
            let ended = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
            let _ = waitid(WaitId::Pid(self.leader), ended);
        }
        self.watchdog.release();
        self.output.join();
        if thread::panicking() {
            eprintln!("---- output of {} ----\n{}----", self.name, self.output.text());
        }
    }
}

/// The first `IP:port` of a log line that has the word `listening`.
fn listening_address(line: &str) -> Option<SocketAddr> {
    if !line.contains("listening") {
        return None;
    }
    line.split(|c: char| !(c.is_ascii_hexdigit() || ".:[]".contains(c)))
        .find_map(|word| word.parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_address_is_found_in_text_and_json_log_lines() {
        let address = |line| listening_address(line).map(|address| address.to_string());
        let text = "2026-04-23T10:30:00.123Z  INFO listening address=127.0.0.1:50051 tls=false";
        assert_eq!(address(text).as_deref(), Some("127.0.0.1:50051"));
        let json = r#"{"level":"INFO","fields":{"message":"listening","address":"[::1]:8080"}}"#;
        assert_eq!(address(json).as_deref(), Some("[::1]:8080"));
        assert_eq!(address("connecting to 127.0.0.1:5432"), None);
        assert_eq!(address("listening soon"), None);
    }
}
