//! Dispatch's settings.

use std::time::Duration;

use keeptrusts_webhooks_domain::mail_limits::MailLimits;
use keeptrusts_webhooks_domain::retry::RetrySchedule;

use crate::pipeline::scheduler::SchedulerLimits;

#[derive(Debug, Clone)]
pub struct Settings {
    pub retry_schedule: RetrySchedule,
    /// The time of nothing but failures after which a degraded endpoint is disabled. None: never.
    pub disable_failing_after: Option<Duration>,
    /// The console's address for links in notifications, without a slash at its end. None: it is
    /// not known.
    pub console_url: Option<String>,
    /// Limits for each organization.
    pub mail_limits: MailLimits,
    /// How long exchanges (headers and bodies of attempts) are kept.
    pub body_retention: Duration,
    /// How long a shard's lease lasts without renewal, and so how long a dead process's shards have
    /// no owner at most.
    pub lease_time_to_live: Duration,
    pub scheduler: SchedulerLimits,
}

impl Default for Settings {
    fn default() -> Self {
        const DAY: u64 = 24 * 60 * 60;
        Settings {
            retry_schedule: RetrySchedule::default(),
            disable_failing_after: Some(Duration::from_secs(5 * DAY)),
            console_url: None,
            mail_limits: MailLimits::default(),
            body_retention: Duration::from_secs(30 * DAY),
            lease_time_to_live: Duration::from_secs(10),
            scheduler: SchedulerLimits::default(),
        }
    }
}
