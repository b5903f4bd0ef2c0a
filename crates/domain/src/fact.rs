//! Facts: what the log's records say, in the past tense.

use std::time::Duration;

use crate::Timestamp;
use crate::attempt::{AttemptDetails, AttemptOutcome, Trigger};
use crate::channel::ChannelFact;
use crate::delivery_state::DeliveryState;
use crate::endpoint_config::{EndpointConfig, EndpointPatch};
use crate::endpoint_status::DisableCause;
use crate::event::{ContentDigest, Idempotency};
use crate::event_type::EventType;
use crate::ids::{DeliveryId, EndpointId, EventId, ReplayId};
use crate::key::KeyFact;
use crate::notification::NotificationFact;
use crate::payload_format::PayloadFormat;
use crate::replay::ReplayFact;
use crate::secret::SealedSecret;
use crate::trace::TraceContext;

/// Something that happened, never changed once it is in the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fact {
    /// Something happened to an endpoint. Stream: the endpoint.
    Endpoint(EndpointFact),
    /// An event was accepted for delivery. Stream: the event.
    EventAccepted(EventAccepted),
    /// An event was routed; follows every EventAccepted exactly once. Stream: the event.
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
    /// An operator did something with a command. Stream: the operation.
    Operator(OperatorFact),
}

/// Something that an operator did, past the API. Recorded before it is done, so that nothing is
/// done that is not on record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OperatorFact {
    /// The organization of the record was erased: its data key, its bodies, its keys.
    OrganizationErased,
    /// The master key was replaced.
    MasterKeyRotated {
        /// The id of the one before.
        previous: String,
        /// The id of the new one.
        current: String,
    },
}

/// Something that happened to an endpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EndpointFact {
    /// It was created, active.
    Created {
        /// Its configuration.
        config: EndpointConfig,
        /// Its secret.
        secret: SealedSecret,
    },
    /// Its configuration was changed.
    Updated {
        /// New values.
        patch: EndpointPatch,
        /// A new secret; ends the overlap of a rotation.
        secret: Option<SealedSecret>,
        /// What was there before, for the audit trail. Empty in records of old.
        before: EndpointPatch<PayloadFormat<()>>,
    },
    /// Its secret was replaced.
    SecretRotated {
        /// The new one.
        secret: SealedSecret,
        /// Until when the old one signs as well.
        previous_expire_time: Option<Timestamp>,
    },
    /// It was enabled.
    Enabled,
    /// It was disabled.
    Disabled {
        /// Why, for people to read; may be empty.
        reason: String,
        /// What for.
        cause: DisableCause,
    },
    /// A delivery ran out of attempts.
    Degraded {
        /// Which.
        delivery_id: DeliveryId,
        /// For people to read.
        reason: String,
    },
    /// A delivery succeeded while it was degraded.
    Recovered {
        /// Which.
        delivery_id: DeliveryId,
    },
    /// It was deleted.
    Deleted,
    /// Its secret was shown in clear.
    SecretRevealed,
}

/// An event was accepted for delivery.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventAccepted {
    /// What kind.
    pub event_type: EventType,
    /// When it happened.
    pub event_time: Timestamp,
    /// The rendered body.
    pub body: ContentDigest,
    /// How a repetition is known, if the publisher wants that.
    pub idempotency: Option<Idempotency>,
}

/// An event was routed: these deliveries, and no others, come of its routing. Others come of it
/// only if somebody asks for a replay.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeliveriesScheduled {
    /// The event's type.
    pub event_type: EventType,
    /// When the event happened. None in records from before it was noted.
    pub event_time: Option<Timestamp>,
    /// One for each active endpoint that was subscribed.
    pub deliveries: Vec<(DeliveryId, EndpointId)>,
    /// Subscribed, but disabled.
    pub missed: Vec<EndpointId>,
}

/// Something that happened to a delivery.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DeliveryFact {
    /// Somebody asked for a test, which is an event and a delivery of its own.
    TestRequested {
        /// The test's event.
        event_id: EventId,
        /// The endpoint to test.
        endpoint_id: EndpointId,
        /// When.
        event_time: Timestamp,
        /// The rendered body.
        body: ContentDigest,
    },
    /// A replay has made it, of an event that was accepted before.
    Replayed {
        /// The replay.
        replay_id: ReplayId,
        /// The event.
        event_id: EventId,
        /// The event's type.
        event_type: EventType,
        /// When it happened. None in records from before it was noted.
        event_time: Option<Timestamp>,
        /// The endpoint.
        endpoint_id: EndpointId,
        /// Where it hangs in the event's trace.
        trace: Option<TraceContext>,
    },
    /// A replay has begun its schedule anew, which had ended without success.
    Resumed {
        /// The replay.
        replay_id: ReplayId,
        /// The endpoint.
        endpoint_id: EndpointId,
    },
    /// Somebody asked for one more attempt.
    RetryRequested,
    /// Somebody asked for its end.
    CancelRequested,
    /// The receiver answered 2xx.
    AttemptSucceeded(AttemptDetails),
    /// An attempt failed.
    AttemptFailed {
        /// What it was.
        details: AttemptDetails,
        /// What went wrong.
        error: String,
        /// When the next automatic attempt is due, as people are told.
        next_attempt_time: Option<Timestamp>,
        /// The same on the shard's steady clock.
        steady_due_time: Option<Timestamp>,
        /// The delivery's state after it.
        state: DeliveryState,
        /// For how long the answer has the endpoint's other deliveries wait, from the record's
        /// time on; see [`Pause`](crate::pause::Pause). None: not at all, or no longer than an
        /// answer before.
        endpoint_pause: Option<Duration>,
    },
    /// It failed for good without another attempt: there is nothing to send any more.
    Expired {
        /// The endpoint.
        endpoint_id: EndpointId,
        /// The event's type.
        event_type: EventType,
        /// Why.
        reason: String,
    },
    /// It ended without success.
    Cancelled {
        /// Why.
        reason: String,
    },
}

impl DeliveryFact {
    /// If the fact is an attempt's end: the attempt, what it meant, what went wrong, what is next.
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

    /// Whether a delivery looks different after the fact. After a request to cancel it does not: what
    /// comes of that is a fact of its own. (A request to retry is shown as the next attempt.)
    pub fn is_visible(&self) -> bool {
        !matches!(self, DeliveryFact::CancelRequested)
    }

    /// Whether the fact is that the delivery has failed for good: the schedule ran out, or the
    /// event's body did. A test's failure is not.
    pub fn is_exhaustion(&self) -> bool {
        match self {
            DeliveryFact::AttemptFailed { details, state, .. } => {
                *state == DeliveryState::Failed && details.trigger == Trigger::Automatic
            }
            DeliveryFact::Expired { event_type, .. } => *event_type != EventType::Test,
            _ => false,
        }
    }
}

impl Fact {
    /// The event of a test that was asked for.
    pub fn test_event(&self) -> Option<EventId> {
        match self {
            Fact::Delivery(DeliveryFact::TestRequested { event_id, .. }) => Some(*event_id),
            _ => None,
        }
    }
}
