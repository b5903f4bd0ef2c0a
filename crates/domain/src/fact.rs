//! Facts: the contents of the log's records, in the past tense.

use std::time::Duration;

use crate::Timestamp;
use crate::attempt::{AttemptDetails, AttemptOutcome, Trigger};
use crate::channel::ChannelFact;
use crate::delivery_state::DeliveryState;
use crate::endpoint_config::{EndpointConfig, EndpointPatch};
use crate::endpoint_state::DisableCause;
use crate::event::{ContentDigest, Idempotency};
use crate::event_type::EventType;
use crate::ids::{DeliveryId, EndpointId, EventId, ReplayId};
use crate::key::KeyFact;
use crate::notification::NotificationFact;
use crate::payload_format::PayloadFormat;
use crate::replay::ReplayFact;
use crate::secret::SealedSecret;
use crate::trace::TraceContext;

/// Something that happened. It never changes once it is in the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fact {
    /// Something happened to an endpoint. Stream: the endpoint.
    Endpoint(EndpointFact),
    /// An event was accepted for delivery. Stream: the event.
    EventAccepted(EventAccepted),
    /// An event was routed. It follows every EventAccepted exactly once. Stream: the event.
    DeliveriesScheduled(DeliveriesScheduled),
    /// Something happened to a delivery. Stream: the delivery.
    Delivery(DeliveryFact),
    /// Something happened to a key. Stream: the key.
    Key(KeyFact),
    /// Something happened to a replay. Stream: the replay.
    Replay(ReplayFact),
    /// Something happened to a notification channel. Stream: the channel.
    Channel(ChannelFact),
    /// Something happened to a notification. Stream: the notification.
    Notification(NotificationFact),
    /// An operator ran a command. Stream: the operation.
    Operator(OperatorFact),
}

/// Something that an operator did with a command, not through the API. It is recorded before it is
/// done, so that nothing is done without a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OperatorFact {
    /// The organization of the record was erased: its data key, its bodies, its keys.
    OrganizationErased,
    /// The master key was replaced.
    MasterKeyRotated {
        /// The id of the previous key.
        previous: String,
        /// The id of the new key.
        current: String,
    },
}

/// Something that happened to an endpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EndpointFact {
    /// The endpoint was created. It is active.
    Created {
        /// What the customer has set.
        config: EndpointConfig,
        /// The secret, encrypted.
        secret: SealedSecret,
    },
    /// The configuration was changed.
    Updated {
        /// New values.
        patch: EndpointPatch,
        /// A new secret. It ends the overlap of a rotation.
        secret: Option<SealedSecret>,
        /// The previous values of the changed fields, for the audit trail. Empty in old records.
        before: EndpointPatch<PayloadFormat<()>>,
    },
    /// The secret was replaced.
    SecretRotated {
        /// The new secret.
        secret: SealedSecret,
        /// When the old secret stops signing. None: at once.
        previous_expire_time: Option<Timestamp>,
    },
    /// The endpoint was enabled.
    Enabled,
    /// The endpoint was disabled.
    Disabled {
        /// Why, for people to read; may be empty.
        reason: String,
        /// The same for programs.
        cause: DisableCause,
    },
    /// A delivery has failed for good.
    Degraded {
        /// The delivery.
        delivery_id: DeliveryId,
        /// Why, for people to read.
        reason: String,
    },
    /// A delivery succeeded while the endpoint was degraded.
    Recovered {
        /// The delivery.
        delivery_id: DeliveryId,
    },
    /// The endpoint was deleted.
    Deleted,
    /// The secret was shown in clear.
    SecretRevealed,
}

/// An event was accepted for delivery.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventAccepted {
    /// The event's type.
    pub event_type: EventType,
    /// When the event happened.
    pub event_time: Timestamp,
    /// The digest of the rendered body.
    pub body: ContentDigest,
    /// The idempotency key, if the publisher gave one.
    pub idempotency: Option<Idempotency>,
    /// It was routed at once: the next record is its DeliveriesScheduled.
    pub is_routed: bool,
}

/// An event was routed to these deliveries and no others. Only a replay adds deliveries later.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeliveriesScheduled {
    /// The event's type.
    pub event_type: EventType,
    /// When the event happened. None in records from before it was recorded.
    pub event_time: Option<Timestamp>,
    /// One for each active endpoint that was subscribed.
    pub deliveries: Vec<(DeliveryId, EndpointId)>,
    /// The endpoints that were subscribed, but disabled.
    pub missed: Vec<EndpointId>,
}

/// Something that happened to a delivery.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DeliveryFact {
    /// A user requested a test, which is an event and a delivery of its own.
    TestRequested {
        /// The test's event.
        event_id: EventId,
        /// The event's type: [`EventType::Test`], or the one whose sample is sent.
        event_type: EventType,
        /// The endpoint to test.
        endpoint_id: EndpointId,
        /// When it was requested.
        event_time: Timestamp,
        /// The digest of the rendered body.
        body: ContentDigest,
    },
    /// A replay created the delivery, of an event that was accepted before.
    Replayed {
        /// The replay.
        replay_id: ReplayId,
        /// The event.
        event_id: EventId,
        /// The event's type.
        event_type: EventType,
        /// When the event happened. None in records from before it was recorded.
        event_time: Option<Timestamp>,
        /// The endpoint.
        endpoint_id: EndpointId,
        /// The delivery's span in the event's trace.
        trace: Option<TraceContext>,
    },
    /// A replay restarted the schedule of a delivery that had ended without success.
    Resumed {
        /// The replay.
        replay_id: ReplayId,
        /// The endpoint.
        endpoint_id: EndpointId,
    },
    /// A user requested another attempt.
    RetryRequested,
    /// A user requested the cancellation.
    CancelRequested,
    /// The receiver answered 2xx.
    AttemptSucceeded(AttemptDetails),
    /// An attempt failed.
    AttemptFailed {
        /// What is known of the attempt in any case.
        details: AttemptDetails,
        /// What went wrong, for people to read.
        error: String,
        /// When the next automatic attempt is due, by the wall clock. None: no other is due.
        next_attempt_time: Option<Timestamp>,
        /// The same on the shard's steady clock.
        steady_due_time: Option<Timestamp>,
        /// The delivery's state after the attempt.
        state: DeliveryState,
        /// How long the endpoint's other deliveries wait because of the response, from the time of
        /// the record on; see [`Pause`](crate::pause::Pause). None: they do not wait, or no longer
        /// than because of an earlier response.
        endpoint_pause: Option<Duration>,
    },
    /// The delivery failed for good without another attempt, because the event's body is no longer
    /// kept.
    Expired {
        /// The endpoint.
        endpoint_id: EndpointId,
        /// The event's type.
        event_type: EventType,
        /// Whether it was a test.
        is_test: bool,
        /// Why, for people to read.
        reason: String,
    },
    /// The delivery ended without success, because a user cancelled it or its endpoint was deleted.
    Cancelled {
        /// Why, for people to read.
        reason: String,
    },
}

impl DeliveryFact {
    /// If the fact ends an attempt: the attempt, its outcome, its error (empty on success), and when
    /// the next automatic attempt is due.
    pub fn attempt(&self) -> Option<(&AttemptDetails, AttemptOutcome, &str, Option<Timestamp>)> {
        match self {
            DeliveryFact::AttemptSucceeded(details) => {
                Some((details, AttemptOutcome::Delivered, "", None))
            }
            DeliveryFact::AttemptFailed { details, error, next_attempt_time, .. } => {
                let outcome = match next_attempt_time {
                    Some(_) => AttemptOutcome::Retrying,
                    None => AttemptOutcome::Failed,
                };
                Some((details, outcome, error, *next_attempt_time))
            }
            _ => None,
        }
    }

    /// Whether a delivery as the API shows it differs after the fact. A request to cancel changes
    /// nothing yet; the cancellation is a fact of its own. (A request to retry changes the time of the
    /// next attempt.)
    pub fn is_visible(&self) -> bool {
        !matches!(self, DeliveryFact::CancelRequested)
    }

    /// Whether the delivery has failed for good: the schedule ran out, or the event's body is no longer
    /// kept. False for tests.
    pub fn is_exhaustion(&self) -> bool {
        match self {
            DeliveryFact::AttemptFailed { details, state, .. } => {
                *state == DeliveryState::Failed && details.trigger == Trigger::Automatic
            }
            DeliveryFact::Expired { is_test, .. } => !is_test,
            _ => false,
        }
    }
}

impl Fact {
    /// The event of a test, if the fact is a request for one.
    pub fn test_event(&self) -> Option<EventId> {
        match self {
            Fact::Delivery(DeliveryFact::TestRequested { event_id, .. }) => Some(*event_id),
            _ => None,
        }
    }
}
