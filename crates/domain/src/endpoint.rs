//! Endpoints: webhook receivers, and the commands to them.

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

pub use crate::endpoint_state::{
    DisableCause, EffectiveEndpointState, EndpointState, FAILING_AFTER, FAILING_AFTER_FAILURES,
    FailureStreak, StateCause,
};
pub use crate::endpoint_url::check_url;

/// The previous secret, while it signs beside the current one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PreviousSecret {
    /// The previous secret, encrypted.
    pub secret: SealedSecret,
    /// When it stops signing.
    #[serde(serialize_with = "micros")]
    pub expire_time: Timestamp,
}

/// An endpoint as the tables hold it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Endpoint {
    /// The endpoint's id.
    pub id: EndpointId,
    /// The organization that owns it.
    pub organization_id: OrganizationId,
    /// What the customer has set.
    pub config: EndpointConfig,
    /// The current secret, encrypted.
    pub secret: SealedSecret,
    /// The previous secret, during the overlap of a rotation.
    pub previous_secret: Option<PreviousSecret>,
    /// Whether deliveries are made and succeed.
    pub state: EndpointState,
    /// Why it is degraded or disabled, for people to read. Empty while active.
    pub state_reason: String,
    /// The same for programs. None while active.
    pub state_cause: Option<StateCause>,
    /// The delivery that caused the state, if one did.
    pub state_delivery: Option<DeliveryId>,
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
    /// When it was deleted. The row stays, because deliveries name it.
    #[serde(serialize_with = "micros")]
    pub delete_time: Option<Timestamp>,
}

impl Document for Endpoint {
    const VERSION: u16 = 1;
    const HIDDEN_FIELDS: &'static [&'static str] = &SealedSecret::HIDDEN_FIELDS;
}

/// A command to an existing endpoint. Its values have been checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EndpointCommand {
    /// Changes the configuration.
    Update {
        /// New values.
        patch: EndpointPatch<PayloadPatch>,
        /// A new secret. It ends the overlap of a rotation.
        secret: Option<SealedSecret>,
    },
    /// Replaces the secret. The old one may go on signing for a while.
    RotateSecret {
        /// The new secret.
        secret: SealedSecret,
        /// When the old secret stops signing. None: at once.
        previous_expire_time: Option<Timestamp>,
    },
    /// Enables the endpoint: deliveries are made again.
    Enable,
    /// Disables the endpoint: nothing is sent any more.
    Disable {
        /// Why, for people to read; may be empty.
        reason: String,
    },
    /// Deletes the endpoint.
    Delete,
    /// Shows the secret, which is recorded.
    RevealSecret,
    /// Notes that a delivery ran out of attempts.
    NoteExhausted {
        /// The delivery.
        delivery_id: DeliveryId,
        /// The error of the last attempt.
        error: String,
    },
    /// Notes that a delivery has failed because the event's body is no longer kept.
    NoteExpired {
        /// The delivery.
        delivery_id: DeliveryId,
        /// Why there was nothing to send, for people to read.
        reason: String,
    },
    /// Notes that every attempt has failed for longer than is tolerated.
    NoteFailedTooLong {
        /// The delivery of the last failed attempt.
        delivery_id: DeliveryId,
        /// When the first of these attempts began.
        since: Timestamp,
    },
    /// Notes that the receiver answered 410 Gone.
    NoteGone {
        /// The delivery that it answered.
        delivery_id: DeliveryId,
    },
    /// Notes that a delivery succeeded.
    NoteSuccess {
        /// The delivery.
        delivery_id: DeliveryId,
    },
}

/// Why a command to an endpoint is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EndpointRefusal {
    /// The endpoint was deleted.
    #[error("the endpoint was deleted")]
    Deleted,
    /// The configuration has changed since the caller read it.
    #[error(
        "the endpoint has changed since it was read: get it again and repeat the change on what it is now"
    )]
    StaleEtag,
    /// The patch and the current configuration do not fit together.
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    Violations(Vec<Violation>),
    /// The stored routing key would go to another server.
    #[error(transparent)]
    CredentialRequired(#[from] CredentialRequired),
}

impl Endpoint {
    /// The fact that follows from a command, None if there is nothing to do. With an `etag`, the
    /// command is refused unless the etag is the current one.
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
        let disabled = self.state == EndpointState::Disabled;
        Ok(match command {
            EndpointCommand::Update { patch, secret } => {
                let patch = self.config.difference(self.resolve(patch)?);
                let secret = secret.filter(|secret| *secret != self.secret);
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
                (self.state == EndpointState::Active)
                    .then_some(EndpointFact::Degraded { delivery_id, reason })
            }
            EndpointCommand::NoteExpired { delivery_id, reason } => {
                let reason = format!("delivery {delivery_id} failed: {reason}");
                (self.state == EndpointState::Active)
                    .then_some(EndpointFact::Degraded { delivery_id, reason })
            }
            // A delivery must have run out of attempts first: without that, one failure long ago
            // and one now, with nothing in between, would disable an endpoint.
            EndpointCommand::NoteFailedTooLong { delivery_id, since } => {
                let reason = format!(
                    "nothing but failures since {}: disabled automatically; delivery {delivery_id} was the last to fail",
                    since.strftime("%Y-%m-%dT%H:%M:%SZ")
                );
                let cause = DisableCause::FailedTooLong { delivery_id, since };
                (self.state == EndpointState::Degraded)
                    .then_some(EndpointFact::Disabled { reason, cause })
            }
            EndpointCommand::NoteGone { delivery_id } => {
                let reason = format!(
                    "the receiver answered 410 Gone to delivery {delivery_id}: disabled automatically"
                );
                let cause = DisableCause::Gone { delivery_id };
                (!disabled).then_some(EndpointFact::Disabled { reason, cause })
            }
            EndpointCommand::NoteSuccess { delivery_id } => (self.state == EndpointState::Degraded)
                .then_some(EndpointFact::Recovered { delivery_id }),
        })
    }

    /// The endpoint after its Created fact.
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
            state: EndpointState::Active,
            state_reason: String::new(),
            state_cause: None,
            state_delivery: None,
            state_time: recorded_at,
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
        let before = self.state;
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
                self.state = EndpointState::Active;
                self.state_reason.clear();
                (self.state_cause, self.state_delivery) = (None, None);
            }
            EndpointFact::Disabled { reason, cause } => {
                self.state = EndpointState::Disabled;
                self.state_reason.clone_from(reason);
                let (cause, delivery) = match *cause {
                    DisableCause::Requested => (StateCause::Requested, None),
                    DisableCause::FailedTooLong { delivery_id, .. } => {
                        (StateCause::FailedTooLong, Some(delivery_id))
                    }
                    DisableCause::Gone { delivery_id } => (StateCause::Gone, Some(delivery_id)),
                };
                (self.state_cause, self.state_delivery) = (Some(cause), delivery);
            }
            EndpointFact::Degraded { delivery_id, reason } => {
                self.state = EndpointState::Degraded;
                self.state_reason.clone_from(reason);
                self.state_cause = Some(StateCause::Exhausted);
                self.state_delivery = Some(*delivery_id);
            }
            EndpointFact::Deleted => self.delete_time = Some(recorded_at),
        }
        if self.state != before {
            self.state_time = recorded_at;
        }
    }

    /// The etag. It changes with the configuration, and with nothing else.
    pub fn etag(&self) -> String {
        format!("\"{}\"", self.config_version.0)
    }

    /// Whether events of this type are delivered to it, or recorded as missed while it is disabled.
    /// False if it was deleted.
    pub fn subscribes_to(&self, event_type: EventType) -> bool {
        self.delete_time.is_none() && self.config.event_types.contains(&event_type)
    }

    /// The patch with the payload format that results from the current one. A routing key that is not
    /// given stays; then the URL may not change to another server.
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
