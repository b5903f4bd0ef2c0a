//! The flags that limit mail. Dispatch has them to send mail, the notification service to test
//! channels.

use clap::Args;
use keeptrusts_webhooks_domain::limits::MAX_RECIPIENTS;
use keeptrusts_webhooks_domain::mail_limits::MailLimits;

use crate::flags::whole_number;

/// The most recipients that a channel may have. With a lower limit its mail would wait for ever.
const LEAST_RECIPIENTS: u64 = MAX_RECIPIENTS as u64;

/// How much mail may go out for an organization, tests and repetitions included. Notifications
/// beyond it wait, tests are refused.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "E-mail")]
pub struct MailLimitFlags {
    /// How many messages an organization may have in any minute. Further notifications wait, tests
    /// are refused. Give it to dispatch and to notification-service alike, as the other three.
    #[arg(
        long,
        value_name = "NUMBER",
        default_value_t = MailLimits::default().messages_per_minute,
        value_parser = whole_number::<u32>(1..)
    )]
    pub mail_messages_per_minute: u32,

    /// How many recipients its messages may have in any minute, in all. At least 20, which is what
    /// one channel may have.
    #[arg(
        long,
        value_name = "NUMBER",
        default_value_t = MailLimits::default().recipients_per_minute,
        value_parser = whole_number::<u32>(LEAST_RECIPIENTS..)
    )]
    pub mail_recipients_per_minute: u32,

    /// How many messages an organization may have in any 24 hours.
    #[arg(
        long,
        value_name = "NUMBER",
        default_value_t = MailLimits::default().messages_per_day,
        value_parser = whole_number::<u32>(1..)
    )]
    pub mail_messages_per_day: u32,

    /// How many recipients its messages may have in any 24 hours, in all. At least 20.
    #[arg(
        long,
        value_name = "NUMBER",
        default_value_t = MailLimits::default().recipients_per_day,
        value_parser = whole_number::<u32>(LEAST_RECIPIENTS..)
    )]
    pub mail_recipients_per_day: u32,
}

impl MailLimitFlags {
    pub fn limits(&self) -> MailLimits {
        MailLimits {
            messages_per_minute: self.mail_messages_per_minute,
            recipients_per_minute: self.mail_recipients_per_minute,
            messages_per_day: self.mail_messages_per_day,
            recipients_per_day: self.mail_recipients_per_day,
        }
    }
}
