//! Send: one signed request for each delivery, many at a time.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::HeaderMap;
use keeptrusts_webhooks_domain::Timestamp;
use keeptrusts_webhooks_domain::attempt::{AttemptMade, Exchange, Trigger};
use keeptrusts_webhooks_domain::delivery::{Delivery, Verdict};
use keeptrusts_webhooks_domain::endpoint::Endpoint;
use keeptrusts_webhooks_domain::event::ContentDigest;
use keeptrusts_webhooks_domain::ids::AttemptId;
use keeptrusts_webhooks_outbound::{ConnectionGroup, Exchange as Exchanged};
use keeptrusts_webhooks_store::keyring::{DataKeys, KeyProblem};
use keeptrusts_webhooks_store::{BodyId, new_ulid};
use tokio::sync::mpsc;

use super::outgoing::Outgoing;
use super::record::{Attempted, Outcome, Progress};
use super::{Backoff, Shard, request};
use crate::metrics::{self, AttemptResult};

/// Attempts deliveries, all at the same time; their outcomes go to the recorder. The scheduler
/// hears of each as soon as its request is over.
pub(crate) async fn send_all(
    shard: Arc<Shard>,
    deliveries: Vec<Delivery>,
    to_schedule: mpsc::Sender<Progress>,
    to_record: mpsc::Sender<Outcome>,
) {
    let (bodies, keys) =
        tokio::join!(read_bodies(&shard, &deliveries), read_keys(&shard, &deliveries));
    let keys = Arc::new(keys);
    let mut expired = Vec::new();
    for delivery in deliveries {
        let (shard, keys) = (Arc::clone(&shard), Arc::clone(&keys));
        let (to_schedule, to_record) = (to_schedule.clone(), to_record.clone());
        let Some(body) = bodies.get(&BodyId::Event(delivery.event_id)).cloned() else {
            expired.push(delivery);
            continue;
        };
        tokio::spawn(async move {
            let abort = shard.abort.clone();
            // A delivery whose attempt ended without a word would be taken for one that is under
            // way, for ever. Then the shard is given up, and its next owner begins anew.
            let unless_told = abort.clone().drop_guard();
            let attempted = abort.run_until_cancelled(attempt(&shard, delivery, body, &keys)).await;
            if let Some(Some(attempted)) = attempted {
                // The scheduler is gone when the process is shutting down.
                _ = to_schedule.send(attempted.progress()).await;
                _ = to_record.send(Outcome::Attempted(Box::new(attempted))).await;
                unless_told.disarm();
            }
        });
    }
    for delivery in expired {
        _ = to_record.send(Outcome::BodyExpired(Box::new(delivery))).await;
    }
}

async fn read_bodies(shard: &Shard, deliveries: &[Delivery]) -> HashMap<BodyId, Bytes> {
    let mut ids: Vec<_> =
        deliveries.iter().map(|delivery| BodyId::Event(delivery.event_id)).collect();
    ids.sort_unstable();
    ids.dedup();
    let mut backoff = Backoff::default();
    loop {
        match shard.log.bodies(shard.lease.shard(), &ids).await {
            Ok(bodies) => return bodies,
            Err(error) => {
                tracing::warn!(shard = %shard.lease.shard(), %error, "cannot read bodies, waiting");
                backoff.wait().await;
            }
        }
    }
}

/// The data keys of the organizations. Those that were read a short time ago are not read again.
async fn read_keys(shard: &Shard, deliveries: &[Delivery]) -> DataKeys {
    let mut backoff = Backoff::default();
    loop {
        let organizations = deliveries.iter().map(|delivery| &delivery.organization_id);
        match shard.keyring.data_keys(organizations).await {
            Ok(keys) => return keys,
            Err(error) => {
                tracing::warn!(shard = %shard.lease.shard(), %error, "cannot read data keys, waiting");
                backoff.wait().await;
            }
        }
    }
}

/// Makes one attempt. None: the lease ran out before it began.
async fn attempt(
    shard: &Shard,
    delivery: Delivery,
    body: Bytes,
    keys: &DataKeys,
) -> Option<Attempted> {
    let receiver = shard.receivers.get(delivery.endpoint_id)?;
    let start_time = (shard.clock)();
    let trigger = delivery.due_trigger();
    let number = delivery.attempt_count + 1;
    let automatic_count = delivery.automatic_count + u32::from(trigger == Trigger::Automatic);
    let trace = delivery.attempt_trace(number);

    let mut request_headers = HeaderMap::new();
    let outgoing = Outgoing::of(&receiver, &delivery, body, keys);
    let sent = match (&receiver.uri, receiver.secrets(start_time, keys), &outgoing) {
        (Some(uri), Ok(secrets), Ok(outgoing)) => {
            request_headers =
                request::headers(&delivery, number, outgoing, &secrets, trace, start_time);
            drop(secrets);
            // The last moment to notice that this process was frozen past its lease.
            if !shard.lease.is_valid() {
                return None;
            }
            let body = outgoing.body.clone();
            let connections = ConnectionGroup::new(delivery.endpoint_id.ulid().0);
            Ok(shard.transport.post(connections, uri, request_headers.clone(), body).await)
        }
        (None, _, _) => Err("the endpoint's URL cannot be requested: edit it"),
        (_, Err(problem), _) => Err(cannot_sign(&receiver.endpoint, &problem)),
        (_, _, Err(reason)) => Err(reason.as_str()),
    };
    let end_time = (shard.clock)();
    let judged = match sent {
        Ok(exchanged) => judge(exchanged, end_time),
        Err(reason) => Judged::never_sent(reason),
    };
    let Judged { verdict, result, duration, status_code, response_headers, response_body } = judged;
    metrics::attempted(result, trigger, duration);
    let mut exchange = Exchange {
        request_headers: listed(&request_headers),
        response_headers: listed(&response_headers),
        response_body: response_body.to_vec(),
        request_body: None,
    };
    match outgoing {
        Ok(outgoing) => outgoing.mask(&mut exchange),
        // There is no body, not even the event's.
        Err(_) => exchange.request_body = Some(Vec::new()),
    }
    let exchange = keeptrusts_webhooks_contracts::log_codec::encode_exchange(&exchange);
    let made = AttemptMade {
        id: AttemptId::new(new_ulid(start_time)),
        event_id: delivery.event_id,
        event_type: delivery.event_type,
        endpoint_id: delivery.endpoint_id,
        number,
        automatic_count,
        trigger,
        start_time,
        duration,
        status_code,
        exchange: ContentDigest::of(&exchange),
    };
    let exchange = exchange.into();
    Some(Attempted { delivery, made, verdict, result, end_time, exchange, trace })
}

/// What the delivery log says of a secret that cannot be opened. What operators have to do about
/// it is theirs to know.
fn cannot_sign(endpoint: &Endpoint, problem: &KeyProblem) -> &'static str {
    if let KeyProblem::Erased { .. } = problem {
        return "the organization was erased, and the endpoint's secret with it: delete the endpoint";
    }
    tracing::error!(endpoint_id = %endpoint.id, error = %problem, "cannot sign what goes to it");
    match problem {
        KeyProblem::MasterKeyMissing { .. } => {
            "the endpoint's secret cannot be decrypted now, because a key is missing on the server: tell its operators, then retry"
        }
        _ => "the endpoint's secret cannot be decrypted: set a new one",
    }
}

/// What came of a request, and what we make of it.
struct Judged {
    verdict: Verdict,
    result: AttemptResult,
    duration: Duration,
    status_code: Option<u16>,
    response_headers: HeaderMap,
    response_body: Bytes,
}

impl Judged {
    fn never_sent(reason: &str) -> Judged {
        Judged {
            verdict: Verdict::Failed { error: reason.to_owned(), retry_after: None },
            result: AttemptResult::NotSent,
            duration: Duration::ZERO,
            status_code: None,
            response_headers: HeaderMap::new(),
            response_body: Bytes::new(),
        }
    }
}

/// Success is any 2xx; everything else is not.
fn judge(Exchanged { result, duration, .. }: Exchanged, now: Timestamp) -> Judged {
    match result {
        Ok(answer) => {
            let verdict = match answer.status.is_success() {
                true => Verdict::Succeeded,
                false => Verdict::Failed {
                    error: format!("the receiver answered {}", answer.status),
                    retry_after: request::retry_after(&answer.headers, now),
                },
            };
            Judged {
                verdict,
                result: AttemptResult::Answered(answer.status.as_u16()),
                duration,
                status_code: Some(answer.status.as_u16()),
                response_headers: answer.headers,
                response_body: answer.body,
            }
        }
        Err(failure) => Judged {
            result: AttemptResult::Failed(failure.kind()),
            duration,
            ..Judged::never_sent(&failure.to_string())
        },
    }
}

fn listed(headers: &HeaderMap) -> Vec<(String, Vec<u8>)> {
    headers.iter().map(|(name, value)| (name.to_string(), value.as_bytes().to_vec())).collect()
}
