//! Where a notification channel sends to: the kind of service, its address and its secret.

use serde::{Deserialize, Serialize};

use crate::config::FieldValue;
use crate::credential::{CredentialRequired, check_same_server};
use crate::named_enum::named_enum;
use crate::secret::SealedSecret;

named_enum! {
    /// The kind of service that a channel sends to.
    pub enum ChannelKind {
        /// A Slack incoming webhook.
        Slack = "slack",
        /// A Microsoft Teams workflow's webhook.
        Teams = "teams",
        /// PagerDuty's Events API v2.
        PagerDuty = "pagerduty",
        /// The customer's own webhook, signed as deliveries are.
        Webhook = "webhook",
        /// E-mail.
        Email = "email",
    }
}

impl ChannelKind {
    /// Whether the service keeps an incident open until a message closes it.
    pub const fn keeps_incidents(self) -> bool {
        matches!(self, ChannelKind::PagerDuty)
    }

    /// Whether the server that gets a message learns the secret. A routing key is in the body, and
    /// the URLs of Slack and Teams are secrets themselves. The key of a webhook's signatures never
    /// leaves us, so it may stay when the channel moves to another server.
    const fn sends_secret(self) -> bool {
        match self {
            ChannelKind::Slack | ChannelKind::Teams | ChannelKind::PagerDuty => true,
            ChannelKind::Webhook | ChannelKind::Email => false,
        }
    }
}

/// Where a channel sends to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Destination {
    /// The kind of service.
    pub kind: ChannelKind,
    /// What may be shown: the URL, the URL's scheme and host where the rest is a secret, or mail
    /// addresses separated by commas.
    pub address: String,
    /// What may not be shown: the whole URL (Slack, Teams), the routing key (PagerDuty), the key of
    /// the signatures (webhook). None: e-mail, or the
    /// destination is meant to be shown.
    pub secret: Option<SealedSecret>,
}

impl Destination {
    /// The number of mail recipients. 0 unless it is e-mail.
    pub fn recipient_count(&self) -> u32 {
        match self.kind {
            ChannelKind::Email => {
                u32::try_from(self.address.split(',').count()).unwrap_or(u32::MAX)
            }
            _ => 0,
        }
    }

    /// Refuses a new destination that would take the stored secret to another server.
    pub(crate) fn check_move(&self, new: &Destination) -> Result<(), CredentialRequired> {
        match self.kind.sends_secret() && new.secret.is_none() {
            true => check_same_server(&self.address, &new.address),
            false => Ok(()),
        }
    }
}

impl FieldValue for Destination {
    type Shown = Destination;

    fn shown(&self) -> Destination {
        Destination { secret: None, ..self.clone() }
    }

    /// A secret that is given counts as a change unless its ciphertext is the current one, which whoever
    /// seals it keeps for the same secret.
    fn is_changed_by(&self, new: &Destination) -> bool {
        let has_other_secret = new.secret.is_some() && new.secret != self.secret;
        has_other_secret || (self.kind, &self.address) != (new.kind, &new.address)
    }

    /// A secret that is not given stays, for example when only the URL changes.
    fn replace(&mut self, new: Destination) {
        let secret = new.secret.or(self.secret.take());
        *self = Destination { secret, ..new };
    }
}
