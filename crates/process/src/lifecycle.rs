//! A process from its start to its end: logs and traces, signals, and the listener for watchers.

use std::time::Duration;

use clap::Args;
use keeptrusts_webhooks_telemetry::TelemetryFlags;
use tokio::sync::watch;

use crate::exit::Failure;
use crate::monitoring::{Monitored, Monitoring, MonitoringFlags};
use crate::readiness::Readiness;
use crate::reload;
use crate::shutdown::{self, Phase, Shutdown, ShutdownFlags};

/// The flags of every process that runs until it is asked to stop.
#[derive(Debug, Args)]
pub struct ProcessFlags {
    /// What it tells of itself.
    #[command(flatten)]
    pub telemetry: TelemetryFlags,

    /// Where that can be seen.
    #[command(flatten)]
    pub monitoring: MonitoringFlags,

    /// How it ends.
    #[command(flatten)]
    pub shutdown: ShutdownFlags,
}

/// A process that runs until it is asked to stop.
pub struct Process {
    /// Its end, when it is asked to stop.
    pub shutdown: Shutdown,
    /// What it needs to work.
    pub readiness: Readiness,
    /// Counts how often it was asked to read its files again.
    hangups: watch::Receiver<u64>,
    /// None: it is part of another program, which has logs and watchers of its own.
    monitored: Option<Monitored>,
}

impl ProcessFlags {
    /// Starts the logs, listens to signals, and lets the process be watched: from now on, so that a
    /// long migration is not taken for a process that hangs. `name` is the one that traces and
    /// metrics carry.
    pub async fn start(self, name: &'static str) -> Result<Process, Failure> {
        let telemetry = self.telemetry.start(name)?;
        let shutdown = shutdown::on_signals(&self.shutdown)?;
        let hangups = reload::on_hangup()?;
        let readiness = Readiness::new(shutdown.asked().clone());
        let monitored = Monitoring::bind(&self.monitoring).await?;
        let monitored = Some(monitored.serve(telemetry, readiness.clone()));
        Ok(Process { shutdown, readiness, hangups, monitored })
    }
}

impl Process {
    /// A part of a program that has its own logs and ends by itself: no signal reaches it and nobody
    /// watches it. Its end may take `limit`.
    pub fn within_a_program(limit: Duration) -> Process {
        let shutdown = Shutdown::within(limit);
        let readiness = Readiness::new(shutdown.asked().clone());
        let (_, hangups) = watch::channel(0);
        Process { shutdown, readiness, hangups, monitored: None }
    }

    /// Changes each time that the process is asked to read its files again.
    pub fn hangups(&self) -> watch::Receiver<u64> {
        self.hangups.clone()
    }

    /// The last step: exports what has not been exported yet.
    pub async fn end(self) {
        if let Some(monitored) = self.monitored {
            monitored.stop(self.shutdown.left(Phase::Telemetry)).await;
        }
    }
}
