//! Live updates of open pages: server-sent events, fed by WatchDeliveries.
//!
//! Each event is a part of the page, rendered by the template that the page itself uses. The
//! browser replaces what it has with it, so it may be sent twice. A stream begins with everything
//! that may have changed, so that a browser that reconnects misses nothing.
//!
//! Decision: docs/decisions/pages-are-rendered-by-the-server.md

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use askama::Template;
use axum::extract::Path;
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::Stream;
use http::header::CACHE_CONTROL;
use jiff::Timestamp;
use keeptrusts_webhooks_contracts::api::next_shown;
use keeptrusts_webhooks_contracts::v1;
use keeptrusts_webhooks_domain::access::Permission;
use keeptrusts_webhooks_process::shares::{Pool, Purpose};
use serde::Deserialize;
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout_at};
use tokio_stream::StreamExt;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Status, Streaming};

use crate::confidential::NO_TRANSFORM;
use crate::error_page::ErrorPage;
use crate::flash::{FlashMessage, Tone};
use crate::pages::delivery::Timeline;
use crate::pages::endpoint::{LOG_PAGE_SIZE, Summary, recent_deliveries};
use crate::pages::query::Parameters;
use crate::pages::visit::{FlashPart, Visit};
use crate::view::chart::Window;
use crate::view::delivery::AttemptRow;
use crate::view::endpoint::EndpointView;
use crate::view::filter::LogFilter;
use crate::view::replay::ReplayProgress;

/// Proxies close connections that are silent for longer.
const KEEP_ALIVE: Duration = Duration::from_secs(20);
/// When a browser reconnects after the stream has ended.
const RECONNECT: Duration = Duration::from_secs(2);
/// The same when the limit of open pages is reached: another one has to be closed first.
const RECONNECT_LATER: Duration = Duration::from_secs(30);
/// Changes within this time are sent together.
const MERGED_WITHIN: Duration = Duration::from_millis(250);
/// Entries of the log that are sent one by one.
const MAX_ATTEMPTS: usize = LOG_PAGE_SIZE as usize;
/// Pages that are kept up to date, shared between organizations. Fewer than the 1,024 streams of
/// one connection to a service, which all of them use.
const MAX_LIVE_PAGES: u64 = 512;
/// How far a slow browser may lag before the stream waits for it.
const WAITING_EVENTS: usize = 64;

type Events = Result<Response, ErrorPage>;
type EventStream = std::pin::Pin<Box<dyn Stream<Item = Result<Event, Infallible>> + Send>>;

/// Permits for pages that are kept up to date, by organization.
pub(crate) fn live_pages() -> Arc<Pool<String>> {
    Pool::new(MAX_LIVE_PAGES)
}

/// An endpoint's page: new entries of its log, recent deliveries, status and statistics.
pub(crate) async fn endpoint(
    visit: Visit,
    Path(id): Path<String>,
    Parameters(filter): Parameters<LogFilter>,
) -> Events {
    let organization = visit.organization();
    let may_send = visit.visitor().may(Permission::Send);
    let known = unless_not_found(organization.endpoint(&id).await)?;
    Ok(stream(&visit, async move |updates| {
        known.ok_or(StreamEnd::Reconnect)?;
        // The watch begins before the lists are read, so that no change is missed in between. What
        // follows replaces parts of the page, so a change that both have shown does no harm.
        let mut watched = organization.watch(&id).await?;
        let mut update = LogUpdate::TooMany;
        loop {
            match update {
                LogUpdate::Attempts(attempts) => {
                    for attempt in &attempts {
                        updates.part("attempt", &AttemptRow::of(attempt, may_send)).await?;
                    }
                }
                LogUpdate::TooMany => {
                    let log = organization.attempts(filter.attempts(&id, LOG_PAGE_SIZE)).await?;
                    let rows = log.attempts.iter().map(|it| AttemptRow::of(it, may_send));
                    updates.rows("log", rows).await?;
                }
            }
            updates.rows("recent", recent_deliveries(&organization, &id).await?).await?;
            let window = Window::named(&filter.window);
            let summary = Summary::read(&organization, &id, window).await?;
            updates.part("summary", &summary).await?;
            let redrawn = until_redrawn(&summary.endpoint, Timestamp::now());
            let redrawn = redrawn.map(|wait| Instant::now() + wait);
            update = next_update(&mut watched, &filter, redrawn).await?;
        }
    }))
}

enum LogUpdate {
    /// New entries.
    Attempts(Vec<v1::Attempt>),
    /// More than are worth sending one by one: the log's first page replaces them.
    TooMany,
}

/// How long until a pause is over or the endpoint is a failing one, whichever comes first. Neither is
/// recorded, so no change announces it. While services with another clock say that it is not so yet,
/// they are asked again every second.
fn until_redrawn(endpoint: &EndpointView, now: Timestamp) -> Option<Duration> {
    let resumed = endpoint.pause.as_ref().map(|pause| pause.end_time.0);
    let next = resumed.into_iter().chain(endpoint.failing_from()).min()?;
    let left = Duration::try_from(next.duration_since(now));
    Some(left.unwrap_or_default().max(Duration::from_secs(1)))
}

/// The next change, and all that follow it closely. Their number is limited, and so is what is read
/// for them. None: the page is to be redrawn before there is a change.
async fn next_update(
    watched: &mut Streaming<v1::WatchDeliveriesResponse>,
    filter: &LogFilter,
    redrawn: Option<Instant>,
) -> Result<LogUpdate, StreamEnd> {
    let mut update = LogUpdate::Attempts(Vec::new());
    let first = next_shown(watched);
    let mut change = match redrawn {
        Some(redrawn) => match timeout_at(redrawn, first).await {
            Ok(change) => change?,
            Err(_) => return Ok(update),
        },
        None => first.await?,
    };
    let until = Instant::now() + MERGED_WITHIN;
    loop {
        let attempt =
            change.ok_or(StreamEnd::Reconnect)?.attempt.filter(|attempt| filter.admits(attempt));
        if let LogUpdate::Attempts(attempts) = &mut update {
            attempts.extend(attempt);
            if attempts.len() > MAX_ATTEMPTS {
                update = LogUpdate::TooMany;
            }
        }
        change = match timeout_at(until, next_shown(watched)).await {
            Ok(change) => change?,
            Err(_) => return Ok(update),
        };
    }
}

/// A delivery's page: its attempts and its state.
pub(crate) async fn delivery(
    visit: Visit,
    Path(id): Path<String>,
    Parameters(ShownAttempt { attempt: shown }): Parameters<ShownAttempt>,
) -> Events {
    let organization = visit.organization();
    let may_send = visit.visitor().may(Permission::Send);
    let known = unless_not_found(organization.delivery(&id).await)?;
    Ok(stream(&visit, async move |updates| {
        let mut watched =
            organization.watch(&known.ok_or(StreamEnd::Reconnect)?.endpoint_id).await?;
        loop {
            let delivery = organization.delivery(&id).await?;
            updates.part("timeline", &Timeline::of(&delivery, shown, may_send)).await?;
            loop {
                let change = next_shown(&mut watched).await?.ok_or(StreamEnd::Reconnect)?;
                if change.delivery.is_some_and(|delivery| delivery.id == id) {
                    break;
                }
            }
        }
    }))
}

/// A replay's page: its progress. The stream stays open when the replay has ended, because browsers
/// reconnect to a stream that ends.
pub(crate) async fn replay(visit: Visit, Path(id): Path<String>) -> Events {
    let organization = visit.organization();
    let may_send = visit.visitor().may(Permission::Send);
    let known = unless_not_found(organization.get_replay(&id).await)?;
    Ok(stream(&visit, async move |updates| {
        known.ok_or(StreamEnd::Reconnect)?;
        let mut watched = organization.watch_replay(&id).await?;
        while let Some(step) = watched.message().await? {
            let replay = step.replay.unwrap_or_default();
            updates.part("replay", &ReplayProgress::of(&replay, may_send)).await?;
        }
        std::future::pending().await
    }))
}

/// The number of the attempt that the page shows.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct ShownAttempt {
    attempt: i32,
}

/// Browsers reconnect when a stream ends, but not after an error status. So only what will never be
/// there is an error. None: a service does not answer.
fn unless_not_found<T>(answer: Result<T, Status>) -> Result<Option<T>, ErrorPage> {
    match answer.map_err(ErrorPage::from) {
        Ok(answer) => Ok(Some(answer)),
        Err(error @ (ErrorPage::NotFound | ErrorPage::SessionEnded | ErrorPage::NotAllowed)) => {
            Err(error)
        }
        Err(_) => Ok(None),
    }
}

enum StreamEnd {
    /// The browser has gone, or the service or this process ends the stream. A browser that is
    /// still there reconnects.
    Reconnect,
    /// The limit of watches is reached.
    TooMany,
    SessionEnded,
}

impl From<Status> for StreamEnd {
    fn from(status: Status) -> StreamEnd {
        tracing::debug!(code = ?status.code(), "a watched stream ended");
        match status.code() {
            Code::Unauthenticated => StreamEnd::SessionEnded,
            Code::ResourceExhausted => StreamEnd::TooMany,
            _ => StreamEnd::Reconnect,
        }
    }
}

/// Sends updates to one browser.
struct UpdateSender(mpsc::Sender<Event>);

impl UpdateSender {
    async fn part(&self, name: &str, part: &impl Template) -> Result<(), StreamEnd> {
        self.html(name, part.render().map_err(|_| StreamEnd::Reconnect)?).await
    }

    async fn rows<Row: Template>(
        &self,
        name: &str,
        rows: impl IntoIterator<Item = Row>,
    ) -> Result<(), StreamEnd> {
        let rows: Result<String, _> = rows.into_iter().map(|row| row.render()).collect();
        self.html(name, rows.map_err(|_| StreamEnd::Reconnect)?).await
    }

    async fn html(&self, name: &str, html: String) -> Result<(), StreamEnd> {
        self.0.send(Event::default().event(name).data(html)).await.map_err(|_| StreamEnd::Reconnect)
    }
}

/// Tells the browser why the stream ends, so that it does not reconnect in vain. A failed send
/// means that the browser has gone.
async fn send_end(browser: UpdateSender, end: Result<(), StreamEnd>) {
    match end {
        Err(StreamEnd::SessionEnded) => {
            let flash = FlashMessage::new(
                Tone::Bad,
                "Your session has ended, so that this page is not up to date any more.",
            );
            let flash = flash.with_link("/sign-in".to_owned(), "Sign in");
            let _ = browser.part("session-ended", &FlashPart { flash: &flash }).await;
        }
        Err(StreamEnd::TooMany) => {
            let _ = browser.0.send(Event::default().retry(RECONNECT_LATER)).await;
        }
        Ok(()) | Err(StreamEnd::Reconnect) => {}
    }
}

/// A stream of what `send_updates` sends, until it ends, the browser goes, or the process stops.
fn stream<Updates, Sending>(visit: &Visit, send_updates: Updates) -> Response
where
    Updates: FnOnce(UpdateSender) -> Sending,
    Sending: Future<Output = Result<(), StreamEnd>> + Send + 'static,
{
    let organization = &visit.visitor().organization;
    let place = visit.app().live_pages.take(organization.clone(), Purpose::Other, 1);
    let Ok(place) = place else {
        tracing::warn!(%organization, "as many pages are open as may be: one is not kept up to date");
        return kept_alive(tokio_stream::once(Event::default().retry(RECONNECT_LATER)));
    };
    let (sender, receiver) = mpsc::channel(WAITING_EVENTS);
    let shutdown = visit.app().shutdown.clone();
    let (gone, last) = (sender.clone(), sender.clone());
    let sending = send_updates(UpdateSender(sender));
    tokio::spawn(async move {
        let _place = place;
        tokio::select! {
            () = gone.closed() => {}
            () = shutdown.cancelled() => {}
            end = sending => send_end(UpdateSender(last), end).await,
        }
    });
    let first = tokio_stream::once(Event::default().retry(RECONNECT));
    kept_alive(first.chain(ReceiverStream::new(receiver)))
}

fn kept_alive(events: impl Stream<Item = Event> + Send + 'static) -> Response {
    let events: EventStream = Box::pin(events.map(Ok));
    // nginx buffers responses unless it is told not to.
    let headers = [("x-accel-buffering", "no"), (CACHE_CONTROL.as_str(), NO_TRANSFORM)];
    let kept_alive = KeepAlive::new().interval(KEEP_ALIVE);
    (headers, Sse::new(events).keep_alive(kept_alive)).into_response()
}

#[cfg(test)]
mod tests {
    use keeptrusts_webhooks_contracts::time::timestamp_to_proto;

    use super::*;

    #[test]
    fn a_page_is_redrawn_when_a_pause_is_over_or_the_endpoint_is_failing_and_not_all_the_time() {
        let now: Timestamp = "2026-04-23T10:30:00Z".parse().expect("a timestamp");
        let in_seconds =
            |seconds: i64| timestamp_to_proto(now + jiff::SignedDuration::from_secs(seconds));
        let wait = |pause_ends: Option<i64>, failing_since: Option<i64>| {
            let pause = pause_ends.map(|seconds| v1::EndpointPause {
                end_time: Some(in_seconds(seconds)),
                ..Default::default()
            });
            let endpoint = v1::Endpoint {
                state: v1::endpoint::State::Active.into(),
                pause,
                failing_since_time: failing_since.map(in_seconds),
                ..Default::default()
            };
            until_redrawn(&EndpointView::of(endpoint), now)
        };
        let one = Some(Duration::from_secs(1));
        assert_eq!(wait(None, None), None);
        assert_eq!(wait(Some(20), None), Some(Duration::from_secs(20)));
        assert_eq!(wait(Some(0), None), one);
        assert_eq!(wait(Some(-60), None), one, "our clock is ahead");
        assert_eq!(wait(None, Some(-30)), Some(Duration::from_secs(90)));
        assert_eq!(wait(None, Some(-121)), one, "our clock is ahead");
        assert_eq!(wait(Some(20), Some(-30)), Some(Duration::from_secs(20)));
        assert_eq!(wait(Some(100), Some(-30)), Some(Duration::from_secs(90)));
    }
}
