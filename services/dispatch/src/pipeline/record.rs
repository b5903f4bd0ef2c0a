//! Record: turns outcomes into facts and appends them, all that wait at once.

use std::collections::HashSet;
use std::sync::Arc;

use bytes::Bytes;
use keeptrusts_webhooks_contracts::log_codec::Metadata;
use keeptrusts_webhooks_domain::Timestamp;
use keeptrusts_webhooks_domain::attempt::AttemptMade;
use keeptrusts_webhooks_domain::delivery::{Delivery, Verdict};
use keeptrusts_webhooks_domain::endpoint::{Endpoint, EndpointCommand};
use keeptrusts_webhooks_domain::fact::{DeliveryFact, Fact};
use keeptrusts_webhooks_domain::log::Stream;
use keeptrusts_webhooks_domain::trace::TraceContext;
use keeptrusts_webhooks_store::{
    AppendError, Appended, BodyId, Expected, NewBody, NewRecord, Operation, Refusal, StoreError,
};
use tokio::sync::mpsc;

use super::scheduler::Health;
use super::{Backoff, Shard};

/// What became of a delivery whose turn it was.
pub(crate) enum Outcome {
    /// A request was made, or could not be.
    Attempted(Box<Attempted>),
    /// There is nothing left to send.
    BodyExpired(Box<Delivery>),
}

/// An attempt that has ended.
pub(crate) struct Attempted {
    pub(crate) delivery: Delivery,
    pub(crate) made: AttemptMade,
    pub(crate) verdict: Verdict,
    pub(crate) end_time: Timestamp,
    /// The encoded exchange.
    pub(crate) exchange: Bytes,
    /// The attempt's place in the trace.
    pub(crate) trace: Option<TraceContext>,
}

/// An outcome that is committed: the delivery after it.
pub(crate) struct Finished {
    pub(crate) delivery: Delivery,
    pub(crate) health: Health,
}

/// An outcome on its way into the log.
struct Pending {
    outcome: Outcome,
    /// The endpoint, read again because what was known of it was stale.
    endpoint: Option<Endpoint>,
}

const OUTCOMES_AT_ONCE: usize = 512;

pub(crate) async fn run(
    shard: Arc<Shard>,
    mut outcomes: mpsc::Receiver<Outcome>,
    to_finish: mpsc::Sender<Finished>,
) {
    let mut received = Vec::with_capacity(OUTCOMES_AT_ONCE);
    let mut backoff = Backoff::default();
    while outcomes.recv_many(&mut received, OUTCOMES_AT_ONCE).await > 0 {
        let fresh = received.drain(..).map(|outcome| Pending { outcome, endpoint: None });
        let mut pending: Vec<_> = fresh.collect();
        while !pending.is_empty() {
            match record(&shard, pending, &to_finish).await {
                Ok(again) if again.is_empty() => {
                    backoff.reset();
                    break;
                }
                Ok(again) => pending = again,
                Err(Ended) => return,
            }
            pending = match refresh(&shard, pending).await {
                Ok(refreshed) => refreshed,
                Err((kept, error)) => {
                    tracing::warn!(shard = %shard.lease.shard(), %error, "cannot record outcomes, waiting");
                    backoff.wait().await;
                    kept
                }
            };
        }
    }
}

/// The lease is lost, or the log is closed.
struct Ended;

/// Appends outcomes; returns those to be tried again.
async fn record(
    shard: &Shard,
    pending: Vec<Pending>,
    to_finish: &mpsc::Sender<Finished>,
) -> Result<Vec<Pending>, Ended> {
    // One change of health for each endpoint and batch: a second would find the first one's.
    let mut with_health = HashSet::new();
    let operations: Vec<_> =
        pending.iter().map(|pending| operation(shard, pending, &mut with_health)).collect();
    let facts: Vec<_> = operations.iter().map(|operation| operation.records[0].fact.clone()).collect();
    let results = shard.log.append_all(shard.lease.shard(), operations).await;
    let mut again = Vec::new();
    for ((pending, fact), result) in pending.into_iter().zip(facts).zip(results) {
        match result {
            Ok(Appended::New { recorded_at, .. }) => {
                let finished = finish(pending.outcome, &fact, recorded_at);
                // The scheduler is gone when the process is shutting down.
                _ = to_finish.send(finished).await;
            }
            Ok(Appended::Duplicate { .. }) => {}
            Err(AppendError::Refused(Refusal::LeaseLost { .. })) => {
                shard.abort.cancel();
                return Err(Ended);
            }
            Err(AppendError::InDoubt | AppendError::Closed) => return Err(Ended),
            Err(error) => {
                tracing::debug!(shard = %shard.lease.shard(), %error, "recording an outcome again");
                again.push(pending);
            }
        }
    }
    Ok(again)
}

fn finish(outcome: Outcome, fact: &Fact, recorded_at: Timestamp) -> Finished {
    let (mut delivery, health) = match outcome {
        Outcome::Attempted(attempted) => {
            let succeeded = attempted.verdict == Verdict::Succeeded;
            (attempted.delivery, if succeeded { Health::Good } else { Health::Bad })
        }
        Outcome::BodyExpired(delivery) => (*delivery, Health::Good),
    };
    if let Fact::Delivery(fact) = fact {
        delivery.apply(fact, recorded_at);
    }
    Finished { delivery, health }
}

fn operation(
    shard: &Shard,
    pending: &Pending,
    with_health: &mut HashSet<keeptrusts_webhooks_domain::ids::EndpointId>,
) -> Operation {
    let (delivery, fact, trace, bodies) = match &pending.outcome {
        Outcome::Attempted(attempted) => {
            let Attempted { delivery, made, verdict, end_time, exchange, trace } = &**attempted;
            let schedule = &shard.settings.retry_schedule;
            let fact = delivery.conclude(made.clone(), verdict.clone(), *end_time, schedule);
            let expire_time = end_time.checked_add(shard.settings.body_retention);
            let body = NewBody {
                id: BodyId::Attempt(made.id),
                content: exchange.clone(),
                expire_time: expire_time.unwrap_or(Timestamp::MAX),
            };
            (delivery, fact, *trace, vec![body])
        }
        Outcome::BodyExpired(delivery) => {
            let reason = "the event's body is no longer kept".to_owned();
            (&**delivery, DeliveryFact::Cancelled { reason }, delivery.trace, Vec::new())
        }
    };
    let health = health_change(shard, pending, delivery, &fact);
    let health = health.filter(|_| with_health.insert(delivery.endpoint_id));
    let mut records = vec![NewRecord {
        stream: Stream::Delivery(delivery.id),
        // Whatever happened meanwhile (a cancellation, say) is taken into account first.
        expected: Expected::Version(delivery.version),
        fact: Fact::Delivery(fact),
    }];
    records.extend(health);
    Operation {
        id: shard.new_operation_id(),
        organization_id: delivery.organization_id.clone(),
        records,
        metadata: Metadata {
            actor: "dispatch".into(),
            correlation_id: delivery.event_id.to_string(),
            causation: None,
            trace,
        },
        bodies,
        fence: Some(shard.lease.epoch()),
        checkpoint: None,
    }
}

/// Degraded after an exhausted delivery, active again after a success.
fn health_change(
    shard: &Shard,
    pending: &Pending,
    delivery: &Delivery,
    fact: &DeliveryFact,
) -> Option<NewRecord> {
    let delivery_id = delivery.id;
    let command = match fact {
        DeliveryFact::AttemptSucceeded(_) => EndpointCommand::NoteSuccess { delivery_id },
        fact if fact.is_exhaustion() => EndpointCommand::NoteExhausted { delivery_id },
        _ => return None,
    };
    let receiver = shard.receivers.get(delivery.endpoint_id)?;
    let endpoint = pending.endpoint.as_ref().unwrap_or(&receiver.endpoint);
    // An endpoint that was deleted has no health.
    let fact = endpoint.decide(command, None).ok()??;
    Some(NewRecord {
        stream: Stream::Endpoint(endpoint.id),
        expected: Expected::Version(endpoint.version),
        fact: Fact::Endpoint(fact),
    })
}

/// Reads again what outcomes that were refused were decided from.
async fn refresh(
    shard: &Shard,
    mut pending: Vec<Pending>,
) -> Result<Vec<Pending>, (Vec<Pending>, StoreError)> {
    let (store, number) = (shard.log.store(), shard.lease.shard());
    for index in 0..pending.len() {
        let Pending { outcome, endpoint } = &mut pending[index];
        let delivery = match outcome {
            Outcome::Attempted(attempted) => &mut attempted.delivery,
            Outcome::BodyExpired(delivery) => delivery,
        };
        let organization = delivery.organization_id.clone();
        let read = async {
            let row = store.deliveries(number, &organization, &[delivery.id]).await?.pop();
            let known = store.endpoint(number, &organization, delivery.endpoint_id).await?;
            Ok((row, known))
        };
        match read.await {
            Ok((row, known)) => {
                *delivery = row.unwrap_or_else(|| delivery.clone());
                *endpoint = known;
            }
            Err(error) => return Err((pending, error)),
        }
    }
    Ok(pending)
}
