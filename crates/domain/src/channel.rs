//! Notification channels: where an organization is notified about its endpoints.

use serde::{Deserialize, Serialize};

use crate::Timestamp;
use crate::credential::CredentialRequired;
use crate::document::{Document, micros};
use crate::ids::{ChannelId, EndpointId, OrganizationId};
use crate::log::Version;
use crate::named_enum::named_enum;
use crate::notification_type::NotificationType;
use crate::secret::SealedSecret;

pub use crate::channel_config::{
    ChannelConfig, ChannelPatch, check_endpoint_ids, check_endpoints_exist, check_recipients,
    check_subscriptions, deduplicated_ids,
};
pub use crate::destination::{ChannelKind, Destination};

named_enum! {
    /// Whether notifications get through.
    pub enum ChannelState {
        /// The last one was sent, or there was none.
        Active = "active",
        /// The last one could not be sent.
        Failing = "failing",
    }
}

/// A channel as the tables hold it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Channel {
    /// The channel's id.
    pub id: ChannelId,
    /// The organization that owns it.
    pub organization_id: OrganizationId,
    /// What the customer has set.
    pub config: ChannelConfig,
    /// Whether notifications get through.
    pub state: ChannelState,
    /// Why it is failing, for people to read. Empty while active.
    pub state_reason: String,
    /// When the state last changed; at first, when it was created.
    #[serde(serialize_with = "micros")]
    pub state_time: Timestamp,
    /// The version of its last change of configuration; the etag is made from it.
    pub config_version: Version,
    /// The number of records in its stream.
    pub version: Version,
    /// When it was created.
    #[serde(serialize_with = "micros")]
    pub create_time: Timestamp,
    /// When configuration or state last changed.
    #[serde(serialize_with = "micros")]
    pub update_time: Timestamp,
    /// When it was deleted. The row stays, because notifications name it.
    #[serde(serialize_with = "micros")]
    pub delete_time: Option<Timestamp>,
}

impl Document for Channel {
    const VERSION: u16 = 1;
    const HIDDEN_FIELDS: &'static [&'static str] = &SealedSecret::HIDDEN_FIELDS;
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
        /// The previous values of the changed fields, for the audit trail, without secrets.
        before: ChannelPatch,
    },
    /// It was deleted.
    Deleted,
    /// A notification could not be sent, while the one before it could.
    Failing {
        /// What went wrong, for people to read.
        reason: String,
    },
    /// A notification was sent, while the one before it could not be.
    Recovered,
}

/// A command to an existing channel. Its values have been checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ChannelCommand {
    /// Changes the configuration.
    Update(ChannelPatch),
    /// Deletes the channel.
    Delete,
    /// Notes that a notification could not be sent.
    NoteFailure {
        /// What went wrong, for people to read.
        reason: String,
    },
    /// Notes that a notification was sent.
    NoteSuccess,
}

/// Why a command to a channel is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ChannelRefusal {
    /// The channel was deleted.
    #[error("the channel was deleted")]
    Deleted,
    /// The configuration has changed since the caller read it.
    #[error(
        "the channel has changed since it was read: get it again and repeat the change on what it is now"
    )]
    StaleEtag,
    /// The update would change the channel's kind.
    #[error("the channel's destination is {}, and a channel keeps its kind: create another channel", .current.name())]
    OtherKind {
        /// The channel's kind.
        current: ChannelKind,
        /// That of the update.
        given: ChannelKind,
    },
    /// The stored secret would go to another server.
    #[error(transparent)]
    CredentialRequired(#[from] CredentialRequired),
}

impl Channel {
    /// The fact that follows from a command, None if there is nothing to do. With an `etag`, the
    /// command is refused unless the etag is the current one.
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
                        return Err(ChannelRefusal::OtherKind {
                            current: current.kind,
                            given: new.kind,
                        });
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
                (self.state == ChannelState::Active).then_some(ChannelFact::Failing { reason })
            }
            ChannelCommand::NoteSuccess => {
                (self.state == ChannelState::Failing).then_some(ChannelFact::Recovered)
            }
        })
    }

    /// The channel after its Created fact.
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
            state: ChannelState::Active,
            state_reason: String::new(),
            state_time: recorded_at,
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
        let before = self.state;
        match fact {
            ChannelFact::Created(_) => {}
            ChannelFact::Updated { patch, before: _ } => {
                self.config_version = self.version;
                self.config.apply(patch.clone());
            }
            ChannelFact::Deleted => self.delete_time = Some(recorded_at),
            ChannelFact::Failing { reason } => {
                self.state = ChannelState::Failing;
                self.state_reason.clone_from(reason);
            }
            ChannelFact::Recovered => {
                self.state = ChannelState::Active;
                self.state_reason.clear();
            }
        }
        if self.state != before {
            self.state_time = recorded_at;
        }
    }

    /// The etag. It changes with the configuration, and with nothing else.
    pub fn etag(&self) -> String {
        format!("\"{}\"", self.config_version.0)
    }

    /// Whether the channel gets notifications of a type, about an endpoint or, with None, about no
    /// endpoint in particular.
    pub fn subscribes_to(
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

#[cfg(test)]
#[path = "channel_tests.rs"]
mod tests;
