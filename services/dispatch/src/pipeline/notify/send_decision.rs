//! Decides what becomes of a notification that is due: it is sent, waits, or is withdrawn.

use std::time::Duration;

use keeptrusts_webhooks_domain::Timestamp;
use keeptrusts_webhooks_domain::channel::Destination;
use keeptrusts_webhooks_domain::incident::IncidentAction;
use keeptrusts_webhooks_domain::mail_limits::MailUsage;
use keeptrusts_webhooks_domain::notification::NotificationType;

use super::relevance::withdrawn_because;
use super::sending::DueNotification;
use super::stage::Notify;

/// What becomes of a notification that is due.
pub(super) enum SendDecision {
    /// It is sent there. None: the channel was deleted, and it is given up.
    Send(Option<Destination>),
    /// It is not sent any more.
    Withdraw(String),
    /// Not before then.
    Wait(Timestamp),
}

/// A process that has just begun has not read the log to where a channel was created or changed.
const READ_DELAY: Duration = Duration::from_secs(1);
/// Why a test is not sent. Other notifications wait.
const TOO_MUCH_MAIL: &str =
    "the organization has had as many messages or recipients of mail as it may have for now";

fn after(time: Timestamp, wait: Duration) -> Timestamp {
    time.checked_add(wait).unwrap_or(Timestamp::MAX)
}

impl Notify {
    /// What becomes of a notification that is due, as things stand now.
    pub(super) fn decide_send(&mut self, due: &DueNotification) -> SendDecision {
        let DueNotification { notification, channel, mail_sent, .. } = due;
        let (new, now) = (&notification.new, self.now());
        let endpoint = new.endpoint_id.and_then(|id| self.shard.targets.get(id));
        let endpoint = endpoint.as_deref().map(|target| &target.endpoint);
        let incident =
            new.endpoint_id.and_then(|id| self.channel_index.incident(new.channel_id, id));
        if let Some(reason) = withdrawn_because(notification, incident, endpoint) {
            return SendDecision::Withdraw(reason.to_owned());
        }
        if let Some(IncidentAction::CloseAt(at)) = &new.incident {
            return SendDecision::Send(Some((**at).clone()));
        }
        let Some(channel) = channel else { return SendDecision::Send(None) };
        let destination = &channel.config.destination;
        if new.incident.is_some() {
            // Where the channel led when the cause was read: what changes it closes what was opened
            // until then. The owner before us may have read further than we have.
            let known = self.channel_index.channel(&notification.organization_id, new.channel_id);
            return match known.filter(|_| self.channel_index.has_read_to(notification.cause)) {
                Some(known) => SendDecision::Send(Some(known.config.destination.clone())),
                None => SendDecision::Wait(after(now, READ_DELAY)),
            };
        }
        let recipients = destination.recipient_count();
        if recipients > 0 {
            let usage = self.mail.entry(notification.organization_id.clone());
            let usage = usage.or_insert_with(|| MailUsage::of(mail_sent.iter().copied()));
            let free_at = usage.free_at(now, recipients, &self.shard.settings.mail_limits);
            if free_at > now {
                return match new.notification_type {
                    NotificationType::Test => SendDecision::Withdraw(TOO_MUCH_MAIL.to_owned()),
                    _ => SendDecision::Wait(free_at),
                };
            }
            usage.note(now, recipients);
        }
        SendDecision::Send(Some(destination.clone()))
    }
}
