//! Send: one signed request for each delivery, many at a time.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, Uri};
use keeptrusts_webhooks_domain::Timestamp;
use keeptrusts_webhooks_domain::attempt::{AttemptDetails, HttpExchange, Trigger};
use keeptrusts_webhooks_domain::delivery::{Delivery, RequestResult};
use keeptrusts_webhooks_domain::endpoint::Endpoint;
use keeptrusts_webhooks_domain::event::ContentDigest;
use keeptrusts_webhooks_domain::ids::AttemptId;
use keeptrusts_webhooks_domain::trace::TraceContext;
use keeptrusts_webhooks_store::vault::keyring::{DataKeys, KeyProblem};
use keeptrusts_webhooks_store::{BodyId, new_ulid};
use tokio::sync::mpsc;

use super::connections;
use super::delivery_target::DeliveryTarget;
use super::evaluation::Evaluation;
use super::failures::{CANNOT_READ_DATA_KEYS, OnDefect};
use super::owned_shard::OwnedShard;
use super::request;
use super::request_body::RequestBody;
use super::send_result::{AttemptProgress, CompletedAttempt, SendResult};
use crate::metrics;

/// Attempts deliveries, all at the same time. Their outcomes go to the recorder; the scheduler
/// learns of each as soon as its request is over.
pub(crate) async fn send_all(
    shard: Arc<OwnedShard>,
    deliveries: Vec<Delivery>,
    to_schedule: mpsc::Sender<AttemptProgress>,
    to_record: mpsc::Sender<SendResult>,
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
            // If an attempt ended without a message, its delivery would count as under way for
            // ever. So the shard is given up then, and its next owner begins again.
            let abort_unless_sent = abort.clone().drop_guard();
            let attempted = abort.run_until_cancelled(attempt(&shard, delivery, body, &keys)).await;
            if let Some(Some(attempted)) = attempted {
                // The scheduler is gone when the process is shutting down.
                _ = to_schedule.send(attempted.progress()).await;
                _ = to_record.send(SendResult::Attempted(Box::new(attempted))).await;
                abort_unless_sent.disarm();
            }
        });
    }
    for delivery in expired {
        _ = to_record.send(SendResult::BodyExpired(Box::new(delivery))).await;
    }
}

async fn read_bodies(shard: &OwnedShard, deliveries: &[Delivery]) -> HashMap<BodyId, Bytes> {
    let mut ids: Vec<_> =
        deliveries.iter().map(|delivery| BodyId::Event(delivery.event_id)).collect();
    ids.sort_unstable();
    ids.dedup();
    let read = || shard.log.bodies(shard.lease.shard(), &ids);
    shard.read("cannot read bodies", OnDefect::GiveUp, read).await
}

/// The organizations' data keys. Those that were read recently are not read again.
async fn read_keys(shard: &OwnedShard, deliveries: &[Delivery]) -> DataKeys {
    let organizations = deliveries.iter().map(|delivery| &delivery.organization_id);
    let read = || shard.keyring.data_keys(organizations.clone());
    shard.read(CANNOT_READ_DATA_KEYS, OnDefect::GiveUp, read).await
}

/// Makes one attempt. None: the lease ran out before it began.
async fn attempt(
    shard: &OwnedShard,
    delivery: Delivery,
    body: Bytes,
    keys: &DataKeys,
) -> Option<CompletedAttempt> {
    let target = shard.targets.get(delivery.endpoint_id)?;
    // The attempt begins when there is a body: waiting for a template is not the receiver's time.
    let request_body = RequestBody::of(&target, &delivery, body, keys, &shard.renderer).await;
    let start_time = (shard.clock)();
    let trigger = delivery.due_trigger();
    let trace = delivery.attempt_trace(delivery.attempt_count + 1);
    let request = prepare(&target, &delivery, &request_body, keys, trace.as_ref(), start_time);

    let (sent, request_headers) = match request {
        Ok(Request { uri, headers, body }) => {
            // The last chance to notice that this process was frozen past its lease.
            if !shard.lease.is_valid() {
                return None;
            }
            let group = connections::of_endpoint(shard.lease.shard(), delivery.endpoint_id);
            let kept = listed(&headers);
            (Ok(shard.transport.post(group, uri, headers, body).await), kept)
        }
        Err(reason) => (Err(reason), Vec::new()),
    };
    let (end_time, steady_end_time) = ((shard.clock)(), shard.steady_clock.now());
    let mut evaluation = match sent {
        Ok(http_exchange) => Evaluation::of(http_exchange, &target.endpoint.config.url, end_time),
        Err(reason) => Evaluation::never_sent(reason),
    };
    let current = shard.targets.get(delivery.endpoint_id);
    if current.is_some_and(|current| current.endpoint.config.url != target.endpoint.config.url) {
        evaluation.ignore_retry_after();
    }
    metrics::count_attempt(evaluation.result, trigger, evaluation.duration);
    let exchange = encoded_exchange(request_body.ok(), request_headers, &mut evaluation);
    let details = AttemptDetails {
        id: AttemptId::new(new_ulid(start_time)),
        event_id: delivery.event_id,
        event_type: delivery.event_type,
        endpoint_id: delivery.endpoint_id,
        number: delivery.attempt_count + 1,
        automatic_count: delivery.automatic_count + u32::from(trigger == Trigger::Automatic),
        trigger,
        start_time,
        duration: evaluation.duration,
        status_code: evaluation.status_code,
        exchange: ContentDigest::of(&exchange),
        remark: evaluation.remark,
    };
    let pause_end = match evaluation.request_result {
        RequestResult::Failed { endpoint_pause: Some(wait), .. } => {
            shard.pauses.extend(details.endpoint_id, wait)
        }
        _ => None,
    };
    Some(CompletedAttempt {
        request_trace: delivery.request_trace(trigger).cloned(),
        delivery,
        details,
        request_result: evaluation.request_result,
        result: evaluation.result,
        end_time,
        steady_end_time,
        exchange,
        trace,
        pause_end,
    })
}

struct Request<'a> {
    uri: &'a Uri,
    headers: HeaderMap,
    body: Bytes,
}

/// Signs the request. An error is a text for the delivery log: nothing can be sent.
fn prepare<'a>(
    target: &'a DeliveryTarget,
    delivery: &Delivery,
    request_body: &'a Result<RequestBody, String>,
    keys: &DataKeys,
    trace: Option<&TraceContext>,
    start_time: Timestamp,
) -> Result<Request<'a>, &'a str> {
    let uri = target.uri.as_ref().ok_or("the endpoint's URL cannot be requested: edit it")?;
    let secrets = target.secrets(start_time, keys);
    let secrets = secrets.map_err(|problem| cannot_sign(&target.endpoint, &problem))?;
    let request_body = request_body.as_ref().map_err(String::as_str)?;
    let number = delivery.attempt_count + 1;
    let headers = request::headers(delivery, number, request_body, &secrets, trace, start_time);
    Ok(Request { uri, headers, body: request_body.body.clone() })
}

/// Request and response, as they are stored, without the format's secret.
fn encoded_exchange(
    request_body: Option<RequestBody>,
    request_headers: Vec<(String, Vec<u8>)>,
    evaluation: &mut Evaluation,
) -> Bytes {
    let mut exchange = HttpExchange {
        request_headers: if evaluation.was_sent { request_headers } else { Vec::new() },
        response_headers: listed(&evaluation.response_headers),
        response_body: evaluation.response_body.to_vec(),
        request_body: None,
    };
    if let Some(request_body) = request_body {
        request_body.mask(&mut exchange, &mut evaluation.request_result);
    }
    if !evaluation.was_sent {
        // There is no body, not even the event's.
        exchange.request_body = Some(Vec::new());
    }
    keeptrusts_webhooks_contracts::log_codec::encode_exchange(&exchange).into()
}

fn listed(headers: &HeaderMap) -> Vec<(String, Vec<u8>)> {
    headers.iter().map(|(name, value)| (name.to_string(), value.as_bytes().to_vec())).collect()
}

/// The delivery log's text about a secret that cannot be opened. What operators have to do about it
/// is only in their log.
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
