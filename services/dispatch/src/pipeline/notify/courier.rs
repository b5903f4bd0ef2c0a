//! Takes one notification to its channel: reads what is due, puts it into the channel's format,
//! and sends it.

use std::collections::HashMap;
use std::sync::Arc;

use http::header::{CONTENT_TYPE, USER_AGENT};
use http::{HeaderMap, HeaderName, HeaderValue, Uri};
use keeptrusts_webhooks_domain::Timestamp;
use keeptrusts_webhooks_domain::channel::{Channel, ChannelKind};
use keeptrusts_webhooks_domain::ids::{ChannelId, EndpointId};
use keeptrusts_webhooks_domain::notification::{Notification, NotificationAttempt};
use keeptrusts_webhooks_domain::secret::Secret;
use keeptrusts_webhooks_domain::signing::{keeptrusts_signature, standard_signature};
use keeptrusts_webhooks_notices::{Telling, email, pager_duty, slack, teams, webhook};
use keeptrusts_webhooks_outbound::ConnectionGroup;
use keeptrusts_webhooks_store::StoreError;
use keeptrusts_webhooks_store::keyring::{KeyProblem, SecretError};

use crate::pipeline::request::AGENT;
use crate::pipeline::{Backoff, Shard};

/// What came of a channel's turn.
pub(crate) enum Turn {
    /// Nothing waits for the channel.
    Nothing(ChannelId),
    /// The next one is due then.
    NotYet(ChannelId, Timestamp),
    /// One was sent, or could not be.
    Tried(Box<Tried>),
}

/// A notification that was tried.
pub(crate) struct Tried {
    pub(crate) notification: Notification,
    pub(crate) channel: Option<Channel>,
    pub(crate) attempt: NotificationAttempt,
    pub(crate) end_time: Timestamp,
    /// What went wrong. None: nothing.
    pub(crate) error: Option<String>,
    /// When the one after it is due, as far as one waits.
    pub(crate) next_due_time: Option<Timestamp>,
}

/// What goes wrong when a channel is not there any more.
pub(crate) const DELETED: &str = "the channel was deleted";

/// Has a channel's turn. None: the lease ran out before anything was sent.
pub(crate) async fn have_turn(shard: &Shard, channel_id: ChannelId) -> Option<Turn> {
    let mut waiting = read(shard, || async {
        let store = shard.log.store();
        store.waiting_notifications(shard.lease.shard(), channel_id, 2).await
    })
    .await
    .into_iter();
    let Some(notification) = waiting.next() else { return Some(Turn::Nothing(channel_id)) };
    let start_time = (shard.clock)();
    if let Some(due_time) = notification.due_time.filter(|due_time| *due_time > start_time) {
        return Some(Turn::NotYet(channel_id, due_time));
    }
    let organization = notification.organization_id.clone();
    let channel = read(shard, || async {
        let store = shard.log.store();
        store.channel(shard.lease.shard(), &organization, channel_id).await
    })
    .await;
    let channel = channel.filter(|channel| channel.delete_time.is_none());
    let begun = tokio::time::Instant::now();
    let sent = match &channel {
        Some(channel) => send(shard, &notification, channel, start_time).await?,
        None => Err((None, DELETED.to_owned())),
    };
    let (status_code, error) = match sent {
        Ok(code) => (Some(code), None),
        Err((code, error)) => (code, Some(error)),
    };
    let number = notification.attempt_count() + 1;
    let attempt =
        NotificationAttempt { number, start_time, duration: begun.elapsed(), status_code };
    Some(Turn::Tried(Box::new(Tried {
        notification,
        channel,
        attempt,
        end_time: (shard.clock)(),
        error,
        next_due_time: waiting.next().and_then(|next| next.due_time),
    })))
}

/// Reads until it can be read.
async fn read<T, F: Future<Output = Result<T, StoreError>>>(
    shard: &Shard,
    what: impl Fn() -> F,
) -> T {
    let mut backoff = Backoff::default();
    loop {
        match what().await {
            Ok(found) => return found,
            Err(error) => {
                tracing::warn!(shard = %shard.lease.shard(), %error, "cannot read what channels are to be told, waiting");
                backoff.wait().await;
            }
        }
    }
}

/// What was answered, or what went wrong with it.
type Sent = Result<u16, (Option<u16>, String)>;

/// None: the lease ran out before.
async fn send(
    shard: &Shard,
    notification: &Notification,
    channel: &Channel,
    now: Timestamp,
) -> Option<Sent> {
    let names = names(shard, notification);
    let telling = Telling {
        notification,
        channel_name: &channel.config.name,
        endpoint_names: &names,
        console_url: shard.settings.console_url.as_deref(),
    };
    let destination = &channel.config.destination;
    let secret = match &destination.secret {
        None => None,
        Some(sealed) => {
            let opened = open(shard, channel, sealed).await;
            match opened {
                Ok(secret) => Some(secret),
                Err(reason) => return Some(Err((None, reason.to_owned()))),
            }
        }
    };
    // The last moment to notice that this process was frozen past its lease.
    if !shard.lease.is_valid() {
        return None;
    }
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(USER_AGENT, HeaderValue::from_static(AGENT));
    let (url, body) = match (destination.kind, secret) {
        (ChannelKind::Email, _) => {
            let mail = email::mail(&telling, &destination.address);
            return Some(match &shard.mailer {
                Some(mailer) => mailer
                    .send(&mail)
                    .await
                    .map_err(|failure| (failure.status_code, failure.problem)),
                None => Err((None, NO_MAILER.to_owned())),
            });
        }
        (ChannelKind::Slack, Some(url)) => (url.expose().parse(), slack::body(&telling)),
        (ChannelKind::Teams, Some(url)) => (url.expose().parse(), teams::body(&telling)),
        (ChannelKind::PagerDuty, Some(key)) => {
            (destination.address.parse(), pager_duty::body(&telling, &key))
        }
        (ChannelKind::Webhook, Some(key)) => {
            let body = webhook::body(&telling);
            sign(&mut headers, notification, &body, &key, now);
            (destination.address.parse(), body)
        }
        (_, None) => return Some(Err((None, NO_SECRET.to_owned()))),
    };
    let url: Result<Uri, _> = url;
    let Ok(url) = url else {
        return Some(Err((None, "the channel's URL cannot be requested: edit it".to_owned())));
    };
    let connections = ConnectionGroup::new(channel.id.ulid().0);
    let exchanged = shard.transport.post(connections, &url, headers, body.into()).await;
    Some(match exchanged.result {
        Ok(answer) if answer.status.is_success() => Ok(answer.status.as_u16()),
        // Not what it has said: that may be what it was sent.
        Ok(answer) => {
            Err((Some(answer.status.as_u16()), format!("the service answered {}", answer.status)))
        }
        Err(failure) => Err((None, failure.to_string())),
    })
}

const NO_MAILER: &str =
    "this server sends no mail: its operators have to give dispatch an --smtp-server";
const NO_SECRET: &str = "the channel has no secret any more: edit it";

/// The same headers as a delivery has: Standard Webhooks 1.0, and ours.
fn sign(
    headers: &mut HeaderMap,
    notification: &Notification,
    body: &[u8],
    key: &Secret,
    now: Timestamp,
) {
    let mut put = |name: &'static str, value: String| {
        // Ids, digits, hex and base64: always fit for a header.
        if let Ok(value) = HeaderValue::try_from(value) {
            headers.insert(HeaderName::from_static(name), value);
        }
    };
    let timestamp = now.as_second();
    put("x-keeptrusts-signature", keeptrusts_signature(key, body));
    put("x-keeptrusts-event", webhook::event_name(notification));
    put("x-keeptrusts-notification", notification.id.to_string());
    put("x-keeptrusts-attempt", (notification.attempt_count() + 1).to_string());
    put("webhook-id", notification.id.to_string());
    put("webhook-timestamp", timestamp.to_string());
    put("webhook-signature", standard_signature(key, notification.id, timestamp, body));
}

async fn open(
    shard: &Shard,
    channel: &Channel,
    sealed: &keeptrusts_webhooks_domain::secret::SealedSecret,
) -> Result<Secret, &'static str> {
    let mut backoff = Backoff::default();
    loop {
        match shard.keyring.open(&channel.organization_id, channel.id, sealed).await {
            Ok(secret) => return Ok(secret),
            Err(SecretError::Store(error)) => {
                tracing::warn!(shard = %shard.lease.shard(), %error, "cannot read data keys, waiting");
                backoff.wait().await;
            }
            Err(SecretError::Key(KeyProblem::Erased { .. })) => {
                return Err(
                    "the organization was erased, and the channel's secret with it: delete the channel",
                );
            }
            Err(SecretError::Key(problem)) => {
                tracing::error!(channel_id = %channel.id, error = %problem, "cannot tell a channel");
                return Err(
                    "the channel's secret cannot be decrypted now: tell the server's operators, or set a new one",
                );
            }
        }
    }
}

/// What the endpoints that it is about are called now.
fn names(shard: &Shard, notification: &Notification) -> HashMap<EndpointId, String> {
    let new = &notification.new;
    let worst = new.summary.iter().flat_map(|summary| &summary.worst);
    let ids = new.endpoint_id.into_iter().chain(worst.map(|endpoint| endpoint.endpoint_id));
    let named = ids.filter_map(|id| Some((id, shard.receivers.get(id)?.endpoint.name.clone())));
    named.collect()
}

/// Has turns in tasks of their own, so that none waits for another.
pub(crate) fn spawn(
    shard: &Arc<Shard>,
    channel_id: ChannelId,
    turns: tokio::sync::mpsc::Sender<Turn>,
) {
    let shard = Arc::clone(shard);
    tokio::spawn(async move {
        let abort = shard.abort.clone();
        // A turn that ended without a word would keep its channel silent, for ever.
        let unless_told = abort.clone().drop_guard();
        let turn = abort.run_until_cancelled(have_turn(&shard, channel_id)).await;
        if let Some(Some(turn)) = turn {
            _ = turns.send(turn).await;
            unless_told.disarm();
        }
    });
}
