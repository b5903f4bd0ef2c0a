//! PgBouncer, the most common pooler for Postgres.

use std::fs::{self, File};
use std::os::unix::fs::chown;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, geteuid, kill_process};
use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio::time::sleep;

use crate::ports::free_port;
use crate::tools;
use crate::watchdog::Watchdog;

const START_LIMIT: Duration = Duration::from_secs(30);
/// How often to check whether the pooler has started.
const LOOK_AGAIN: Duration = Duration::from_millis(10);

/// A PgBouncer in front of a server on 127.0.0.1; it ends when it is dropped.
#[derive(Debug)]
pub struct Pooler {
    child: Child,
    // Dropped in this order: the watchdog removes the directory too.
    watchdog: Watchdog,
    directory: TempDir,
    port: u16,
}

impl Pooler {
    /// Starts one without authentication, to all databases of the server as the user postgres.
    /// `pool_mode` is `session`, `transaction` or `statement`.
    pub async fn start(server_port: u16, pool_mode: &str) -> Self {
        let directory = tempfile::Builder::new()
            .prefix("keeptrusts-pooler-")
            .tempdir()
            .expect("a temporary directory can be made");
        let port = free_port();
        let file = directory.path().join("pgbouncer.ini");
        let configuration = format!(
            "[databases]\n\
             * = host=127.0.0.1 port={server_port} user=postgres\n\
             [pgbouncer]\n\
             listen_addr = 127.0.0.1\n\
             listen_port = {port}\n\
             unix_socket_dir =\n\
             auth_type = any\n\
             pool_mode = {pool_mode}\n"
        );
        fs::write(&file, configuration).expect("the configuration can be written");
        let log = File::create(directory.path().join("log")).expect("the log can be made");
        let mut command = Command::new(tools::pgbouncer());
        command.arg(&file).current_dir(directory.path());
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).process_group(0);
        if geteuid().is_root() {
            // PgBouncer refuses to be root.
            chown(directory.path(), Some(NOBODY), None).expect("root can give a directory away");
            command.uid(NOBODY);
        }
        let mut watchdog = Watchdog::start("TERM", Some(directory.path()));
        let child = command.spawn().expect("pgbouncer can be started");
        watchdog.guard(Pid::from_child(&child));
        let pooler = Self { child, watchdog, directory, port };
        let deadline = Instant::now() + START_LIMIT;
        while TcpStream::connect(("127.0.0.1", port)).await.is_err() {
            let said = fs::read_to_string(pooler.directory.path().join("log")).unwrap_or_default();
            assert!(Instant::now() < deadline, "pgbouncer takes no connection:\n{said}");
            sleep(LOOK_AGAIN).await;
        }
        pooler
    }

    /// On 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }
}

/// Debian's user id of nobody.
const NOBODY: u32 = 65_534;

impl Drop for Pooler {
    fn drop(&mut self) {
        // It ends at once, and cuts its connections.
        if kill_process(Pid::from_child(&self.child), Signal::TERM).is_ok() {
            let _ = self.child.wait();
        }
        self.watchdog.release();
    }
}
