//! Send: one signed request for each delivery, many at a time.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use http::HeaderMap;
use keeptrusts_webhooks_domain::attempt::{AttemptMade, Exchange, Trigger};
use keeptrusts_webhooks_domain::delivery::{Delivery, Verdict};
use keeptrusts_webhooks_domain::event::ContentDigest;
use keeptrusts_webhooks_domain::ids::AttemptId;
use keeptrusts_webhooks_outbound::Exchange as Exchanged;
use keeptrusts_webhooks_store::keyring::random;
use keeptrusts_webhooks_store::{BodyId, new_ulid};
use tokio::sync::mpsc;

use super::record::{Attempted, Outcome};
use super::{Backoff, Shard, request};

/// Attempts deliveries, all at the same time; their outcomes go to the recorder.
pub(crate) async fn send_all(
    shard: Arc<Shard>,
    deliveries: Vec<Delivery>,
    to_record: mpsc::Sender<Outcome>,
) {
    let mut bodies = read_bodies(&shard, &deliveries).await;
    for delivery in deliveries {
        let (shard, to_record) = (Arc::clone(&shard), to_record.clone());
        let Some(body) = bodies.get_mut(&BodyId::Event(delivery.event_id)).cloned() else {
            _ = to_record.send(Outcome::BodyExpired(Box::new(delivery))).await;
            continue;
        };
        tokio::spawn(async move {
            let abort = shard.abort.clone();
            let attempted = abort.run_until_cancelled(attempt(&shard, delivery, body)).await;
            if let Some(Some(attempted)) = attempted {
                _ = to_record.send(Outcome::Attempted(Box::new(attempted))).await;
            }
        });
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

/// Makes one attempt. None: the lease ran out before it began.
async fn attempt(shard: &Shard, delivery: Delivery, body: Bytes) -> Option<Attempted> {
    let receiver = shard.receivers.get(delivery.endpoint_id)?;
    let start_time = (shard.clock)();
    let trigger = delivery.due_trigger();
    let number = delivery.attempt_count + 1;
    let automatic_count = delivery.automatic_count + u32::from(trigger == Trigger::Automatic);
    let trace = delivery.trace.map(|trace| trace.child(random()));

    let mut request_headers = HeaderMap::new();
    let sent = match (&receiver.uri, receiver.secrets(start_time)) {
        (Some(uri), Some(secrets)) => {
            request_headers =
                request::headers(&delivery, number, &body, secrets, trace, start_time);
            // The last moment to notice that this process was frozen past its lease.
            if !shard.lease.is_valid() {
                return None;
            }
            Ok(shard.transport.post(uri, request_headers.clone(), body).await)
        }
        (None, _) => Err("the endpoint's URL cannot be requested: edit it"),
        (_, None) => Err("the endpoint's secret cannot be decrypted: set a new one"),
    };
    let end_time = (shard.clock)();
    let (exchanged, refused) = match sent {
        Ok(exchanged) => (Some(exchanged), None),
        Err(reason) => (None, Some(reason.to_owned())),
    };
    let duration = exchanged.as_ref().map(|exchanged| exchanged.duration).unwrap_or_default();
    let (verdict, status_code, response_headers, response_body) = match (exchanged, refused) {
        (Some(exchanged), _) => judge(exchanged, end_time),
        (None, error) => {
            let error = error.unwrap_or_default();
            (Verdict::Failed { error, retry_after: None }, None, HeaderMap::new(), Bytes::new())
        }
    };
    let exchange = Exchange {
        request_headers: listed(&request_headers),
        response_headers: listed(&response_headers),
        response_body: response_body.to_vec(),
    };
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
    Some(Attempted { delivery, made, verdict, end_time, exchange: exchange.into(), trace })
}

/// Success is any 2xx; everything else is not.
fn judge(
    exchanged: Exchanged,
    now: keeptrusts_webhooks_domain::Timestamp,
) -> (Verdict, Option<u16>, HeaderMap, Bytes) {
    match exchanged.result {
        Ok(answer) if answer.status.is_success() => {
            (Verdict::Succeeded, Some(answer.status.as_u16()), answer.headers, answer.body)
        }
        Ok(answer) => {
            let error = format!("the receiver answered {}", answer.status);
            let retry_after = request::retry_after(&answer.headers, now);
            let verdict = Verdict::Failed { error, retry_after };
            (verdict, Some(answer.status.as_u16()), answer.headers, answer.body)
        }
        Err(failure) => {
            let verdict = Verdict::Failed { error: failure.to_string(), retry_after: None };
            let status = failure.status().map(|status| status.as_u16());
            (verdict, status, HeaderMap::new(), Bytes::new())
        }
    }
}

fn listed(headers: &HeaderMap) -> Vec<(String, Vec<u8>)> {
    headers.iter().map(|(name, value)| (name.to_string(), value.as_bytes().to_vec())).collect()
}
