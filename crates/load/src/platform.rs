//! The platform under load: `keeptrusts-webhooks serve` and its database, as processes.

use std::env;
use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use keeptrusts_webhooks_contracts::client::{AuthorizedChannel, Bearer};
use keeptrusts_webhooks_testkit::collector::Collector;
use keeptrusts_webhooks_testkit::first_key::{self, FIRST_KEY};
use keeptrusts_webhooks_testkit::postgres::Cluster;
use keeptrusts_webhooks_testkit::process::{Launch, Process, Signal};
use tempfile::TempDir;
use tokio::time::sleep;
use tonic::transport::Channel;

use crate::error::LoadError;
use crate::options::{BenchmarkCase, Database};
use crate::process_usage;

/// How long the server may take to start, and to stop.
const TIME_LIMIT: Duration = Duration::from_secs(60);
/// A server that uses at most one clock tick in this time is idle.
const QUIET_FOR: Duration = Duration::from_secs(1);
const A_TICK: Duration = Duration::from_millis(10);
/// How often to check whether it is idle.
const MAX_LOOKS: u32 = 20;

/// A running platform. It ends when it is dropped, with its database.
pub(crate) struct Platform {
    // Dropped in this order.
    server: Process,
    postgres: Option<Postgres>,
    _data: TempDir,
    address: SocketAddr,
}

struct Postgres {
    _cluster: Cluster,
    postmaster: i32,
}

/// CPU time used since the processes started.
#[derive(Debug, Clone, Copy)]
pub(crate) struct CpuTime {
    pub(crate) server: Duration,
    /// Of the database's processes. Zero for SQLite.
    pub(crate) database: Duration,
}

impl CpuTime {
    /// The CPU time since an earlier measurement.
    pub(crate) fn since(self, earlier: CpuTime) -> CpuTime {
        CpuTime {
            server: self.server.saturating_sub(earlier.server),
            database: self.database.saturating_sub(earlier.database),
        }
    }
}

impl Platform {
    /// Starts it on a new database, with its defaults, except that it may reach the loopback and
    /// trusts the receiver's authority.
    pub(crate) async fn start(
        case: BenchmarkCase,
        ca_file: &Path,
        collector: Option<&Collector>,
    ) -> Result<Platform, LoadError> {
        let data = tempfile::Builder::new().prefix("keeptrusts-bench-").tempdir()?;
        let program = env::current_exe()?.with_file_name("keeptrusts-webhooks");
        if !program.is_file() {
            return Err(format!("{} is missing: run `cargo xtask bench`", program.display()).into());
        }
        let mut launch = Launch::program(program)
            .env(first_key::VARIABLE, FIRST_KEY)
            .args(["serve", "--listen", "127.0.0.1:0", "--no-console"])
            .args(["--publish-quota", "4000000000"])
            .args(["--allow-network", "127.0.0.0/8"])
            .arg("--trust-ca")
            .arg(ca_file)
            .arg("--data-dir")
            .arg(data.path());
        if let (Some(collector), Some(share)) = (collector, case.traces) {
            launch = launch.arg("--otlp-endpoint").arg(collector.url());
            launch = launch.arg("--trace-sampling").arg(share.to_string());
        }
        let mut postgres = None;
        if case.database == Database::Postgres {
            let cluster = Cluster::create().await;
            launch = launch.arg("--database-url").arg(cluster.create_database("bench").await);
            postgres = Some(Postgres::of(cluster).await?);
        }
        let server = launch.start();
        let address = server.wait_for_listening(TIME_LIMIT).await;
        Ok(Platform { server, postgres, _data: data, address })
    }

    /// A connection with an admin's key.
    pub(crate) async fn connect(&self) -> Result<AuthorizedChannel, LoadError> {
        let channel = Channel::from_shared(format!("http://{}", self.address))?.connect().await?;
        Ok(Bearer::new(FIRST_KEY)?.on(channel))
    }

    pub(crate) fn cpu_time(&self) -> Result<CpuTime, LoadError> {
        let database = match &self.postgres {
            Some(postgres) => process_usage::cpu_time_with_children(postgres.postmaster)?,
            None => Duration::ZERO,
        };
        Ok(CpuTime { server: process_usage::cpu_time(self.server.id())?, database })
    }

    /// The server's peak resident memory, in bytes.
    pub(crate) fn peak_memory(&self) -> Result<u64, LoadError> {
        Ok(process_usage::peak_memory(self.server.id())?)
    }

    /// Waits until the server is idle, for at most 20 s.
    pub(crate) async fn wait_until_quiet(&self) -> Result<(), LoadError> {
        for _ in 0..MAX_LOOKS {
            let before = self.cpu_time()?;
            sleep(QUIET_FOR).await;
            if self.cpu_time()?.since(before).server <= A_TICK {
                break;
            }
        }
        Ok(())
    }

    /// Stops the server with SIGTERM. Returns the warnings and errors that it logged.
    pub(crate) async fn stop(mut self) -> Vec<String> {
        self.server.signal(Signal::Term);
        let status = self.server.wait_exit(TIME_LIMIT).await;
        let output = self.server.output();
        let is_bad = |line: &&str| line.contains(" WARN ") || line.contains(" ERROR ");
        let mut problems: Vec<String> = output.lines().filter(is_bad).map(str::to_owned).collect();
        if !status.success() {
            problems.push(format!("the server ended with {status}"));
        }
        problems
    }
}

impl Postgres {
    async fn of(cluster: Cluster) -> Result<Postgres, LoadError> {
        let data = cluster.query("postgres", "SHOW data_directory").await;
        let pid_file = Path::new(data.trim()).join("postmaster.pid");
        let content = fs::read_to_string(&pid_file)
            .map_err(|error| format!("cannot read {}: {error}", pid_file.display()))?;
        let first_line = content.lines().next().unwrap_or_default();
        Ok(Postgres { postmaster: first_line.trim().parse()?, _cluster: cluster })
    }
}
