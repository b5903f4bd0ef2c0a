//! Decides whether a notification that is due is sent, waits, or is withdrawn.

use std::time::Duration;

use keeptrusts_webhooks_domain::Timestamp;
use keeptrusts_webhooks_domain::channel::Destination;
use keeptrusts_webhooks_domain::incident::IncidentAction;
use keeptrusts_webhooks_domain::mail_limits::MailUsage;
use keeptrusts_webhooks_domain::notification::NotificationType;

use super::relevance::withdrawn_because;
use super::sending::DueNotification;
use super::stage::Notify;

pub(super) enum SendDecision {
    /// None: the channel was deleted, and the notification is given up.
    Send(Option<Destination>),
    /// With the reason.
    Withdraw(String),
    /// Until then.
    Wait(Timestamp),
}

/// A new owner may not have read the log up to where a channel was created or changed.
const READ_DELAY: Duration = Duration::from_secs(1);
/// Why a test is withdrawn. Other notifications wait.
const TOO_MUCH_MAIL: &str =
    "the organization has had as many messages or recipients of mail as it may have for now";

fn after(time: Timestamp, wait: Duration) -> Timestamp {
    time.checked_add(wait).unwrap_or(Timestamp::MAX)
}

impl Notify {
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
            // The destination as of the cause: a change of the destination closes what was opened
            // before it. The previous owner may have read further than this one.
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
