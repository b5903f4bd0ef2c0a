//! Dispatch's flags, and what they make of it.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use ipnet::IpNet;
use keeptrusts_webhooks_domain::retry::RetrySchedule;
use keeptrusts_webhooks_outbound::{OutboundConfig, Sender, SetupError};
use keeptrusts_webhooks_process::database::Database;
use keeptrusts_webhooks_process::flags::positive_duration;
use keeptrusts_webhooks_store::Clock;

use crate::scheduler::SchedulerLimits;
use crate::{Parts, Settings};

/// How deliveries are attempted.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Deliveries")]
pub struct DispatchFlags {
    /// The waits before the automatic retries of a failed delivery.
    #[arg(
        long,
        value_name = "WAITS",
        env = "KEEPTRUSTS_WEBHOOKS_RETRY_SCHEDULE",
        default_value = "1m,5m,30m,2h,12h"
    )]
    pub retry_schedule: RetrySchedule,

    /// How long one request may take, from connecting to the end of the answer.
    #[arg(
        long,
        value_name = "TIME",
        env = "KEEPTRUSTS_WEBHOOKS_REQUEST_TIMEOUT",
        default_value = "10s",
        value_parser = positive_duration
    )]
    pub request_timeout: Duration,

    /// A PEM file with certificates to trust besides the system's. Can be given several times.
    #[arg(long, value_name = "FILE", env = "KEEPTRUSTS_WEBHOOKS_TRUST_CA", value_delimiter = ',')]
    pub trust_ca: Vec<PathBuf>,

    /// A network that deliveries may reach although it is private, loopback or otherwise
    /// special, for example 10.20.0.0/16. Can be given several times.
    #[arg(
        long,
        value_name = "CIDR",
        env = "KEEPTRUSTS_WEBHOOKS_ALLOW_NETWORK",
        value_delimiter = ','
    )]
    pub allow_network: Vec<IpNet>,

    /// How many requests may be under way to one endpoint, 1 to 64.
    #[arg(
        long,
        value_name = "NUMBER",
        env = "KEEPTRUSTS_WEBHOOKS_ENDPOINT_CONCURRENCY",
        default_value_t = 64,
        value_parser = clap::value_parser!(u16).range(1..=64)
    )]
    pub endpoint_concurrency: u16,

    /// How long a shard belongs to this process without renewal: after a crash, another process
    /// takes over within this time. At least 1s. Only on Postgres.
    #[arg(
        long,
        value_name = "TIME",
        env = "KEEPTRUSTS_WEBHOOKS_LEASE_TTL",
        default_value = "10s",
        value_parser = positive_duration
    )]
    pub lease_ttl: Duration,
}

/// Why dispatch cannot begin.
#[derive(Debug, thiserror::Error)]
pub enum DispatchSetupError {
    /// A file with certificates cannot be read.
    #[error("cannot read the --trust-ca file {path}")]
    TrustCa {
        /// Which.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// A flag's value is out of range.
    #[error("{0}")]
    OutOfRange(&'static str),
    /// The sender cannot be made.
    #[error("cannot prepare outbound requests")]
    Outbound(#[from] SetupError),
}

impl DispatchFlags {
    /// What working on shards of this database takes.
    pub fn parts(
        &self,
        database: &Database,
        clock: Clock,
        body_retention: Duration,
    ) -> Result<Parts, DispatchSetupError> {
        if self.lease_ttl < Duration::from_secs(1) {
            return Err(DispatchSetupError::OutOfRange("--lease-ttl must be at least 1s"));
        }
        if body_retention <= self.retry_schedule.total() {
            return Err(DispatchSetupError::OutOfRange(
                "--body-retention must be longer than the whole --retry-schedule: there would be nothing left to send",
            ));
        }
        let read = |path: &PathBuf| {
            std::fs::read(path)
                .map_err(|source| DispatchSetupError::TrustCa { path: path.clone(), source })
        };
        let sender = Sender::new(OutboundConfig {
            allowed_networks: self.allow_network.clone(),
            trusted_roots_pem: self.trust_ca.iter().map(read).collect::<Result<_, _>>()?,
            request_timeout: self.request_timeout,
            connect_timeout: OutboundConfig::default().connect_timeout.min(self.request_timeout),
        })?;
        let endpoint_concurrency = usize::from(self.endpoint_concurrency);
        let settings = Settings {
            retry_schedule: self.retry_schedule.clone(),
            body_retention,
            lease_time_to_live: self.lease_ttl,
            scheduler: SchedulerLimits {
                requests_per_endpoint: endpoint_concurrency,
                in_flight_per_endpoint: 2 * endpoint_concurrency,
                ..SchedulerLimits::default()
            },
        };
        Ok(Parts {
            log: Arc::clone(&database.log),
            keyring: Arc::clone(&database.keyring),
            transport: Arc::new(sender),
            clock,
            settings: Arc::new(settings),
        })
    }
}
