//! Endpoints: webhook receivers, and what may be done to them.

use serde::{Deserialize, Serialize};

use crate::Timestamp;
use crate::credential::{CredentialRequired, check_same_server};
use crate::document::{Document, micros};
use crate::event_type::EventType;
use crate::fact::{EndpointFact, EndpointUpdate};
use crate::health::{DisableCause, StatusCause};
use crate::ids::{DeliveryId, EndpointId, OrganizationId};
use crate::limits::{MAX_DESCRIPTION_CHARS, MAX_NAME_CHARS, MAX_REASON_CHARS};
use crate::log::Version;
use crate::payload_format::{PayloadChange, PayloadFields, PayloadFormat};
use crate::secret::SealedSecret;
use crate::text::{check_line, check_lines};
use crate::violation::{Violation, WrongEntries};
use crate::word::words;

pub use crate::endpoint_url::check_url;

words! {
    /// Whether deliveries are made, and whether they have lately been succeeding.
    pub enum EndpointStatus {
        /// Deliveries are made.
        Active = "active",
        /// Nothing is sent.
        Disabled = "disabled",
        /// Deliveries are made; the last one to end failed for good.
        Degraded = "degraded",
    }
}

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
    /// A label.
    pub name: String,
    /// Where deliveries go.
    pub url: String,
    /// Notes.
    pub description: String,
    /// What it subscribes to; sorted, not empty.
    pub event_types: Vec<EventType>,
    /// Its secret.
    pub secret: SealedSecret,
    /// The secret before, during a rotation's overlap.
    pub previous_secret: Option<PreviousSecret>,
    /// In which form it wants its events.
    pub payload_format: PayloadFormat,
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

/// A configuration that has been checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewEndpoint {
    /// A label.
    pub name: String,
    /// Where deliveries go.
    pub url: String,
    /// Notes.
    pub description: String,
    /// What it subscribes to.
    pub event_types: Vec<EventType>,
    /// Its secret, sealed.
    pub secret: SealedSecret,
    /// In which form it wants its events.
    pub payload_format: PayloadFormat,
}

/// What may be done to an endpoint that exists. Values have been checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EndpointCommand {
    /// Change the configuration. The update's own payload format is not looked at: what the change
    /// makes of the one that is there is decided here.
    Update {
        /// What changes.
        update: EndpointUpdate,
        /// What changes in the payload format.
        payload: PayloadChange,
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
    /// The fact of an endpoint's creation.
    pub fn create(new: NewEndpoint) -> EndpointFact {
        let NewEndpoint { name, url, description, event_types, secret, payload_format } = new;
        EndpointFact::Created { name, url, description, event_types, secret, payload_format }
    }

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
            EndpointCommand::Update { update, payload } => {
                let keeps_key = payload.routing_key.is_none();
                let resolved = payload.resolve(&self.payload_format, PayloadFields::IN_ENDPOINT);
                let resolved = resolved.map_err(EndpointRefusal::Violations)?;
                if let (true, Some(_), Some(url)) = (keeps_key, resolved.routing_key(), &update.url)
                {
                    check_same_server(&self.url, url)?;
                }
                let payload_format = Some(Box::new(resolved));
                let update = EndpointUpdate { payload_format, ..update };
                self.difference(update).map(|update| {
                    let before = self.before(&update);
                    let changed = update.payload_format.as_ref();
                    let payload_before = changed.map(|_| self.payload_format.without_key());
                    EndpointFact::Updated { update, before, payload_before }
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
        new: NewEndpoint,
        recorded_at: Timestamp,
    ) -> Endpoint {
        let NewEndpoint { name, url, description, event_types, secret, payload_format } = new;
        Endpoint {
            id,
            organization_id,
            name,
            url,
            description,
            event_types,
            secret,
            previous_secret: None,
            payload_format,
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
            EndpointFact::Updated { update, before: _, payload_before: _ } => {
                self.config_version = self.version;
                let update = update.clone();
                self.name = update.name.unwrap_or(std::mem::take(&mut self.name));
                self.url = update.url.unwrap_or(std::mem::take(&mut self.url));
                self.description =
                    update.description.unwrap_or(std::mem::take(&mut self.description));
                self.event_types =
                    update.event_types.unwrap_or(std::mem::take(&mut self.event_types));
                if let Some(secret) = update.secret {
                    self.secret = secret;
                    self.previous_secret = None;
                }
                if let Some(payload_format) = update.payload_format {
                    self.payload_format = *payload_format;
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
        self.delete_time.is_none() && self.event_types.contains(&event_type)
    }

    /// What an update replaces, without secrets.
    fn before(&self, update: &EndpointUpdate) -> EndpointUpdate {
        EndpointUpdate {
            name: update.name.as_ref().map(|_| self.name.clone()),
            url: update.url.as_ref().map(|_| self.url.clone()),
            description: update.description.as_ref().map(|_| self.description.clone()),
            event_types: update.event_types.as_ref().map(|_| self.event_types.clone()),
            secret: None,
            payload_format: None,
        }
    }

    /// The part of an update that changes something.
    fn difference(&self, update: EndpointUpdate) -> Option<EndpointUpdate> {
        let changed = EndpointUpdate {
            name: update.name.filter(|name| *name != self.name),
            url: update.url.filter(|url| *url != self.url),
            description: update.description.filter(|text| *text != self.description),
            event_types: update.event_types.filter(|types| *types != self.event_types),
            secret: update.secret,
            payload_format: update.payload_format.filter(|format| **format != self.payload_format),
        };
        (changed != EndpointUpdate::default()).then_some(changed)
    }
}

/// Checks a name: 1 to 100 characters that show.
pub fn check_name(field: &str, name: String) -> Result<String, Violation> {
    let name = name.trim().to_owned();
    if name.is_empty() {
        return Err(Violation::new(field, "is required: a label such as siem-all-events"));
    }
    let length = name.chars().count();
    if length > MAX_NAME_CHARS {
        let description = format!("is {length} characters; it may be at most {MAX_NAME_CHARS}");
        return Err(Violation::new(field, description));
    }
    check_line(field, &name)?;
    Ok(name)
}

/// Checks a description: at most 1,000 characters.
pub fn check_description(field: &str, description: String) -> Result<String, Violation> {
    let description = check_length(field, description, MAX_DESCRIPTION_CHARS)?;
    check_lines(field, &description)?;
    Ok(description)
}

/// Checks the reason for disabling: at most 500 characters, in one line.
pub fn check_reason(field: &str, reason: String) -> Result<String, Violation> {
    check_line(field, &reason)?;
    check_length(field, reason, MAX_REASON_CHARS)
}

fn check_length(field: &str, text: String, max_chars: usize) -> Result<String, Violation> {
    let length = text.chars().count();
    if length > max_chars {
        let description = format!("is {length} characters; it may be at most {max_chars}");
        return Err(Violation::new(field, description));
    }
    Ok(text)
}

/// Checks subscriptions: at least one, all of them known. Sorted, each once.
pub fn check_event_types(field: &str, names: &[String]) -> Result<Vec<EventType>, Vec<Violation>> {
    if names.is_empty() {
        let description = "is required: subscribe to at least one event type (see ListEventTypes)";
        return Err(vec![Violation::new(field, description)]);
    }
    let mut event_types = Vec::new();
    let mut wrong = WrongEntries::of(field);
    for (index, name) in names.iter().enumerate() {
        match name.parse() {
            Ok(EventType::Test) => wrong.push(
                index,
                || "webhook.test cannot be subscribed to: every endpoint can be sent a test",
            ),
            Ok(event_type) => event_types.push(event_type),
            Err(_) => {
                wrong.push(index, || format!("{name:?} is not an event type (see ListEventTypes)"))
            }
        }
    }
    event_types.sort();
    event_types.dedup();
    wrong.unless(event_types)
}

#[cfg(test)]
#[path = "endpoint_tests.rs"]
mod tests;
