//! Dispatch's flags, and the settings made from them.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use ipnet::IpNet;
use keeptrusts_webhooks_domain::mail_limits::MailLimits;
use keeptrusts_webhooks_domain::retry::{InvalidSchedule, RetrySchedule};
use keeptrusts_webhooks_outbound::{
    InvalidProxy, NameServer, OutboundConfig, PortRange, Sender, SetupError,
};
use keeptrusts_webhooks_process::database::Database;
use keeptrusts_webhooks_process::flags::{network, positive_duration, whole_number};
use keeptrusts_webhooks_rendering::{Renderer, RendererLimits};
use keeptrusts_webhooks_store::Clock;
use keeptrusts_webhooks_trust::UnusableCertificates;

use crate::mail::{Mailer, SmtpMailer};
use crate::scheduler::SchedulerLimits;
use crate::{Dependencies, Settings, machine_uptime};

/// How deliveries are attempted.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Deliveries")]
pub struct DispatchFlags {
    /// The waits before the automatic retries of a failed delivery; `never`: there are none.
    #[arg(
        long,
        value_name = "WAITS",
        default_value = "1m,5m,30m,2h,12h",
        value_parser = retry_schedule
    )]
    pub retry_schedule: RetrySchedule,

    /// After how long an endpoint is disabled of which a delivery has failed for good and no
    /// attempt has succeeded meanwhile; `never`: not at all. What it misses then can be
    /// replayed. An endpoint that answers 410 Gone is disabled at once.
    #[arg(long, value_name = "TIME", default_value = "5d", value_parser = disable_after)]
    pub disable_failing_after: DisableAfter,

    /// How long one request may take, from connecting to the end of the answer.
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = positive_duration)]
    pub request_timeout: Duration,

    /// A PEM file with certificates to trust besides the system's. Can be given several times.
    ///
    /// A certificate that names servers (subjectAltName) is trusted for itself: that very server,
    /// by its names and in its time, self-signed or not. It vouches for no other one. A
    /// certificate that names none is an authority, and what it has issued is trusted.
    #[arg(long, value_name = "FILE", value_delimiter = ',')]
    pub trust_ca: Vec<PathBuf>,

    /// A network that deliveries may reach although it is private, loopback or otherwise
    /// special, for example 10.20.0.0/16. Can be given several times.
    ///
    /// A cloud's metadata address, such as 169.254.169.254, is reached only if it is given by
    /// itself (169.254.169.254/32), not with a network around it. An IPv6 address that stands for
    /// an IPv4 address, such as 64:ff9b::10.0.0.1 (NAT64), is reached only if that is permitted,
    /// too.
    #[arg(long, value_name = "CIDR", value_delimiter = ',', value_parser = network)]
    pub allow_network: Vec<IpNet>,

    /// A port or a range of ports that deliveries may reach besides 443 and 1024 to 65535, for
    /// example 80 or 8000-8100. Can be given several times.
    #[arg(long, value_name = "PORT-or-RANGE", value_delimiter = ',')]
    pub allow_port: Vec<PortRange>,

    /// A DNS server to ask for receivers' names instead of the system's, as ADDRESS or
    /// ADDRESS:PORT. The hosts file is read first in any case. Can be given several times.
    #[arg(long, value_name = "ADDRESS", value_delimiter = ',')]
    pub dns_server: Vec<NameServer>,

    /// The HTTP proxy to make deliveries through, http://host:port or
    /// http://user:password@host:port, for networks that require one.
    ///
    /// Names are resolved and judged here all the same; the proxy is asked (by CONNECT) for an
    /// address and passes TLS on. Proxy variables such as HTTPS_PROXY are ignored.
    #[arg(long, value_name = "URL", hide_env_values = true)]
    pub outbound_proxy: Option<ProxyUrl>,

    /// How many requests may be under way to one endpoint, 1 to 64. A crash repeats at most eight
    /// times as many.
    #[arg(
        long,
        value_name = "NUMBER",
        default_value_t = 64,
        value_parser = whole_number::<u16>(1..=64)
    )]
    pub endpoint_concurrency: u16,

    /// How long a shard belongs to this process without renewal: after a crash, another process
    /// takes over within this time. At least 1s. Only on Postgres.
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = positive_duration)]
    pub lease_ttl: Duration,
}

/// The time of nothing but failures after which an endpoint is disabled. None: never.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DisableAfter(pub Option<Duration>);

/// An empty value usually comes from a script's variable that was not set.
fn retry_schedule(text: &str) -> Result<RetrySchedule, String> {
    match text.trim() {
        "" => {
            Err("write waits, for example 1m,5m,30m,2h,12h, or `never` for no retries".to_owned())
        }
        "never" => Ok(RetrySchedule::none()),
        text => text.parse().map_err(|error: InvalidSchedule| error.to_string()),
    }
}

fn disable_after(text: &str) -> Result<DisableAfter, String> {
    match text {
        "never" => Ok(DisableAfter(None)),
        _ => positive_duration(text)
            .map(|time| DisableAfter(Some(time)))
            .map_err(|error| format!("{error}, or `never`")),
    }
}

/// The value of `--outbound-proxy`, parsed later: clap's error would show it, including the
/// password. Its `Debug` shows nothing.
#[derive(Clone)]
pub struct ProxyUrl(String);

impl From<String> for ProxyUrl {
    fn from(url: String) -> ProxyUrl {
        ProxyUrl(url)
    }
}

impl fmt::Debug for ProxyUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ProxyUrl")
    }
}

/// Why dispatch cannot begin.
#[derive(Debug, thiserror::Error)]
pub enum DispatchSetupError {
    #[error("cannot read the --trust-ca file {path}")]
    TrustCa { path: PathBuf, source: std::io::Error },
    #[error("the --trust-ca file {path} {reason}")]
    TrustedRoot { path: PathBuf, reason: UnusableCertificates },
    #[error("--outbound-proxy {0}")]
    OutboundProxy(InvalidProxy),
    #[error("{0}")]
    OutOfRange(&'static str),
    #[error("cannot prepare outbound requests")]
    Outbound(#[from] SetupError),
}

/// Flags that have been checked, with all files read. Nothing about them can fail any more, so a
/// database may be opened, and created.
pub struct PreparedDispatch {
    sender: Sender,
    mailer: Option<SmtpMailer>,
    settings: Settings,
}

impl DispatchFlags {
    pub fn prepare(
        &self,
        body_retention: Duration,
    ) -> Result<PreparedDispatch, DispatchSetupError> {
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
        let proxy = self.outbound_proxy.as_ref().map(|ProxyUrl(url)| url.parse()).transpose();
        let sender = Sender::new(OutboundConfig {
            allowed_networks: self.allow_network.clone(),
            allowed_ports: self.allow_port.clone(),
            name_servers: self.dns_server.clone(),
            proxy: proxy.map_err(DispatchSetupError::OutboundProxy)?,
            trusted_roots_pem: self.trust_ca.iter().map(read).collect::<Result<_, _>>()?,
            request_timeout: self.request_timeout,
            connect_timeout: OutboundConfig::default().connect_timeout.min(self.request_timeout),
            ..OutboundConfig::default()
        });
        let sender = sender.map_err(|error| self.naming_the_file(error))?;
        let endpoint_concurrency = usize::from(self.endpoint_concurrency);
        let settings = Settings {
            retry_schedule: self.retry_schedule.clone(),
            disable_failing_after: self.disable_failing_after.0,
            console_url: None,
            mail_limits: MailLimits::default(),
            body_retention,
            lease_time_to_live: self.lease_ttl,
            scheduler: SchedulerLimits {
                requests_per_endpoint: endpoint_concurrency,
                in_flight_per_endpoint: 8 * endpoint_concurrency,
                ..SchedulerLimits::default()
            },
        };
        Ok(PreparedDispatch { sender, mailer: None, settings })
    }
}

impl DispatchFlags {
    /// Names the file, which the sender knows only by its content.
    fn naming_the_file(&self, error: SetupError) -> DispatchSetupError {
        match error {
            SetupError::TrustedRoot { number, reason } => {
                match number.checked_sub(1).and_then(|place| self.trust_ca.get(place)) {
                    Some(path) => DispatchSetupError::TrustedRoot { path: path.clone(), reason },
                    None => SetupError::TrustedRoot { number, reason }.into(),
                }
            }
            error => error.into(),
        }
    }
}

impl PreparedDispatch {
    /// Adds what notifications need: the mailer, its limits, and the console's address
    /// (`https://host`, with or without a slash at its end).
    pub fn notifying(
        self,
        mailer: Option<SmtpMailer>,
        mail_limits: MailLimits,
        console_url: Option<&str>,
    ) -> PreparedDispatch {
        let console_url = console_url.map(|url| url.trim_end_matches('/').to_owned());
        let settings = Settings { console_url, mail_limits, ..self.settings };
        PreparedDispatch { mailer, settings, ..self }
    }

    pub(crate) fn body_retention(&self) -> Duration {
        self.settings.body_retention
    }

    pub(crate) fn dependencies(self, database: &Database, clock: Clock) -> Dependencies {
        let lease = self.settings.lease_time_to_live;
        if database.statement_timeout.is_some_and(|timeout| timeout >= lease) {
            tracing::warn!(
                "--database-timeout is not shorter than --lease-ttl: a connection that is cut without a word may stop deliveries for longer than a lease"
            );
        }
        Dependencies {
            log: Arc::clone(&database.log),
            keyring: Arc::clone(&database.keyring),
            transport: Arc::new(self.sender),
            mailer: self.mailer.map(|mailer| Arc::new(mailer) as Arc<dyn Mailer>),
            clock,
            uptime: machine_uptime(),
            settings: Arc::new(self.settings),
            // What waits for rendering are deliveries under way, and those are limited.
            renderer: Renderer::new(RendererLimits::of_this_machine(None)),
        }
    }
}
