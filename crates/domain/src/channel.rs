//! Notification channels: where an organization's people are told of their endpoints.

use serde::{Deserialize, Serialize};

use crate::Timestamp;
use crate::credential::CredentialRequired;
use crate::document::{Document, micros};
use crate::ids::{ChannelId, EndpointId, OrganizationId};
use crate::log::Version;
use crate::named_enum::named_enum;
use crate::notification_type::NotificationType;

pub use crate::channel_config::{
    ChannelConfig, ChannelPatch, check_endpoint_ids, check_endpoints_exist, check_recipients,
    check_subscriptions, deduplicated_ids,
};
pub use crate::destination::{ChannelKind, Destination};

named_enum! {
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
