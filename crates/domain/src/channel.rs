//! Notification channels: where an organization's people are told of their endpoints.

use serde::{Deserialize, Serialize};

use crate::Timestamp;
use crate::credential::{CredentialRequired, check_same_server};
use crate::document::{Document, micros};
use crate::ids::{ChannelId, EndpointId, OrganizationId};
use crate::limits::{MAX_CHANNEL_ENDPOINTS, MAX_RECIPIENTS};
use crate::log::Version;
use crate::mailbox::check_mailbox;
use crate::notification::NotificationType;
use crate::secret::SealedSecret;
use crate::violation::{Violation, WrongEntries};
use crate::word::words;

words! {
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

    /// Whether two lead to the same place, as far as that can be seen.
    fn looks_like(&self, other: &Destination) -> bool {
        self.kind == other.kind && self.address == other.address
    }

    /// Refuses what takes this one's secret to another server.
    fn check_move(&self, new: &Destination) -> Result<(), CredentialRequired> {
        match self.kind.sends_secret() && new.secret.is_none() {
            true => check_same_server(&self.address, &new.address),
            false => Ok(()),
        }
    }
}

words! {
    /// Whether notifications have lately been getting through.
    pub enum ChannelStatus {
        /// The last one did, or there was none.
        Active = "active",
        /// The last one did not.
        Failing = "failing",
    }
}

/// A channel as the tables hold it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Channel {
    /// Its id.
    pub id: ChannelId,
    /// Whose it is.
    pub organization_id: OrganizationId,
    /// Its configuration.
    pub config: NewChannel,
    /// Its status.
    pub status: ChannelStatus,
    /// Why its status is what it is; empty while active.
    pub status_reason: String,
    /// Since when its status is what it is.
    #[serde(serialize_with = "micros")]
    pub status_time: Timestamp,
    /// The version of its last change of configuration, from which the etag is made.
    pub config_version: Version,
    /// How many records its stream has.
    pub version: Version,
    /// When it was created.
    #[serde(serialize_with = "micros")]
    pub create_time: Timestamp,
    /// When configuration or status last changed.
    #[serde(serialize_with = "micros")]
    pub update_time: Timestamp,
    /// When it was deleted. Its row stays, for the notifications that name it.
    #[serde(serialize_with = "micros")]
    pub delete_time: Option<Timestamp>,
}

impl Document for Channel {
    const VERSION: u16 = 1;
}

/// A configuration that has been checked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewChannel {
    /// A label.
    pub name: String,
    /// Where it leads.
    pub destination: Destination,
    /// What it is told of; sorted, not empty.
    pub subscriptions: Vec<NotificationType>,
    /// Which endpoints it is told about; sorted. Empty: all.
    pub endpoint_ids: Vec<EndpointId>,
}

/// New values of a channel's configuration; None: as before. A channel keeps its kind.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ChannelUpdate {
    /// A label.
    pub name: Option<String>,
    /// Where it leads. Without a secret: that stays.
    pub destination: Option<Destination>,
    /// What it is told of; sorted, not empty.
    pub subscriptions: Option<Vec<NotificationType>>,
    /// Which endpoints it is told about; sorted. Empty: all.
    pub endpoint_ids: Option<Vec<EndpointId>>,
}

/// Something that happened to a channel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ChannelFact {
    /// It was created.
    Created(NewChannel),
    /// Its configuration was changed.
    Updated {
        /// New values.
        update: ChannelUpdate,
        /// What was there before, for the audit trail; never a secret.
        before: ChannelUpdate,
    },
    /// It was deleted.
    Deleted,
    /// A notification could not be sent, and the one before it could.
    Failing {
        /// Why.
        reason: String,
    },
    /// A notification was sent, and the one before it could not be.
    Recovered,
}

/// What may be done to a channel that exists. Values have been checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ChannelCommand {
    /// Change the configuration.
    Update(ChannelUpdate),
    /// Remove it.
    Delete,
    /// Note that a notification could not be sent.
    NoteFailure {
        /// Why.
        reason: String,
    },
    /// Note that a notification was sent.
    NoteSuccess,
}

/// Why a command is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ChannelRefusal {
    /// It was deleted.
    #[error("the channel was deleted")]
    Deleted,
    /// Its configuration has changed since the caller read it.
    #[error(
        "the channel has changed since it was read: get it again and repeat the change on what it is now"
    )]
    StaleEtag,
    /// An update would make it another kind of channel.
    #[error("a channel keeps its kind: create another one")]
    OtherKind,
    /// The secret that is there would go to another server.
    #[error(transparent)]
    CredentialRequired(#[from] CredentialRequired),
}

impl Channel {
    /// What follows from a command: a fact, none if there is nothing to do, or a refusal. With an
    /// `etag`, only if it is the current one.
    pub fn decide(
        &self,
        command: ChannelCommand,
        etag: Option<&str>,
    ) -> Result<Option<ChannelFact>, ChannelRefusal> {
        if self.delete_time.is_some() {
            return Err(ChannelRefusal::Deleted);
        }
        if etag.is_some_and(|etag| etag != self.etag()) {
            return Err(ChannelRefusal::StaleEtag);
        }
        Ok(match command {
            ChannelCommand::Update(update) => {
                let current = &self.config.destination;
                if let Some(new) = &update.destination {
                    if new.kind != current.kind {
                        return Err(ChannelRefusal::OtherKind);
                    }
                    current.check_move(new)?;
                }
                self.difference(update).map(|update| {
                    let before = self.before(&update);
                    ChannelFact::Updated { update, before }
                })
            }
            ChannelCommand::Delete => Some(ChannelFact::Deleted),
            ChannelCommand::NoteFailure { reason } => {
                (self.status == ChannelStatus::Active).then_some(ChannelFact::Failing { reason })
            }
            ChannelCommand::NoteSuccess => {
                (self.status == ChannelStatus::Failing).then_some(ChannelFact::Recovered)
            }
        })
    }

    /// The channel that a Created fact makes.
    pub fn created(
        id: ChannelId,
        organization_id: OrganizationId,
        config: NewChannel,
        recorded_at: Timestamp,
    ) -> Channel {
        Channel {
            id,
            organization_id,
            config,
            status: ChannelStatus::Active,
            status_reason: String::new(),
            status_time: recorded_at,
            config_version: Version(1),
            version: Version(1),
            create_time: recorded_at,
            update_time: recorded_at,
            delete_time: None,
        }
    }

    /// The channel after one more fact, recorded at `recorded_at`.
    pub fn apply(&mut self, fact: &ChannelFact, recorded_at: Timestamp) {
        self.version = self.version.next();
        self.update_time = recorded_at;
        let status = self.status;
        match fact {
            ChannelFact::Created(_) => {}
            ChannelFact::Updated { update, before: _ } => {
                self.config_version = self.version;
                let ChannelUpdate { name, destination, subscriptions, endpoint_ids } =
                    update.clone();
                let config = &mut self.config;
                config.name = name.unwrap_or(std::mem::take(&mut config.name));
                if let Some(new) = destination {
                    // A secret that is not said anew stays: while only a URL changes, say.
                    let secret = new.secret.or(config.destination.secret.take());
                    config.destination = Destination { secret, ..new };
                }
                config.subscriptions =
                    subscriptions.unwrap_or(std::mem::take(&mut config.subscriptions));
                config.endpoint_ids =
                    endpoint_ids.unwrap_or(std::mem::take(&mut config.endpoint_ids));
            }
            ChannelFact::Deleted => self.delete_time = Some(recorded_at),
            ChannelFact::Failing { reason } => {
                self.status = ChannelStatus::Failing;
                self.status_reason.clone_from(reason);
            }
            ChannelFact::Recovered => {
                self.status = ChannelStatus::Active;
                self.status_reason.clear();
            }
        }
        if self.status != status {
            self.status_time = recorded_at;
        }
    }

    /// Changes with every change of the configuration, and with nothing else.
    pub fn etag(&self) -> String {
        format!("\"{}\"", self.config_version.0)
    }

    /// Whether it is told of something; about an endpoint, unless it is about none.
    pub fn hears_of(
        &self,
        notification_type: NotificationType,
        endpoint: Option<EndpointId>,
    ) -> bool {
        let NewChannel { subscriptions, endpoint_ids, .. } = &self.config;
        self.delete_time.is_none()
            && subscriptions.contains(&notification_type)
            && (endpoint_ids.is_empty() || endpoint.is_none_or(|id| endpoint_ids.contains(&id)))
    }

    /// What an update replaces, without secrets.
    fn before(&self, update: &ChannelUpdate) -> ChannelUpdate {
        let NewChannel { name, destination, subscriptions, endpoint_ids } = &self.config;
        let shown = || Destination { secret: None, ..destination.clone() };
        ChannelUpdate {
            name: update.name.as_ref().map(|_| name.clone()),
            destination: update.destination.as_ref().map(|_| shown()),
            subscriptions: update.subscriptions.as_ref().map(|_| subscriptions.clone()),
            endpoint_ids: update.endpoint_ids.as_ref().map(|_| endpoint_ids.clone()),
        }
    }

    /// The part of an update that changes something. A secret is taken for another one.
    fn difference(&self, update: ChannelUpdate) -> Option<ChannelUpdate> {
        let config = &self.config;
        let is_other =
            |new: &Destination| new.secret.is_some() || !new.looks_like(&config.destination);
        let changed = ChannelUpdate {
            name: update.name.filter(|name| *name != config.name),
            destination: update.destination.filter(is_other),
            subscriptions: update.subscriptions.filter(|types| *types != config.subscriptions),
            endpoint_ids: update.endpoint_ids.filter(|ids| *ids != config.endpoint_ids),
        };
        (changed != ChannelUpdate::default()).then_some(changed)
    }
}

/// Checks what a channel is told of: at least one type, and no test. Sorted, each once.
pub fn check_subscriptions(
    field: &str,
    types: Vec<NotificationType>,
) -> Result<Vec<NotificationType>, Vec<Violation>> {
    if types.is_empty() {
        let description = "is required: subscribe to at least one type of notification";
        return Err(vec![Violation::new(field, description)]);
    }
    let mut wrong = WrongEntries::of(field);
    for (index, kind) in types.iter().enumerate().filter(|(_, kind)| !kind.can_be_subscribed_to()) {
        wrong.push(index, || match kind {
            NotificationType::Test => "cannot be subscribed to: every channel can be sent a test",
            _ => "cannot be subscribed to: services that keep incidents are told in any case",
        });
    }
    let mut types = types;
    types.sort();
    types.dedup();
    wrong.unless(types)
}

/// Checks the endpoints that a channel is told about: at most 100. In the order in which they are
/// given; see [`each_once`].
pub fn check_endpoint_ids(field: &str, ids: &[String]) -> Result<Vec<EndpointId>, Vec<Violation>> {
    if ids.len() > MAX_CHANNEL_ENDPOINTS {
        let description = format!(
            "has {} endpoints; it may have at most {MAX_CHANNEL_ENDPOINTS}, or none for all",
            ids.len()
        );
        return Err(vec![Violation::new(field, description)]);
    }
    let (mut parsed, mut wrong) = (Vec::new(), WrongEntries::of(field));
    for (index, id) in ids.iter().enumerate() {
        match id.parse() {
            Ok(id) => parsed.push(id),
            Err(error) => wrong.push(index, || crate::ids::InvalidId::to_string(&error)),
        }
    }
    wrong.unless(parsed)
}

/// Endpoints as a channel has them: sorted, each once.
pub fn each_once(mut ids: Vec<EndpointId>) -> Vec<EndpointId> {
    ids.sort_unstable();
    ids.dedup();
    ids
}

/// What is wrong with endpoints of which the organization has only `existing`. One that the channel
/// is told about already may have been deleted since.
pub fn check_endpoints_exist(
    field: &str,
    ids: &[EndpointId],
    existing: &[EndpointId],
    current: &[EndpointId],
) -> Result<(), Vec<Violation>> {
    let mut wrong = WrongEntries::of(field);
    for (index, id) in ids.iter().enumerate() {
        if !existing.contains(id) && !current.contains(id) {
            wrong.push(index, || {
                format!("{id} is no endpoint of the organization; deleted ones are none either")
            });
        }
    }
    wrong.unless(())
}

/// Checks the recipients of an e-mail channel: 1 to 20 addresses. Each once, in their order.
pub fn check_recipients(field: &str, recipients: &[String]) -> Result<Vec<String>, Vec<Violation>> {
    if recipients.is_empty() {
        let description = "is required: at least one address, such as on-call@example.com";
        return Err(vec![Violation::new(field, description)]);
    }
    if recipients.len() > MAX_RECIPIENTS {
        let description = format!(
            "has {} addresses; it may have at most {MAX_RECIPIENTS}: use a mailing list",
            recipients.len()
        );
        return Err(vec![Violation::new(field, description)]);
    }
    let (mut checked, mut violations) = (Vec::<String>::new(), Vec::new());
    for (index, recipient) in recipients.iter().enumerate() {
        match check_mailbox(&format!("{field}[{index}]"), recipient) {
            Ok(address) if checked.contains(&address) => {}
            Ok(address) => checked.push(address),
            Err(violation) => violations.push(violation),
        }
    }
    if violations.is_empty() { Ok(checked) } else { Err(violations) }
}

#[cfg(test)]
#[path = "channel_tests.rs"]
mod tests;
