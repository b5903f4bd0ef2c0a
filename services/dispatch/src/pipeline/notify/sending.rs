//! Sends a notification to its channel: reads what is due, and, once it is decided, renders it in
//! the channel's format and posts it.

use std::collections::HashMap;
use std::sync::Arc;

use http::header::{CONTENT_TYPE, USER_AGENT};
use http::{HeaderMap, HeaderName, HeaderValue, Uri};
use keeptrusts_webhooks_domain::Timestamp;
use keeptrusts_webhooks_domain::channel::{Channel, ChannelKind, Destination};
use keeptrusts_webhooks_domain::ids::{ChannelId, EndpointId};
use keeptrusts_webhooks_domain::incident::IncidentAction;
use keeptrusts_webhooks_domain::mail_limits::{MailAttempts, MailUsage};
use keeptrusts_webhooks_domain::notification::{Notification, NotificationAttempt};
use keeptrusts_webhooks_domain::rfc3339;
use keeptrusts_webhooks_domain::secret::{SealedSecret, Secret};
use keeptrusts_webhooks_domain::signing::{keeptrusts_signature, standard_signature};
use keeptrusts_webhooks_notification_formats::{
    NotificationContext, email, pager_duty, slack, teams, webhook,
};
use keeptrusts_webhooks_outbound::ConnectionGroup;
use keeptrusts_webhooks_store::vault::keyring::KeyProblem;
use tokio::sync::mpsc;

use super::queue::plausible_due_time;
use crate::pipeline::connections;
use crate::pipeline::failures::{CANNOT_READ_DATA_KEYS, OnDefect};
use crate::pipeline::owned_shard::OwnedShard;
use crate::pipeline::request::AGENT;
use crate::pipeline::response_text::status_text;

/// The progress of a channel: its due notification is read, decided on, and sent.
pub(crate) enum SendProgress {
    NoneWaiting(ChannelId),
    /// The next one is due later.
    NotDue(ChannelId, Timestamp),
    Due(Box<DueNotification>),
    /// It was sent, or could not be.
    Finished(Box<FinishedSend>),
    /// The shard stops, and nothing was sent.
    Stopped(ChannelId),
}

pub(crate) struct DueNotification {
    pub(crate) notification: Notification,
    /// The channel as the table has it. None: it was deleted.
    pub(crate) channel: Option<Channel>,
    /// The organization's recent mail, if the channel sends mail.
    pub(crate) mail_sent: Vec<MailAttempts>,
    /// When the channel's next notification is due, if one waits.
    pub(crate) next_due_time: Option<Timestamp>,
}

/// A notification after an attempt.
pub(crate) struct FinishedSend {
    pub(crate) notification: Notification,
    /// The channel whose health the attempt shows. None: it was deleted, or its destination is
    /// another one now.
    pub(crate) channel: Option<Channel>,
    pub(crate) kind: Option<ChannelKind>,
    pub(crate) attempt: NotificationAttempt,
    /// On the clock that the stage waits by.
    pub(crate) end_time: Timestamp,
    /// None: it was sent.
    pub(crate) error: Option<String>,
    pub(crate) next_due_time: Option<Timestamp>,
}

pub(crate) const DELETED: &str = "the channel was deleted";

/// Limit for a stored error. Errors are our texts, except for the parts that name a peer.
const MAX_ERROR_CHARS: usize = 500;

/// Reads what is due for a channel.
pub(crate) async fn read_due(shard: &OwnedShard, channel_id: ChannelId) -> SendProgress {
    let (store, number) = (shard.log.store(), shard.lease.shard());
    let read = || store.waiting_notifications(number, channel_id, 2);
    let mut waiting = shard.read(CANNOT_READ, OnDefect::Wait, read).await.into_iter();
    let Some(notification) = waiting.next() else { return SendProgress::NoneWaiting(channel_id) };
    let now = shard.steady_clock.wall();
    let due_time = notification.due_time.map(|due_time| plausible_due_time(due_time, now));
    if let Some(due_time) = due_time.filter(|due_time| *due_time > now) {
        return SendProgress::NotDue(channel_id, due_time);
    }
    let organization = notification.organization_id.clone();
    let read = || store.channel(number, &organization, channel_id);
    let channel = shard.read(CANNOT_READ, OnDefect::Wait, read).await;
    let channel = channel.filter(|channel| channel.delete_time.is_none());
    let kind = channel.as_ref().map(|channel| channel.config.destination.kind);
    let mail_sent = match kind {
        Some(ChannelKind::Email) => {
            let since = MailUsage::counts_since(now);
            let read = || store.mail_sent(number, &organization, since);
            shard.read(CANNOT_READ, OnDefect::Wait, read).await
        }
        _ => Vec::new(),
    };
    let next_due_time = waiting.next().and_then(|next| next.due_time);
    let next_due_time = next_due_time.map(|due_time| plausible_due_time(due_time, now));
    SendProgress::Due(Box::new(DueNotification { notification, channel, mail_sent, next_due_time }))
}

/// Why nothing was sent, and no outcome is recorded.
enum NotBegun {
    LeaseRanOut,
    Stopped,
}

/// Sends what is due to a destination. None: the lease ran out before anything was sent.
async fn send_due(
    shard: &OwnedShard,
    due: DueNotification,
    destination: Option<Destination>,
) -> Option<SendProgress> {
    let DueNotification { notification, channel, next_due_time, .. } = due;
    let start_time = (shard.clock)();
    let begun = tokio::time::Instant::now();
    let (mut recipients, kind) = (0, destination.as_ref().map(|destination| destination.kind));
    let name = channel.as_ref().map_or("", |channel| channel.config.display_name.as_str());
    let sent = match &destination {
        Some(destination) => {
            recipients = destination.recipient_count();
            match send(shard, &notification, destination, name, start_time).await {
                Ok(sent) => sent,
                Err(NotBegun::LeaseRanOut) => return None,
                Err(NotBegun::Stopped) => {
                    return Some(SendProgress::Stopped(notification.new.channel_id));
                }
            }
        }
        None => Err((None, DELETED.to_owned())),
    };
    let (status_code, error) = match sent {
        Ok(code) => (Some(code), None),
        Err((code, error)) => (code, Some(error.chars().take(MAX_ERROR_CHARS).collect())),
    };
    let attempt = NotificationAttempt {
        number: notification.attempt_count() + 1,
        start_time,
        duration: begun.elapsed(),
        status_code,
        recipients: if shard.mailer.is_some() { recipients } else { 0 },
    };
    let went_elsewhere = matches!(notification.new.incident, Some(IncidentAction::CloseAt(_)));
    Some(SendProgress::Finished(Box::new(FinishedSend {
        channel: channel.filter(|_| !went_elsewhere),
        notification,
        kind,
        attempt,
        end_time: shard.steady_clock.wall(),
        error,
        next_due_time,
    })))
}

const CANNOT_READ: &str = "cannot read what channels are to be told";

/// The status code, or an error with the status code if there was one.
type PostResult = Result<u16, (Option<u16>, String)>;

async fn send(
    shard: &OwnedShard,
    notification: &Notification,
    destination: &Destination,
    channel_name: &str,
    now: Timestamp,
) -> Result<PostResult, NotBegun> {
    let names = names(shard, notification);
    let endpoint = notification.new.endpoint_id.and_then(|id| shard.targets.get(id));
    let context = NotificationContext {
        notification,
        channel_name,
        endpoint_names: &names,
        endpoint_state: endpoint.map(|target| target.endpoint.state),
        console_url: shard.settings.console_url.as_deref(),
    };
    let secret = match &destination.secret {
        None => None,
        Some(sealed) => {
            // Nothing is under way yet: what cannot be read now is left to the next owner.
            let opened = open(shard, notification, sealed);
            match shard.stop.run_until_cancelled(opened).await {
                Some(Ok(secret)) => Some(secret),
                Some(Err(reason)) => return Ok(Err((None, reason.to_owned()))),
                None => return Err(NotBegun::Stopped),
            }
        }
    };
    // The last chance to notice that this process was frozen past its lease.
    if !shard.lease.is_valid() {
        return Err(NotBegun::LeaseRanOut);
    }
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(USER_AGENT, HeaderValue::from_static(AGENT));
    let (url, body, second) = match (destination.kind, secret) {
        (ChannelKind::Email, _) => {
            let mail = email::mail(&context, &destination.address);
            return Ok(match &shard.mailer {
                Some(mailer) => mailer
                    .send(&mail)
                    .await
                    .map_err(|failure| (failure.status_code, failure.problem)),
                None => Err((None, NO_MAILER.to_owned())),
            });
        }
        (ChannelKind::Slack, Some(url)) => (url.expose().parse(), slack::body(&context), None),
        (ChannelKind::Teams, Some(url)) => (url.expose().parse(), teams::body(&context), None),
        (ChannelKind::PagerDuty, Some(key)) => (
            destination.address.parse(),
            pager_duty::body(&context, &key),
            pager_duty::resolution(&context, &key),
        ),
        (ChannelKind::Webhook, Some(key)) => {
            let body = webhook::body(&context);
            sign(&mut headers, notification, &body, &key, now);
            (destination.address.parse(), body, None)
        }
        (_, None) => return Ok(Err((None, NO_SECRET.to_owned()))),
    };
    let url: Result<Uri, _> = url;
    let Ok(url) = url else {
        return Ok(Err((None, "the channel's URL cannot be requested: edit it".to_owned())));
    };
    let group = connections::of_channel(shard.lease.shard(), notification.new.channel_id);
    let first = post(shard, group, &url, headers.clone(), body).await;
    Ok(match (first, second) {
        // Both posts are one attempt: the resolution is sent again together with its trigger.
        (Ok(_), Some(second)) => post(shard, group, &url, headers, second).await,
        (first, _) => first,
    })
}

async fn post(
    shard: &OwnedShard,
    group: ConnectionGroup,
    url: &Uri,
    headers: HeaderMap,
    body: Vec<u8>,
) -> PostResult {
    let exchange = shard.transport.post(group, url, headers, body.into()).await;
    match exchange.result {
        Ok(answer) if answer.status.is_success() => Ok(answer.status.as_u16()),
        // The body is not stored: it may echo what was sent.
        Ok(answer) => {
            let status = answer.status;
            Err((Some(status.as_u16()), format!("the service answered {}", status_text(status))))
        }
        Err(failure) => Err((None, failure.to_string())),
    }
}

const NO_MAILER: &str =
    "this server sends no mail: its operators have to give dispatch an --smtp-server";
const NO_SECRET: &str = "the channel has no secret any more: edit it";

/// The same headers as for a delivery: Standard Webhooks 1.0, and ours.
fn sign(
    headers: &mut HeaderMap,
    notification: &Notification,
    body: &[u8],
    key: &Secret,
    now: Timestamp,
) {
    let mut put = |name: &'static str, value: String| {
        // Ids, digits, hex and base64 are always valid in a header.
        if let Ok(value) = HeaderValue::try_from(value) {
            headers.insert(HeaderName::from_static(name), value);
        }
    };
    let timestamp = now.as_second();
    put("x-keeptrusts-signature", keeptrusts_signature(key, body));
    put("x-keeptrusts-event", webhook::event_name(notification));
    put("x-keeptrusts-event-time", rfc3339::microseconds(notification.create_time));
    put("x-keeptrusts-notification", notification.id.to_string());
    put("x-keeptrusts-attempt", (notification.attempt_count() + 1).to_string());
    put("webhook-id", notification.id.to_string());
    put("webhook-timestamp", timestamp.to_string());
    put("webhook-signature", standard_signature(key, notification.id, timestamp, body));
}

async fn open(
    shard: &OwnedShard,
    notification: &Notification,
    sealed: &SealedSecret,
) -> Result<Secret, &'static str> {
    let channel_id = notification.new.channel_id;
    let organization = &notification.organization_id;
    let read = || shard.keyring.data_keys([organization]);
    let keys = shard.read(CANNOT_READ_DATA_KEYS, OnDefect::Wait, read).await;
    keys.open(organization, channel_id, sealed).map_err(|problem| match problem {
        KeyProblem::Erased { .. } => {
            "the organization was erased, and the channel's secret with it: delete the channel"
        }
        problem => {
            tracing::error!(%channel_id, error = %problem, "cannot tell a channel");
            "the channel's secret cannot be decrypted now: tell the server's operators, or set a new one"
        }
    })
}

/// The current names of the endpoints that the notification is about.
fn names(shard: &OwnedShard, notification: &Notification) -> HashMap<EndpointId, String> {
    let new = &notification.new;
    let worst = new.summary.iter().flat_map(|summary| &summary.worst);
    let ids = new.endpoint_id.into_iter().chain(worst.map(|endpoint| endpoint.endpoint_id));
    let named = ids
        .filter_map(|id| Some((id, shard.targets.get(id)?.endpoint.config.display_name.clone())));
    named.collect()
}

/// Reads what is due in a task of its own, so that no channel waits for another.
pub(crate) fn spawn_read(
    shard: &Arc<OwnedShard>,
    channel_id: ChannelId,
    progress: mpsc::Sender<SendProgress>,
) {
    let of_task = Arc::clone(shard);
    let read = async move {
        // Nothing is under way yet: what cannot be read now is left to the next owner.
        let read = of_task.stop.run_until_cancelled(read_due(&of_task, channel_id)).await;
        Some(read.unwrap_or(SendProgress::Stopped(channel_id)))
    };
    spawn(shard, read, progress);
}

/// Sends what is due in a task of its own. `destination` None: the channel was deleted.
pub(crate) fn spawn_send(
    shard: &Arc<OwnedShard>,
    due: DueNotification,
    destination: Option<Destination>,
    progress: mpsc::Sender<SendProgress>,
) {
    let of_task = Arc::clone(shard);
    spawn(shard, async move { send_due(&of_task, due, destination).await }, progress);
}

fn spawn(
    shard: &Arc<OwnedShard>,
    task: impl Future<Output = Option<SendProgress>> + Send + 'static,
    progress: mpsc::Sender<SendProgress>,
) {
    let abort = shard.abort.clone();
    tokio::spawn(async move {
        // A task that ended without a message would block its channel for ever.
        let abort_unless_sent = abort.clone().drop_guard();
        if let Some(Some(step)) = abort.run_until_cancelled(task).await {
            _ = progress.send(step).await;
            abort_unless_sent.disarm();
        }
    });
}
