//! Where a notification channel sends to: the kind of service, its address and its secret.

use serde::{Deserialize, Serialize};

use crate::config::{FieldChange, FieldValue};
use crate::credential::{CredentialRequired, check_same_server};
use crate::named_enum::named_enum;
use crate::secret::SealedSecret;

named_enum! {
    /// What kind of service a channel leads to.
    pub enum ChannelKind {
        /// A Slack incoming webhook.
        Slack = "slack",
        /// A Microsoft Teams workflow's webhook.
        Teams = "teams",
        /// PagerDuty's Events API v2.
        PagerDuty = "pagerduty",
        /// A webhook of one's own, signed as deliveries are.
        Webhook = "webhook",
        /// E-mail.
        Email = "email",
    }
}

impl ChannelKind {
    /// Whether its service keeps an incident open until it is told that it is over.
    pub const fn keeps_incidents(self) -> bool {
        matches!(self, ChannelKind::PagerDuty)
    }

    /// Whether whoever is sent something learns the secret: a routing key is in the body, and the
    /// URLs of Slack and Teams are secrets themselves. The key of a webhook's signatures never
    /// leaves us, and may sign for whatever server the channel leads to next.
    const fn sends_secret(self) -> bool {
        match self {
            ChannelKind::Slack | ChannelKind::Teams | ChannelKind::PagerDuty => true,
            ChannelKind::Webhook | ChannelKind::Email => false,
        }
    }
}

/// Where a channel leads.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Destination {
    /// To what kind of service.
    pub kind: ChannelKind,
    /// What of it may be shown: the URL, the URL's host alone where the rest is a secret, or
    /// addresses separated by commas.
    pub address: String,
    /// What of it may not: the whole URL (Slack, Teams), the routing key (PagerDuty), the key of
    /// the signatures (webhook). None: e-mail.
    pub secret: Option<SealedSecret>,
}

impl Destination {
    /// How many people a mail to it goes to. 0: it is no mail.
    pub fn recipient_count(&self) -> u32 {
        match self.kind {
            ChannelKind::Email => {
                u32::try_from(self.address.split(',').count()).unwrap_or(u32::MAX)
            }
            _ => 0,
        }
    }

    /// Refuses what takes this one's secret to another server.
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

    /// A secret that is given is taken for another one.
    fn is_changed_by(&self, new: &Destination) -> bool {
        new.secret.is_some() || (self.kind, &self.address) != (new.kind, &new.address)
    }

    /// A secret that is not given anew stays, while only a URL changes, say.
    fn replace(&mut self, new: Destination) {
        let secret = new.secret.or(self.secret.take());
        *self = Destination { secret, ..new };
    }

    /// Without the secret's change; see [`audit`](crate::audit).
    fn changes(_: &'static str, before: Option<&Self>, after: &Self) -> Vec<FieldChange> {
        let address = |destination: &Destination| destination.address.clone();
        let change = FieldChange::between("address", before.map(address), Some(address(after)));
        change.into_iter().collect()
    }
}
