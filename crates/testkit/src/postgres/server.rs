//! One cluster's directory and server process.

use std::fs::{self, File};
use std::os::unix::fs::chown;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, geteuid, kill_process};
use tempfile::TempDir;

use crate::ports::free_port;
use crate::tools;
use crate::watchdog::Watchdog;

/// Long enough for recovery on a busy machine.
const START_LIMIT: Duration = Duration::from_secs(60);
const STOP_LIMIT: Duration = Duration::from_secs(30);
/// How often to check whether the server has started or stopped.
const LOOK_AGAIN: Duration = Duration::from_millis(10);

/// Smaller than in production, but with more connections than the default, because many pools share a
/// test's cluster.
const SETTINGS: [(&str, &str); 3] =
    [("listen_addresses", "127.0.0.1"), ("max_connections", "250"), ("shared_buffers", "64MB")];

#[derive(Debug)]
pub(super) struct Server {
    // Dropped in this order: the watchdog removes the directory too.
    running: Option<Child>,
    watchdog: Watchdog,
    directory: TempDir,
    programs: PathBuf,
    account: Option<Account>,
    port: u16,
    settings: Vec<(String, String)>,
}

/// The user that the server runs as if the test runs as root, which Postgres refuses.
#[derive(Clone, Copy, Debug)]
struct Account {
    user: u32,
    group: u32,
}

impl Account {
    fn nobody_if_root() -> Option<Self> {
        let id = |option| {
            let said = run(Command::new("id").args([option, "nobody"]));
            said.trim().parse().expect("id prints a number")
        };
        geteuid().is_root().then(|| Self { user: id("-u"), group: id("-g") })
    }
}

impl Server {
    /// Makes a cluster and starts it.
    pub(super) fn create(settings: Vec<(String, String)>) -> Self {
        let directory = tempfile::Builder::new()
            .prefix("keeptrusts-postgres-")
            .tempdir()
            .expect("a temporary directory can be made");
        let account = Account::nobody_if_root();
        if let Some(Account { user, group }) = account {
            chown(directory.path(), Some(user), Some(group))
                .expect("root can give a directory away");
        }
        let mut server = Self {
            running: None,
            watchdog: Watchdog::start("QUIT", Some(directory.path())),
            directory,
            programs: tools::postgres_bin(),
            account,
            port: free_port(),
            settings,
        };
        run(server
            .command("initdb")
            .arg("--pgdata")
            .arg(server.data())
            .args(["--username=postgres", "--auth=trust", "--encoding=UTF8", "--no-locale"])
            .args(["--no-sync", "--no-instructions"]));

        // Another process may take the port before Postgres binds it.
        let mut attempts_left = 5;
        while let Err(log) = server.try_start() {
            attempts_left -= 1;
            let taken = log.contains("Address already in use");
            assert!(taken && attempts_left > 0, "postgres did not start:\n{log}");
            server.port = free_port();
        }
        server
    }

    pub(super) fn port(&self) -> u16 {
        self.port
    }

    pub(super) fn start(&mut self) {
        assert!(self.running.is_none(), "postgres runs already");
        if let Err(log) = self.try_start() {
            panic!("postgres did not start again:\n{log}");
        }
    }

    pub(super) fn stop(&mut self) {
        // Fast shutdown.
        self.end(Signal::INT);
    }

    pub(super) fn kill(&mut self) {
        // Immediate shutdown. Unlike after SIGKILL, no backend is left that would delay the next
        // start.
        self.end(Signal::QUIT);
    }

    /// The psql command for some SQL; see [run].
    pub(super) fn query(&self, database: &str, sql: &str) -> Command {
        assert!(self.running.is_some(), "postgres does not run");
        let port = self.port.to_string();
        let mut psql = self.command("psql");
        psql.args(["--host=127.0.0.1", "--port", &port, "--username=postgres"])
            .args(["--dbname", database])
            .args(["--no-psqlrc", "--quiet", "--tuples-only", "--no-align"])
            .args(["--set=ON_ERROR_STOP=1", "--command", sql]);
        psql
    }

    /// Starts the server and waits until it accepts connections. Returns its log if it ends instead.
    fn try_start(&mut self) -> Result<(), String> {
        let log_path = self.directory.path().join("log");
        let log = File::create(&log_path).expect("the log can be made");
        let log_for_errors = log.try_clone().expect("a file can be cloned");
        let mut command = self.command("postgres");
        command.arg("-D").arg(self.data());
        let own = [
            ("port", self.port.to_string()),
            ("unix_socket_directories", self.directory.path().display().to_string()),
        ];
        for (name, value) in SETTINGS {
            command.arg("-c").arg(format!("{name}={value}"));
        }
        // The last value of a setting applies.
        for (name, value) in &self.settings {
            command.arg("-c").arg(format!("{name}={value}"));
        }
        for (name, value) in own {
            command.arg("-c").arg(format!("{name}={value}"));
        }
        let server = command
            .stdout(log)
            .stderr(log_for_errors)
            .process_group(0)
            .spawn()
            .expect("postgres can be started");
        self.watchdog.guard(Pid::from_child(&server));
        let server = self.running.insert(server);

        let deadline = Instant::now() + START_LIMIT;
        loop {
            let ended = server.try_wait().expect("a child can be asked");
            let said = || fs::read_to_string(&log_path).unwrap_or_default();
            if ended.is_some() {
                self.watchdog.release();
                self.running = None;
                return Err(said());
            }
            if accepts_connections(&self.programs, self.port) {
                return Ok(());
            }
            assert!(
                Instant::now() < deadline,
                "postgres accepts no connections after {START_LIMIT:?}:\n{}",
                said()
            );
            thread::sleep(LOOK_AGAIN);
        }
    }

    fn end(&mut self, signal: Signal) {
        let Some(mut server) = self.running.take() else {
            return;
        };
        kill_process(Pid::from_child(&server), signal).expect("our child can be signalled");
        let deadline = Instant::now() + STOP_LIMIT;
        while server.try_wait().expect("a child can be waited for").is_none() {
            if Instant::now() > deadline {
                server.kill().expect("our child can be killed");
            }
            thread::sleep(LOOK_AGAIN);
        }
        self.watchdog.release();
    }

    /// One of Postgres's programs, run by the owner of the cluster.
    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(self.programs.join(program));
        command
            // The account may have no access to the test's directory.
            .current_dir(self.directory.path())
            .env("LC_ALL", "C")
            .stdin(Stdio::null());
        if let Some(Account { user, group }) = self.account {
            // Drops root's other groups as well.
            command.uid(user).gid(group);
        }
        command
    }

    fn data(&self) -> PathBuf {
        self.directory.path().join("data")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.end(Signal::INT);
    }
}

fn accepts_connections(programs: &std::path::Path, port: u16) -> bool {
    Command::new(programs.join("pg_isready"))
        .args(["--quiet", "--host=127.0.0.1", "--dbname=postgres", "--username=postgres"])
        .args(["--port", &port.to_string()])
        .stdin(Stdio::null())
        .status()
        .expect("pg_isready can be started")
        .success()
}

/// Runs a program to its end. Returns its output, or panics with it if the program fails.
pub(super) fn run(command: &mut Command) -> String {
    let output = command
        .output()
        .unwrap_or_else(|error| panic!("could not start {:?}: {error}", command.get_program()));
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        output.status.success(),
        "{command:?} failed: {}\n{printed}{}",
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
    printed
}
