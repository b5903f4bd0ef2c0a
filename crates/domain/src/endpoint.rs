//! Endpoints: webhook receivers, and what may be done to them.

use serde::{Deserialize, Serialize};

use crate::Timestamp;
use crate::credential::{CredentialRequired, check_same_server};
use crate::document::{Document, micros};
use crate::endpoint_config::{EndpointConfig, EndpointPatch};
use crate::event_type::EventType;
use crate::fact::EndpointFact;
use crate::ids::{DeliveryId, EndpointId, OrganizationId};
use crate::limits::MAX_REASON_CHARS;
use crate::log::Version;
use crate::payload_format::{PayloadFields, PayloadPatch};
use crate::secret::SealedSecret;
use crate::text::{check_length, check_line};
use crate::violation::Violation;

pub use crate::endpoint_status::{DisableCause, EndpointStatus, FailureStreak, StatusCause};
pub use crate::endpoint_url::check_url;

/// The secret before the current one, while it signs as well.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PreviousSecret {
    /// The secret.
    pub secret: SealedSecret,
    /// When it stops signing.
    #[serde(serialize_with = "micros")]
    pub expire_time: Timestamp,
}

/// An endpoint as the tables hold it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Endpoint {
    /// Its id.
    pub id: EndpointId,
    /// Whose it is.
    pub organization_id: OrganizationId,
    /// Its configuration.
    pub config: EndpointConfig,
    /// Its secret.
    pub secret: SealedSecret,
    /// The secret before, during a rotation's overlap.
    pub previous_secret: Option<PreviousSecret>,
    /// Its status.
    pub status: EndpointStatus,
    /// Why its status is what it is; empty while active.
    pub status_reason: String,
    /// The same for programs; None while active.
    pub status_cause: Option<StatusCause>,
    /// The delivery that brought the status about, if one did.
    pub status_delivery: Option<DeliveryId>,
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
    /// When it was deleted. Its row stays, for the deliveries that name it.
    #[serde(serialize_with = "micros")]
    pub delete_time: Option<Timestamp>,
}

impl Document for Endpoint {
    const VERSION: u16 = 1;
}

/// What may be done to an endpoint that exists. Values have been checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EndpointCommand {
    /// Change the configuration.
    Update {
        /// New values.
        patch: EndpointPatch<PayloadPatch>,
        /// A new secret; ends the overlap of a rotation.
        secret: Option<SealedSecret>,
    },
    /// Replace the secret, and let the old one sign until then.
    RotateSecret {
        /// The new one.
        secret: SealedSecret,
        /// Until when the old one signs as well.
        previous_expire_time: Option<Timestamp>,
    },
    /// Resume deliveries.
    Enable,
    /// Stop deliveries.
    Disable {
        /// Why.
        reason: String,
    },
    /// Remove it.
    Delete,
    /// Show the secret.
    RevealSecret,
    /// Note that a delivery ran out of attempts.
    NoteExhausted {
        /// Which.
        delivery_id: DeliveryId,
        /// What was wrong with the last of them.
        error: String,
    },
    /// Note that a delivery has failed because there was nothing to send any more.
    NoteExpired {
        /// Which.
        delivery_id: DeliveryId,
        /// Why there was not.
        reason: String,
    },
    /// Note that nothing but failures has come of it for longer than is put up with.
    NoteFailing {
        /// Whose attempt was the last.
        delivery_id: DeliveryId,
        /// Since when.
        since: Timestamp,
    },
    /// Note that the receiver answered 410 Gone.
    NoteGone {
        /// To which delivery.
        delivery_id: DeliveryId,
    },
    /// Note that a delivery succeeded.
    NoteSuccess {
        /// Which.
        delivery_id: DeliveryId,
    },
}

/// Why a command is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EndpointRefusal {
    /// It was deleted.
    #[error("the endpoint was deleted")]
    Deleted,
    /// Its configuration has changed since the caller read it.
    #[error(
        "the endpoint has changed since it was read: get it again and repeat the change on what it is now"
    )]
    StaleEtag,
    /// What is there and what is to be changed do not go together.
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    Violations(Vec<Violation>),
    /// The routing key that is there would go to another server.
    #[error(transparent)]
    CredentialRequired(#[from] CredentialRequired),
}

impl Endpoint {
    /// What follows from a command: facts, none if there is nothing to do, or a refusal.
    /// With an `etag`, only if it is the current one.
    pub fn decide(
        &self,
        command: EndpointCommand,
        etag: Option<&str>,
    ) -> Result<Option<EndpointFact>, EndpointRefusal> {
        if self.delete_time.is_some() {
            return Err(EndpointRefusal::Deleted);
        }
        if etag.is_some_and(|etag| etag != self.etag()) {
            return Err(EndpointRefusal::StaleEtag);
        }
        let disabled = self.status == EndpointStatus::Disabled;
        Ok(match command {
            EndpointCommand::Update { patch, secret } => {
                let patch = self.config.difference(self.resolve(patch)?);
                (secret.is_some() || !patch.is_empty()).then(|| {
                    let before = self.config.before(&patch);
                    EndpointFact::Updated { patch, secret, before }
                })
            }
            EndpointCommand::RotateSecret { secret, previous_expire_time } => {
                Some(EndpointFact::SecretRotated { secret, previous_expire_time })
            }
            EndpointCommand::Enable => disabled.then_some(EndpointFact::Enabled),
            EndpointCommand::Disable { reason } => (!disabled)
                .then_some(EndpointFact::Disabled { reason, cause: DisableCause::Requested }),
            EndpointCommand::Delete => Some(EndpointFact::Deleted),
            EndpointCommand::RevealSecret => Some(EndpointFact::SecretRevealed),
            EndpointCommand::NoteExhausted { delivery_id, error } => {
                let reason = format!("delivery {delivery_id} failed after its last retry: {error}");
                (self.status == EndpointStatus::Active)
                    .then_some(EndpointFact::Degraded { delivery_id, reason })
            }
            EndpointCommand::NoteExpired { delivery_id, reason } => {
                let reason = format!("delivery {delivery_id} failed: {reason}");
                (self.status == EndpointStatus::Active)
                    .then_some(EndpointFact::Degraded { delivery_id, reason })
            }
            // A delivery must have run out of attempts first: without that, one failure long ago
            // and one now, with nothing in between, would disable an endpoint.
            EndpointCommand::NoteFailing { delivery_id, since } => {
                let reason = format!(
                    "nothing but failures since {}: disabled automatically; delivery {delivery_id} was the last to fail",
                    since.strftime("%Y-%m-%dT%H:%M:%SZ")
                );
                let cause = DisableCause::Failing { delivery_id, since };
                (self.status == EndpointStatus::Degraded)
                    .then_some(EndpointFact::Disabled { reason, cause })
            }
            EndpointCommand::NoteGone { delivery_id } => {
                let reason = format!(
                    "the receiver answered 410 Gone to delivery {delivery_id}: disabled automatically"
                );
                let cause = DisableCause::Gone { delivery_id };
                (!disabled).then_some(EndpointFact::Disabled { reason, cause })
            }
            EndpointCommand::NoteSuccess { delivery_id } => (self.status
                == EndpointStatus::Degraded)
                .then_some(EndpointFact::Recovered { delivery_id }),
        })
    }

    /// The endpoint that a Created fact makes.
    pub fn created(
        id: EndpointId,
        organization_id: OrganizationId,
        config: EndpointConfig,
        secret: SealedSecret,
        recorded_at: Timestamp,
    ) -> Endpoint {
        Endpoint {
            id,
            organization_id,
            config,
            secret,
            previous_secret: None,
            status: EndpointStatus::Active,
            status_reason: String::new(),
            status_cause: None,
            status_delivery: None,
            status_time: recorded_at,
            config_version: Version(1),
            version: Version(1),
            create_time: recorded_at,
            update_time: recorded_at,
            delete_time: None,
        }
    }

    /// The endpoint after one more fact, recorded at `recorded_at`.
    pub fn apply(&mut self, fact: &EndpointFact, recorded_at: Timestamp) {
        self.version = self.version.next();
        if matches!(fact, EndpointFact::SecretRevealed) {
            return;
        }
        self.update_time = recorded_at;
        let status = self.status;
        match fact {
            EndpointFact::Created { .. } | EndpointFact::SecretRevealed => {}
            EndpointFact::Updated { patch, secret, before: _ } => {
                self.config_version = self.version;
                self.config.apply(patch.clone());
                if let Some(secret) = secret {
                    self.secret.clone_from(secret);
                    self.previous_secret = None;
                }
            }
            EndpointFact::SecretRotated { secret, previous_expire_time } => {
                self.config_version = self.version;
                let previous = std::mem::replace(&mut self.secret, secret.clone());
                self.previous_secret = previous_expire_time
                    .map(|expire_time| PreviousSecret { secret: previous, expire_time });
            }
            EndpointFact::Enabled | EndpointFact::Recovered { .. } => {
                self.status = EndpointStatus::Active;
                self.status_reason.clear();
                (self.status_cause, self.status_delivery) = (None, None);
            }
            EndpointFact::Disabled { reason, cause } => {
                self.status = EndpointStatus::Disabled;
                self.status_reason.clone_from(reason);
                let (cause, delivery) = match *cause {
                    DisableCause::Requested => (StatusCause::Requested, None),
                    DisableCause::Failing { delivery_id, .. } => {
                        (StatusCause::Failing, Some(delivery_id))
                    }
                    DisableCause::Gone { delivery_id } => (StatusCause::Gone, Some(delivery_id)),
                };
                (self.status_cause, self.status_delivery) = (Some(cause), delivery);
            }
            EndpointFact::Degraded { delivery_id, reason } => {
                self.status = EndpointStatus::Degraded;
                self.status_reason.clone_from(reason);
                self.status_cause = Some(StatusCause::Exhausted);
                self.status_delivery = Some(*delivery_id);
            }
            EndpointFact::Deleted => self.delete_time = Some(recorded_at),
        }
        if self.status != status {
            self.status_time = recorded_at;
        }
    }

    /// Changes with every change of the configuration, and with nothing else.
    pub fn etag(&self) -> String {
        format!("\"{}\"", self.config_version.0)
    }

    /// Whether its events are to be delivered or recorded as missed: not if it was deleted.
    pub fn subscribes_to(&self, event_type: EventType) -> bool {
        self.delete_time.is_none() && self.config.event_types.contains(&event_type)
    }

    /// The patch with what it makes of the payload format that is there. A routing key that is not
    /// given anew stays, unless the endpoint's URL leads to another server.
    fn resolve(
        &self,
        patch: EndpointPatch<PayloadPatch>,
    ) -> Result<EndpointPatch, EndpointRefusal> {
        let payload = patch.payload_format.clone().unwrap_or_default();
        let keeps_key = payload.routing_key.is_none();
        let format = payload.resolve(&self.config.payload_format, PayloadFields::IN_ENDPOINT);
        let format = format.map_err(EndpointRefusal::Violations)?;
        if let (true, Some(_), Some(url)) = (keeps_key, format.routing_key(), &patch.url) {
            check_same_server(&self.config.url, url)?;
        }
        Ok(patch.with_payload_format(Some(format)))
    }
}

/// Checks the reason for disabling: at most 500 characters, in one line.
pub fn check_reason(field: &str, reason: String) -> Result<String, Violation> {
    check_line(field, &reason)?;
    check_length(field, reason, MAX_REASON_CHARS)
}

#[cfg(test)]
#[path = "endpoint_tests.rs"]
mod tests;
