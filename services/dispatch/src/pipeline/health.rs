//! Health: what an attempt's outcome means for its endpoint.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use keeptrusts_webhooks_domain::Timestamp;
use keeptrusts_webhooks_domain::attempt::Trigger;
use keeptrusts_webhooks_domain::endpoint::{Endpoint, EndpointCommand};
use keeptrusts_webhooks_domain::fact::{DeliveryFact, EndpointFact};
use keeptrusts_webhooks_domain::health::Failing;
use keeptrusts_webhooks_domain::ids::{DeliveryId, EndpointId};

/// RFC 9110 section 15.5.11: the receiver is gone, and this is likely to be permanent.
const GONE: u16 = 410;

/// Endpoints whose attempts have all failed lately: what the table says, ahead of it by what is
/// in flight. It only has to be right about times that are days ago.
#[derive(Default)]
pub(crate) struct FailingEndpoints(Mutex<HashMap<EndpointId, Failing>>);

impl FailingEndpoints {
    /// Takes over what the database has.
    pub(crate) fn put(&self, failing: HashMap<EndpointId, Failing>) {
        *self.lock() = failing;
    }

    pub(crate) fn get(&self, id: EndpointId) -> Option<Failing> {
        self.lock().get(&id).copied()
    }

    /// An attempt's outcome is committed.
    pub(crate) fn note(&self, delivery_id: DeliveryId, fact: &DeliveryFact) {
        match fact {
            DeliveryFact::AttemptSucceeded(made) => self.forget(made.endpoint_id),
            DeliveryFact::AttemptFailed { made, .. } if made.trigger != Trigger::Test => {
                let failing = Failing { since: made.start_time, delivery_id };
                self.lock().entry(made.endpoint_id).or_insert(failing);
            }
            _ => {}
        }
    }

    /// It was enabled or deleted: what was does not count any more.
    pub(crate) fn forget(&self, id: EndpointId) {
        self.lock().remove(&id);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<EndpointId, Failing>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What follows for the endpoint from what happened to one of its deliveries, if anything: at
/// most one fact, the gravest. `failing` is what was known before; after `patience` of nothing
/// but failures a degraded endpoint is disabled, without it never.
pub(crate) fn consequence(
    endpoint: &Endpoint,
    delivery_id: DeliveryId,
    fact: &DeliveryFact,
    failing: Option<Failing>,
    patience: Option<Duration>,
) -> Option<EndpointFact> {
    let commands = match fact {
        DeliveryFact::AttemptSucceeded(_) => {
            [Some(EndpointCommand::NoteSuccess { delivery_id }), None, None]
        }
        DeliveryFact::AttemptFailed { made, error, .. } if made.trigger != Trigger::Test => {
            let since = failing.map_or(made.start_time, |failing| failing.since);
            let has_lasted = lasted(since, made.start_time);
            let is_too_long = patience.is_some_and(|patience| has_lasted >= patience);
            let gone = EndpointCommand::NoteGone { delivery_id };
            let failing = EndpointCommand::NoteFailing { delivery_id, since };
            let exhausted = EndpointCommand::NoteExhausted { delivery_id, error: error.clone() };
            [
                (made.status_code == Some(GONE)).then_some(gone),
                is_too_long.then_some(failing),
                fact.is_exhaustion().then_some(exhausted),
            ]
        }
        DeliveryFact::Expired { reason, .. } if fact.is_exhaustion() => {
            let expired = EndpointCommand::NoteExpired { delivery_id, reason: reason.clone() };
            [Some(expired), None, None]
        }
        _ => [None, None, None],
    };
    // An endpoint that was deleted has no health.
    commands.into_iter().flatten().find_map(|command| endpoint.decide(command, None).ok().flatten())
}

fn lasted(since: Timestamp, until: Timestamp) -> Duration {
    Duration::try_from(until.duration_since(since)).unwrap_or(Duration::ZERO)
}
