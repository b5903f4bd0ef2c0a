//! What an attempt's outcome means for its endpoint's health.
//!
//! Decision: docs/decisions/endpoint-health-is-decided-with-attempts.md

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use keeptrusts_webhooks_domain::Timestamp;
use keeptrusts_webhooks_domain::attempt::Trigger;
use keeptrusts_webhooks_domain::endpoint::{Endpoint, EndpointCommand, FailureStreak};
use keeptrusts_webhooks_domain::fact::{DeliveryFact, EndpointFact};
use keeptrusts_webhooks_domain::ids::{DeliveryId, EndpointId};

/// RFC 9110 section 15.5.11: the receiver is gone, and this is likely to be permanent.
const GONE: u16 = 410;

/// Endpoints whose recent attempts have all failed: the table's rows, plus outcomes that are not
/// committed yet. Only times that are days ago matter. Durations are measured on the steady clock,
/// so that setting a clock disables no endpoint.
#[derive(Default)]
pub(crate) struct FailingEndpoints(Mutex<HashMap<EndpointId, FailureStart>>);

#[derive(Debug, Clone, Copy)]
struct FailureStart {
    failing: FailureStreak,
    /// The same time on the steady clock.
    steady_since: Timestamp,
}

/// An endpoint that only fails, and for how long.
#[derive(Debug, Clone, Copy)]
pub(crate) struct FailureDuration {
    pub(crate) failing: FailureStreak,
    pub(crate) lasted: Duration,
}

impl FailingEndpoints {
    /// Takes over the database's rows. Their age is measured on the wall clock.
    pub(crate) fn put(
        &self,
        failing: HashMap<EndpointId, FailureStreak>,
        wall_now: Timestamp,
        steady_now: Timestamp,
    ) {
        let since = |failing: FailureStreak| {
            let steady_since = steady_now.checked_sub(lasted(failing.since, wall_now));
            FailureStart { failing, steady_since: steady_since.unwrap_or(Timestamp::MIN) }
        };
        *self.lock() = failing.into_iter().map(|(id, failing)| (id, since(failing))).collect();
    }

    pub(crate) fn get(&self, id: EndpointId, steady_now: Timestamp) -> Option<FailureDuration> {
        let FailureStart { failing, steady_since } = *self.lock().get(&id)?;
        Some(FailureDuration { failing, lasted: lasted(steady_since, steady_now) })
    }

    /// An attempt's outcome is committed.
    pub(crate) fn note(&self, delivery_id: DeliveryId, fact: &DeliveryFact, steady_now: Timestamp) {
        match fact {
            DeliveryFact::AttemptSucceeded(details) => self.forget(details.endpoint_id),
            DeliveryFact::AttemptFailed { details, .. } if details.trigger != Trigger::Test => {
                let failure = FailureStreak::begin(details.start_time, delivery_id);
                self.lock()
                    .entry(details.endpoint_id)
                    .and_modify(|known| known.failing = known.failing.followed_by(failure))
                    .or_insert(FailureStart { failing: failure, steady_since: steady_now });
            }
            _ => {}
        }
    }

    /// The endpoint was enabled or deleted: earlier failures do not count any more.
    pub(crate) fn forget(&self, id: EndpointId) {
        self.lock().remove(&id);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<EndpointId, FailureStart>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The endpoint's fact that follows from a delivery's fact, if any: at most one, the gravest.
/// `failing` is the state before. After `patience` of nothing but failures a degraded endpoint is
/// disabled; None: never.
pub(crate) fn health_fact(
    endpoint: &Endpoint,
    delivery_id: DeliveryId,
    fact: &DeliveryFact,
    failing: Option<FailureDuration>,
    patience: Option<Duration>,
) -> Option<EndpointFact> {
    let commands = match fact {
        DeliveryFact::AttemptSucceeded(_) => {
            [Some(EndpointCommand::NoteSuccess { delivery_id }), None, None]
        }
        DeliveryFact::AttemptFailed { details, error, .. } if details.trigger != Trigger::Test => {
            let since = failing.map_or(details.start_time, |known| known.failing.since);
            let has_lasted = failing.map_or(Duration::ZERO, |known| known.lasted);
            let is_too_long = patience.is_some_and(|patience| has_lasted >= patience);
            let gone = EndpointCommand::NoteGone { delivery_id };
            let failing = EndpointCommand::NoteFailedTooLong { delivery_id, since };
            let exhausted = EndpointCommand::NoteExhausted { delivery_id, error: error.clone() };
            [
                (details.status_code == Some(GONE)).then_some(gone),
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
