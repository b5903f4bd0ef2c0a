//! Notification channels: where an organization's people are told of their endpoints.

use serde::{Deserialize, Serialize};

use crate::Timestamp;
use crate::config::{Change, Value, config};
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

    /// Refuses what takes this one's secret to another server.
    fn check_move(&self, new: &Destination) -> Result<(), CredentialRequired> {
        match self.kind.sends_secret() && new.secret.is_none() {
            true => check_same_server(&self.address, &new.address),
            false => Ok(()),
        }
    }
}

impl Value for Destination {
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
    fn changes(_: &'static str, before: Option<&Self>, after: &Self) -> Vec<Change> {
        let address = |destination: &Destination| destination.address.clone();
        let change = Change::between("address", before.map(address), Some(address(after)));
        change.into_iter().collect()
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

config! {
    /// What a customer sets of a channel, checked.
    ChannelConfig,
    /// New values of a channel's configuration; None: as before. A channel keeps its kind.
    ChannelPatch,
    with_destination: D = Destination,
    {
        /// A label.
        name: String,
        /// Where it leads. A [`Destination`] with its secret sealed in facts and tables, in clear in
        /// requests.
        destination: @D,
        /// Which notifications it gets; sorted, not empty.
        subscriptions: Vec<NotificationType>,
        /// Which endpoints they are about; sorted. Empty: all.
        endpoint_ids: Vec<EndpointId>,
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
    pub config: ChannelConfig,
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

/// Something that happened to a channel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ChannelFact {
    /// It was created.
    Created(ChannelConfig),
    /// Its configuration was changed.
    Updated {
        /// New values.
        patch: ChannelPatch,
        /// What was there before, for the audit trail; never a secret.
        before: ChannelPatch,
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
    Update(ChannelPatch),
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
            ChannelCommand::Update(patch) => {
                let current = &self.config.destination;
                if let Some(new) = &patch.destination {
                    if new.kind != current.kind {
                        return Err(ChannelRefusal::OtherKind);
                    }
                    current.check_move(new)?;
                }
                let patch = self.config.difference(patch);
                (!patch.is_empty()).then(|| {
                    let before = self.config.before(&patch);
                    ChannelFact::Updated { patch, before }
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
        config: ChannelConfig,
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
            ChannelFact::Updated { patch, before: _ } => {
                self.config_version = self.version;
                self.config.apply(patch.clone());
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
        let ChannelConfig { subscriptions, endpoint_ids, .. } = &self.config;
        self.delete_time.is_none()
            && subscriptions.contains(&notification_type)
            && (endpoint_ids.is_empty() || endpoint.is_none_or(|id| endpoint_ids.contains(&id)))
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
