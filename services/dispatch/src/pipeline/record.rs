//! Record: turns outcomes into facts, and appends all that wait at once.
//!
//! Decision: docs/decisions/requests-and-outcomes-have-limits-of-their-own.md

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use futures_util::stream::{FuturesUnordered, StreamExt};
use keeptrusts_webhooks_contracts::log_codec::Metadata;
use keeptrusts_webhooks_domain::Timestamp;
use keeptrusts_webhooks_domain::delivery::{Delivery, DeliveryState};
use keeptrusts_webhooks_domain::endpoint::Endpoint;
use keeptrusts_webhooks_domain::fact::{DeliveryFact, Fact};
use keeptrusts_webhooks_domain::ids::EndpointId;
use keeptrusts_webhooks_store::backoff::Backoff;
use keeptrusts_webhooks_store::{
    AppendError, AppendOutcome, BodyId, NewBody, NewRecord, Operation, StoreError,
};
use tokio::sync::mpsc;
use tokio::time::sleep;

use super::failures::{AppendPolicy, DATABASE_BACKOFF, OnDefect, Reaction, StageEnded, Streams};
use super::owned_shard::OwnedShard;
use super::send_result::{AttemptProgress, CompletedAttempt, SendResult};
use super::{health, spans};
use crate::metrics;

/// An outcome that is to be appended.
struct PendingOutcome {
    outcome: SendResult,
    /// The endpoint, read again because its known state was stale.
    endpoint: Option<Endpoint>,
}

impl PendingOutcome {
    fn delivery(&mut self) -> &mut Delivery {
        match &mut self.outcome {
            SendResult::Attempted(attempted) => &mut attempted.delivery,
            SendResult::BodyExpired(delivery) => delivery,
        }
    }
}

/// Outcomes that are handed to the log together.
const MAX_OUTCOMES_PER_APPEND: usize = 512;
/// Appends that may wait for their commits at the same time: together as many outcomes as a shard's
/// scheduler has in flight. Otherwise outcomes would wait here, before the log's queue; publishers,
/// who are many and each in the queue at once, would overtake them.
const MAX_CONCURRENT_APPENDS: usize = 8;

pub(crate) async fn run(
    shard: Arc<OwnedShard>,
    mut outcomes: mpsc::Receiver<SendResult>,
    to_schedule: mpsc::Sender<AttemptProgress>,
) {
    let backoff = DATABASE_BACKOFF;
    let mut recorder = Recorder { shard: &shard, changed: ChangedEndpoints::new(), backoff };
    let mut received = Vec::with_capacity(MAX_OUTCOMES_PER_APPEND);
    let mut steps = FuturesUnordered::new();
    let mut is_open = true;
    while is_open || !steps.is_empty() {
        let next = tokio::select! {
            biased;
            Some(step) = steps.next() => match step {
                Step::Appended(appended) => {
                    match recorder.conclude(appended, &to_schedule).await {
                        Ok(again) => {
                            (!again.pending.is_empty()).then(|| recorder.read_again(again))
                        }
                        Err(StageEnded) => {
                            // The scheduler still learns of what was committed before.
                            while let Some(Some(Step::Appended(appended))) = steps.next().now_or_never() {
                                _ = recorder.conclude(appended, &to_schedule).await;
                            }
                            return;
                        }
                    }
                }
                Step::ReadAgain(pending) => Some(recorder.append(pending)),
            },
            count = outcomes.recv_many(&mut received, MAX_OUTCOMES_PER_APPEND),
                if is_open && steps.len() < MAX_CONCURRENT_APPENDS =>
            {
                is_open = count > 0;
                let fresh = received.drain(..).map(|outcome| PendingOutcome { outcome, endpoint: None });
                let pending: Vec<_> = fresh.collect();
                (!pending.is_empty()).then(|| recorder.append(pending))
            }
        };
        steps.extend(next);
    }
}

enum Step {
    /// The log has answered.
    Appended(Vec<(PendingOutcome, Fact, Result<AppendOutcome, AppendError>)>),
    /// What outcomes must be decided from again was read.
    ReadAgain(Vec<PendingOutcome>),
}

/// Decides what is recorded, and handles the results.
struct Recorder<'a> {
    shard: &'a OwnedShard,
    changed: ChangedEndpoints,
    /// Grows while the database is not available.
    backoff: Backoff,
}

/// Deliveries and endpoints may change meanwhile.
const OUTCOMES: AppendPolicy = AppendPolicy {
    what: "cannot record outcomes",
    streams: Streams::Shared,
    on_defect: OnDefect::GiveUp,
};

/// Endpoints whose health this stage has changed, until routing has read those records.
type ChangedEndpoints = HashMap<EndpointId, Endpoint>;

/// Outcomes that are to be recorded again.
struct RetryBatch {
    pending: Vec<PendingOutcome>,
    /// How long to wait before, and why. None: the state has changed, and the database is
    /// available.
    wait: Option<(Duration, AppendError)>,
}

impl<'a> Recorder<'a> {
    /// Hands outcomes to the log.
    fn append(&mut self, pending: Vec<PendingOutcome>) -> BoxFuture<'a, Step> {
        let Recorder { shard, changed, .. } = self;
        let shard = *shard;
        changed.retain(|id, endpoint| {
            shard.targets.get(*id).is_some_and(|known| known.endpoint.version < endpoint.version)
        });
        let operations: Vec<_> =
            pending.iter().map(|pending| operation(shard, pending, changed)).collect();
        let facts: Vec<_> =
            operations.iter().map(|operation| operation.records[0].fact.clone()).collect();
        Box::pin(async move {
            let results = shard.log.append_all(shard.lease.shard(), operations).await;
            let appended = pending.into_iter().zip(facts).zip(results);
            let appended = appended.map(|((pending, fact), result)| (pending, fact, result));
            Step::Appended(appended.collect())
        })
    }

    /// Reports what is recorded to the scheduler; returns what is to be tried again.
    async fn conclude(
        &mut self,
        appended: Vec<(PendingOutcome, Fact, Result<AppendOutcome, AppendError>)>,
        to_schedule: &mpsc::Sender<AttemptProgress>,
    ) -> Result<RetryBatch, StageEnded> {
        let shard = self.shard;
        let (mut again, mut waits_for) = (Vec::new(), None);
        for (pending, fact, result) in appended {
            match result {
                Ok(AppendOutcome::Appended { recorded_at, .. }) => {
                    let delivery = finish(shard, pending.outcome, &fact, recorded_at);
                    // The scheduler is gone when the process is shutting down.
                    _ = to_schedule.send(AttemptProgress::Committed(Box::new(delivery))).await;
                }
                Ok(
                    AppendOutcome::Duplicate { .. }
                    | AppendOutcome::Repeated { .. }
                    | AppendOutcome::Valid { .. },
                ) => {}
                Err(error) => {
                    match shard.react(OUTCOMES, &error) {
                        Reaction::DecideAgain => {}
                        // The other outcomes are still recorded until the shard is given back.
                        Reaction::Wait | Reaction::GiveUp => waits_for = Some(error),
                        Reaction::Abort | Reaction::End => return Err(StageEnded),
                    }
                    again.push(pending);
                    // What was decided may not have been recorded.
                    self.changed.clear();
                }
            }
        }
        if waits_for.is_none() {
            self.backoff.reset();
        }
        let wait = waits_for.map(|error| (self.backoff.next_wait(), error));
        Ok(RetryBatch { pending: again, wait })
    }

    /// When the database is available, reads again what refused outcomes were decided from.
    fn read_again(&self, RetryBatch { mut pending, wait }: RetryBatch) -> BoxFuture<'a, Step> {
        let shard = self.shard;
        Box::pin(async move {
            if let Some((wait, error)) = wait {
                shard.log_wait(OUTCOMES.what, &error);
                sleep(wait).await;
            }
            for pending in &mut pending {
                let before = pending.delivery().clone();
                let read = || current(shard, &before);
                let (row, endpoint) = shard.read(OUTCOMES.what, OUTCOMES.on_defect, read).await;
                *pending.delivery() = row.unwrap_or(before);
                pending.endpoint = endpoint;
            }
            Step::ReadAgain(pending)
        })
    }
}

/// The delivery after its outcome was recorded. Also counts, traces and logs it.
fn finish(
    shard: &OwnedShard,
    outcome: SendResult,
    fact: &Fact,
    recorded_at: Timestamp,
) -> Delivery {
    let (before, attempted) = match outcome {
        SendResult::Attempted(attempted) => (attempted.delivery.clone(), Some(attempted)),
        SendResult::BodyExpired(delivery) => (*delivery, None),
    };
    let state_before = before.state;
    let mut delivery = before;
    if let Fact::Delivery(fact) = fact {
        delivery.apply(fact, recorded_at, None);
        shard.failing.note(delivery.id, fact, shard.steady_clock.now());
    }
    let end = attempted.as_ref().map_or(recorded_at, |attempted| attempted.end_time);
    metrics::count_ended(state_before, &delivery, end);
    if let Some(attempted) = attempted {
        spans::export_attempt(shard, &attempted, &delivery);
        log_failure(&attempted, &delivery);
    } else if delivery.state != state_before {
        let (delivery_id, endpoint_id) = (delivery.id, delivery.endpoint_id);
        tracing::warn!(%delivery_id, %endpoint_id, reason = delivery.end_reason, "a delivery has failed for good");
    }
    delivery
}

/// Success is not worth a log line; final failure is.
fn log_failure(attempted: &CompletedAttempt, after: &Delivery) {
    let Some(error) = attempted.failure() else { return };
    let CompletedAttempt { details, trace, .. } = attempted;
    let trace_id = trace.as_ref().map(|trace| tracing::field::display(trace.trace_id));
    let (delivery_id, endpoint_id) = (after.id, after.endpoint_id);
    if after.state == DeliveryState::Failed {
        tracing::warn!(
            trace_id, %delivery_id, %endpoint_id, attempt = details.number, error,
            "a delivery has failed for good"
        );
    } else {
        let next_attempt_time = after.next_attempt_time.map(tracing::field::display);
        tracing::debug!(
            trace_id, %delivery_id, %endpoint_id, attempt = details.number, error, next_attempt_time,
            "an attempt has failed"
        );
    }
}

fn operation(
    shard: &OwnedShard,
    pending: &PendingOutcome,
    changed: &mut ChangedEndpoints,
) -> Operation {
    let (delivery, fact, trace, bodies) = match &pending.outcome {
        SendResult::Attempted(attempted) => {
            let CompletedAttempt {
                delivery,
                details,
                end_time,
                steady_end_time,
                exchange,
                trace,
                ..
            } = &**attempted;
            let schedule = &shard.settings.retry_schedule;
            let request_result = attempted.result_to_record(shard);
            let fact = delivery.conclude(
                details.clone(),
                request_result,
                *end_time,
                *steady_end_time,
                schedule,
            );
            let expire_time = end_time.checked_add(shard.settings.body_retention);
            let body = NewBody {
                id: BodyId::Attempt(details.id),
                content: exchange.clone(),
                expire_time: expire_time.unwrap_or(Timestamp::MAX),
            };
            (delivery, fact, trace.clone(), vec![body])
        }
        SendResult::BodyExpired(delivery) => {
            (&**delivery, delivery.expire(), delivery.trace.clone(), Vec::new())
        }
    };
    let health = health_change(shard, pending, delivery, &fact, changed);
    // The version is checked, so that changes in between (a cancellation, say) are taken into
    // account first.
    let mut records = vec![NewRecord::following(delivery, fact)];
    records.extend(health);
    let metadata = Metadata {
        correlation_id: delivery.event_id.to_string(),
        trace,
        steady_time: Some(shard.steady_clock.now()),
        ..Metadata::default()
    };
    Operation { bodies, ..shard.operation(&delivery.organization_id, records, metadata) }
}

/// The endpoint's new health, if it changes: degraded, active again, or disabled.
fn health_change(
    shard: &OwnedShard,
    pending: &PendingOutcome,
    delivery: &Delivery,
    fact: &DeliveryFact,
    changed: &mut ChangedEndpoints,
) -> Option<NewRecord> {
    let target = shard.targets.get(delivery.endpoint_id)?;
    let known =
        [Some(&target.endpoint), pending.endpoint.as_ref(), changed.get(&target.endpoint.id)];
    let endpoint = known.into_iter().flatten().max_by_key(|endpoint| endpoint.version)?;
    let failing = shard.failing.get(endpoint.id, shard.steady_clock.now());
    let patience = shard.settings.disable_failing_after;
    let fact = health::health_fact(endpoint, delivery.id, fact, failing, patience)?;
    let record = NewRecord::following(endpoint, fact.clone());
    let mut endpoint = endpoint.clone();
    endpoint.apply(&fact, (shard.clock)());
    changed.insert(endpoint.id, endpoint);
    Some(record)
}

/// A delivery and its endpoint as they are now.
async fn current(
    shard: &OwnedShard,
    Delivery { id, organization_id, endpoint_id, .. }: &Delivery,
) -> Result<(Option<Delivery>, Option<Endpoint>), StoreError> {
    let (store, number) = (shard.log.store(), shard.lease.shard());
    let delivery = store.deliveries(number, organization_id, &[*id]).await?.pop();
    let endpoint = store.endpoint(number, organization_id, *endpoint_id).await?;
    Ok((delivery, endpoint))
}
