//! What every long-running process starts first and stops last: telemetry, signals, monitoring.

use std::time::Duration;

use clap::Args;
use keeptrusts_webhooks_telemetry::TelemetryFlags;
use tokio::sync::watch;

use crate::exit::Failure;
use crate::hangup;
use crate::monitoring::{MonitoringFlags, MonitoringListener, RunningMonitoring};
use crate::readiness::Readiness;
use crate::shutdown::{self, Phase, Shutdown, ShutdownFlags};

/// The flags of every long-running process.
#[derive(Debug, Args)]
pub struct ProcessFlags {
    #[command(flatten)]
    pub telemetry: TelemetryFlags,

    #[command(flatten)]
    pub monitoring: MonitoringFlags,

    #[command(flatten)]
    pub shutdown: ShutdownFlags,
}

/// A process that runs until it is asked to stop.
pub struct Process {
    pub shutdown: Shutdown,
    pub readiness: Readiness,
    hangups: watch::Receiver<u64>,
    /// None: the process is embedded in a program with telemetry and monitoring of its own.
    monitoring: Option<RunningMonitoring>,
}

impl ProcessFlags {
    /// Starts telemetry, signal handlers and monitoring. Monitoring starts this early so that a long
    /// migration does not look like a process that hangs. `name` appears in traces and metrics.
    pub async fn start(self, name: &'static str) -> Result<Process, Failure> {
        let telemetry = self.telemetry.start(name)?;
        let shutdown = shutdown::on_signals(&self.shutdown)?;
        let hangups = hangup::on_hangup()?;
        let readiness = Readiness::new(shutdown.requested().clone());
        let listener = MonitoringListener::bind(&self.monitoring).await?;
        let monitoring = Some(listener.serve(telemetry, readiness.clone()));
        Ok(Process { shutdown, readiness, hangups, monitoring })
    }
}

impl Process {
    /// A process that is embedded in a program: without telemetry, signals or monitoring of its own.
    /// Its shutdown may take `limit`.
    pub fn embedded(limit: Duration) -> Process {
        let shutdown = Shutdown::within(limit);
        let readiness = Readiness::new(shutdown.requested().clone());
        let (_, hangups) = watch::channel(0);
        Process { shutdown, readiness, hangups, monitoring: None }
    }

    /// Changes on each SIGHUP: see [`hangup`].
    pub fn hangups(&self) -> watch::Receiver<u64> {
        self.hangups.clone()
    }

    /// The last step of a shutdown: stops monitoring and exports the last spans and metrics.
    pub async fn end(self) {
        if let Some(monitoring) = self.monitoring {
            monitoring.stop(self.shutdown.remaining(Phase::Telemetry)).await;
        }
    }
}
