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
use keeptrusts_webhooks_domain::pause::Pause;
use keeptrusts_webhooks_outbound::{ConnectionGroup, Exchange as Exchanged, Remark};
use keeptrusts_webhooks_store::keyring::{DataKeys, KeyProblem};
use keeptrusts_webhooks_store::{BodyId, new_ulid};
use tokio::sync::mpsc;

use super::outgoing::Outgoing;
use super::record::{Attempted, Outcome, Progress};
use super::{Backoff, Shard, answered, request};
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
                shard.wait_or_give_up("cannot read bodies", &error, &mut backoff).await;
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
    // The attempt begins when there is something to send: waiting for a template is our own.
    let outgoing = Outgoing::of(&receiver, &delivery, body, keys, &shard.renderer).await;
    let start_time = (shard.clock)();
    let trigger = delivery.due_trigger();
    let number = delivery.attempt_count + 1;
    let automatic_count = delivery.automatic_count + u32::from(trigger == Trigger::Automatic);
    let trace = delivery.attempt_trace(number);
    let request_trace = delivery.request_trace(trigger).cloned();

    let mut request_headers = HeaderMap::new();
    let sent = match (&receiver.uri, receiver.secrets(start_time, keys), &outgoing) {
        (Some(uri), Ok(secrets), Ok(outgoing)) => {
            request_headers =
                request::headers(&delivery, number, outgoing, &secrets, trace.as_ref(), start_time);
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
    let (end_time, steady_end_time) = ((shard.clock)(), shard.steady.now());
    let remarks = sent.as_ref().map(|exchanged| exchanged.remarks.clone()).unwrap_or_default();
    let mut judged = match sent {
        Ok(exchanged) => judge(exchanged, &receiver.endpoint.url, end_time),
        Err(reason) => Judged::never_sent(reason),
    };
    let current = shard.receivers.get(delivery.endpoint_id);
    if current.is_some_and(|current| current.endpoint.url != receiver.endpoint.url) {
        judged.ignore_retry_after();
    }
    let remark =
        joined(&remarks, answered::remark(&judged.response_headers, &judged.response_body));
    let Judged {
        mut verdict,
        result,
        duration,
        status_code,
        response_headers,
        response_body,
        was_sent,
    } = judged;
    metrics::attempted(result, trigger, duration);
    let mut exchange = Exchange {
        request_headers: if was_sent { listed(&request_headers) } else { Vec::new() },
        response_headers: listed(&response_headers),
        response_body: response_body.to_vec(),
        request_body: None,
    };
    if let Ok(outgoing) = outgoing {
        outgoing.mask(&mut exchange, &mut verdict);
    }
    if !was_sent {
        // There is no body, not even the event's.
        exchange.request_body = Some(Vec::new());
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
        remark,
    };
    let exchange = exchange.into();
    let pause_end = match verdict {
        Verdict::Failed { endpoint_pause: Some(wait), .. } => {
            shard.pauses.extend(made.endpoint_id, wait)
        }
        _ => None,
    };
    Some(Attempted {
        delivery,
        made,
        verdict,
        result,
        end_time,
        steady_end_time,
        exchange,
        trace,
        request_trace,
        pause_end,
    })
}

/// What was out of the ordinary, in one text.
fn joined(remarks: &[Remark], of_answer: Option<String>) -> String {
    let remarks = remarks.iter().map(ToString::to_string).chain(of_answer);
    remarks.collect::<Vec<_>>().join("; ")
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
    /// Whether anything of the request went to the receiver, as far as is known.
    was_sent: bool,
}

impl Judged {
    fn never_sent(reason: &str) -> Judged {
        Judged {
            verdict: Verdict::Failed {
                error: reason.to_owned(),
                retry_after: None,
                endpoint_pause: None,
            },
            result: AttemptResult::NotSent,
            duration: Duration::ZERO,
            status_code: None,
            response_headers: HeaderMap::new(),
            response_body: Bytes::new(),
            was_sent: false,
        }
    }

    /// The endpoint has another URL by now: who answered is not asked next.
    fn ignore_retry_after(&mut self) {
        if let Verdict::Failed { retry_after, endpoint_pause, .. } = &mut self.verdict {
            (*retry_after, *endpoint_pause) = (None, None);
        }
    }
}

/// Success is any 2xx; everything else is not.
fn judge(Exchanged { result, duration, .. }: Exchanged, url: &str, now: Timestamp) -> Judged {
    match result {
        Ok(answer) => {
            let verdict = match answer.status.is_success() {
                true => Verdict::Succeeded,
                false => {
                    let retry_after = request::retry_after(&answer.headers, now);
                    Verdict::Failed {
                        error: answered::refusal(answer.status, &answer.headers, url),
                        retry_after,
                        endpoint_pause: Pause::after_answer(answer.status.as_u16(), retry_after),
                    }
                }
            };
            Judged {
                verdict,
                result: AttemptResult::Answered(answer.status.as_u16()),
                duration,
                status_code: Some(answer.status.as_u16()),
                response_headers: answer.headers,
                response_body: answer.body,
                was_sent: true,
            }
        }
        Err(failure) => Judged {
            result: AttemptResult::Failed(failure.kind()),
            duration,
            was_sent: failure.may_have_been_sent(),
            ..Judged::never_sent(&failure.to_string())
        },
    }
}

fn listed(headers: &HeaderMap) -> Vec<(String, Vec<u8>)> {
    headers.iter().map(|(name, value)| (name.to_string(), value.as_bytes().to_vec())).collect()
}
