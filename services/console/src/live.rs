//! What has changed since a page was loaded: server-sent events, fed by WatchDeliveries.
//!
//! Each event is a part of the page, rendered by the template that the page itself uses. It may
//! be told again: the browser puts it in the place of what it has. So a stream begins with all
//! that may have been missed, and a browser that connects again misses nothing.
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
use keeptrusts_webhooks_contracts::v1;
use keeptrusts_webhooks_domain::access::Permission;
use keeptrusts_webhooks_process::shares::{Pool, Purpose};
use serde::Deserialize;
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout_at};
use tokio_stream::StreamExt;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Status, Streaming};

use crate::confidential::AS_IT_IS;
use crate::notices::{Notice, Tone};
use crate::pages::delivery::Timeline;
use crate::pages::endpoint::{LOG_PAGE_SIZE, Summary, recent_deliveries};
use crate::pages::{NoticePart, Parameters, Visit};
use crate::trouble::Trouble;
use crate::view::chart::Window;
use crate::view::delivery::AttemptRow;
use crate::view::endpoint::PauseView;
use crate::view::filter::LogFilter;
use crate::view::replay::Progress;

/// Proxies close what is silent for longer.
const KEEP_ALIVE: Duration = Duration::from_secs(20);
/// When a browser tries again after the stream has ended.
const RECONNECT: Duration = Duration::from_secs(2);
/// When it does if as many pages are open as may be: another one has to be closed first.
const RECONNECT_LATER: Duration = Duration::from_secs(30);
/// What follows a change within this time is told together with it.
const CLOSELY: Duration = Duration::from_millis(250);
/// Entries of the log that are told one by one.
const MAX_ATTEMPTS: usize = LOG_PAGE_SIZE as usize;
/// Pages that are kept up to date, shared between organizations. Fewer than the streams that one
/// connection to a service may have (1,024), on which the pages of all of them are.
const MAX_LIVE_PAGES: u64 = 512;
/// What a slow browser may be behind before the stream waits for it.
const WAITING_EVENTS: usize = 64;

type Events = Result<Response, Trouble>;
type Untold = std::pin::Pin<Box<dyn Stream<Item = Result<Event, Infallible>> + Send>>;

/// The places of pages that are kept up to date, by organization.
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
    Ok(stream(&visit, async move |told| {
        known.ok_or(Over::ForNow)?;
        // Watched before the lists are read, so that nothing can happen unseen in between. All
        // that follows replaces what the page has: whatever it has missed, it is up to date then.
        let mut watched = organization.watch(&id).await?;
        let mut news = News::TooMany;
        loop {
            match news {
                News::Attempts(attempts) => {
                    for attempt in &attempts {
                        told.part("attempt", &AttemptRow::of(attempt, may_send)).await?;
                    }
                }
                News::TooMany => {
                    let log = organization.attempts(filter.attempts(&id, LOG_PAGE_SIZE)).await?;
                    let rows = log.attempts.iter().map(|it| AttemptRow::of(it, may_send));
                    told.rows("log", rows).await?;
                }
            }
            told.rows("recent", recent_deliveries(&organization, &id).await?).await?;
            let window = Window::named(&filter.window);
            let summary = Summary::read(&organization, &id, window).await?;
            told.part("summary", &summary).await?;
            let pause = summary.endpoint.pause.as_ref();
            let redrawn = pause.map(|pause| Instant::now() + until_over(pause, Timestamp::now()));
            news = next_news(&mut watched, &filter, redrawn).await?;
        }
    }))
}

/// What there is to tell of a log.
enum News {
    /// New entries.
    Attempts(Vec<v1::Attempt>),
    /// More than it is worth to tell one by one: the beginning of the log stands for them.
    TooMany,
}

/// How long until a pause is over: nothing is recorded then that would be watched. While services
/// by another clock say that it lasts, they are asked again every second.
fn until_over(pause: &PauseView, now: Timestamp) -> Duration {
    let left = Duration::try_from(pause.end_time.0.duration_since(now));
    left.unwrap_or_default().max(Duration::from_secs(1))
}

/// What the next change brings, and all that follow it closely: however many there are, what is
/// told of them is limited, and so is what is read for it. Nothing, if there is none before the
/// page is redrawn.
async fn next_news(
    watched: &mut Streaming<v1::WatchDeliveriesResponse>,
    filter: &LogFilter,
    redrawn: Option<Instant>,
) -> Result<News, Over> {
    let mut news = News::Attempts(Vec::new());
    let first = watched.message();
    let mut change = match redrawn {
        Some(redrawn) => match timeout_at(redrawn, first).await {
            Ok(change) => change?,
            Err(_) => return Ok(news),
        },
        None => first.await?,
    };
    let until = Instant::now() + CLOSELY;
    loop {
        let attempt = change.ok_or(Over::ForNow)?.attempt.filter(|attempt| filter.admits(attempt));
        if let News::Attempts(attempts) = &mut news {
            attempts.extend(attempt);
            if attempts.len() > MAX_ATTEMPTS {
                news = News::TooMany;
            }
        }
        change = match timeout_at(until, watched.message()).await {
            Ok(change) => change?,
            Err(_) => return Ok(news),
        };
    }
}

/// A delivery's page: its attempts and its state.
pub(crate) async fn delivery(
    visit: Visit,
    Path(id): Path<String>,
    Parameters(Shown { attempt: shown }): Parameters<Shown>,
) -> Events {
    let organization = visit.organization();
    let may_send = visit.visitor().may(Permission::Send);
    let known = unless_not_found(organization.delivery(&id).await)?;
    Ok(stream(&visit, async move |told| {
        let mut watched = organization.watch(&known.ok_or(Over::ForNow)?.endpoint_id).await?;
        loop {
            let delivery = organization.delivery(&id).await?;
            told.part("timeline", &Timeline::of(&delivery, shown, may_send)).await?;
            loop {
                let change = watched.message().await?.ok_or(Over::ForNow)?;
                if change.delivery.is_some_and(|delivery| delivery.id == id) {
                    break;
                }
            }
        }
    }))
}

/// A replay's page: how far it has come. The stream goes on when the replay has ended, in silence:
/// browsers connect again to one that ends.
pub(crate) async fn replay(visit: Visit, Path(id): Path<String>) -> Events {
    let organization = visit.organization();
    let may_send = visit.visitor().may(Permission::Send);
    let known = unless_not_found(organization.look_at_replay(&id).await)?;
    Ok(stream(&visit, async move |told| {
        known.ok_or(Over::ForNow)?;
        let mut watched = organization.watch_replay(&id).await?;
        while let Some(step) = watched.message().await? {
            let replay = step.replay.unwrap_or_default();
            told.part("replay", &Progress::of(&replay, may_send)).await?;
        }
        std::future::pending().await
    }))
}

/// The number of the attempt that the page shows.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Shown {
    attempt: i32,
}

/// Browsers try again only when a stream ends, not when they are answered with an error: they
/// get an error only for what will never be there, for them. None: a service does not answer.
fn unless_not_found<T>(found: Result<T, Status>) -> Result<Option<T>, Trouble> {
    match found.map_err(Trouble::from) {
        Ok(found) => Ok(Some(found)),
        Err(trouble @ (Trouble::NotFound | Trouble::SessionEnded | Trouble::NotAllowed)) => {
            Err(trouble)
        }
        Err(_) => Ok(None),
    }
}

/// Why the stream is over.
enum Over {
    /// The browser has gone, the service ends it, or the process does. A browser that is still
    /// there connects again.
    ForNow,
    /// As much is watched as may be.
    TooMany,
    /// The visitor's session has ended.
    ForGood,
}

impl From<Status> for Over {
    fn from(status: Status) -> Over {
        tracing::debug!(code = ?status.code(), "a watched stream ended");
        match status.code() {
            Code::Unauthenticated => Over::ForGood,
            Code::ResourceExhausted => Over::TooMany,
            _ => Over::ForNow,
        }
    }
}

/// Who is told.
struct Told(mpsc::Sender<Event>);

impl Told {
    async fn part(&self, name: &str, part: &impl Template) -> Result<(), Over> {
        self.html(name, part.render().map_err(|_| Over::ForNow)?).await
    }

    async fn rows<Row: Template>(
        &self,
        name: &str,
        rows: impl IntoIterator<Item = Row>,
    ) -> Result<(), Over> {
        let rows: Result<String, _> = rows.into_iter().map(|row| row.render()).collect();
        self.html(name, rows.map_err(|_| Over::ForNow)?).await
    }

    async fn html(&self, name: &str, html: String) -> Result<(), Over> {
        self.0.send(Event::default().event(name).data(html)).await.map_err(|_| Over::ForNow)
    }
}

/// What the browser is told at the end, so that it does not connect again and again. Errors say
/// that it has gone.
async fn tell_end(browser: Told, told: Result<(), Over>) {
    match told {
        Err(Over::ForGood) => {
            let notice = Notice::new(
                Tone::Bad,
                "Your session has ended, so that this page is not up to date any more.",
            );
            let notice = notice.with_link("/sign-in".to_owned(), "Sign in");
            let _ = browser.part("session-ended", &NoticePart { notice: &notice }).await;
        }
        Err(Over::TooMany) => {
            let _ = browser.0.send(Event::default().retry(RECONNECT_LATER)).await;
        }
        Ok(()) | Err(Over::ForNow) => {}
    }
}

/// A stream of what `tell` tells, until it ends, the browser goes, or the process stops.
fn stream<Tell, Telling>(visit: &Visit, tell: Tell) -> Response
where
    Tell: FnOnce(Told) -> Telling,
    Telling: Future<Output = Result<(), Over>> + Send + 'static,
{
    let organization = &visit.visitor().organization;
    let place = visit.shared().live_pages.take(organization.clone(), Purpose::Other, 1);
    let Ok(place) = place else {
        tracing::warn!(%organization, "as many pages are open as may be: one is not kept up to date");
        return kept_alive(tokio_stream::once(Event::default().retry(RECONNECT_LATER)));
    };
    let (sender, receiver) = mpsc::channel(WAITING_EVENTS);
    let shutdown = visit.shared().shutdown.clone();
    let (gone, last) = (sender.clone(), sender.clone());
    let telling = tell(Told(sender));
    tokio::spawn(async move {
        let _place = place;
        tokio::select! {
            () = gone.closed() => {}
            () = shutdown.cancelled() => {}
            told = telling => tell_end(Told(last), told).await,
        }
    });
    let first = tokio_stream::once(Event::default().retry(RECONNECT));
    kept_alive(first.chain(ReceiverStream::new(receiver)))
}

fn kept_alive(events: impl Stream<Item = Event> + Send + 'static) -> Response {
    let events: Untold = Box::pin(events.map(Ok));
    // nginx holds answers back until its buffers are full, unless it is told not to.
    let headers = [("x-accel-buffering", "no"), (CACHE_CONTROL.as_str(), AS_IT_IS)];
    let kept_alive = KeepAlive::new().interval(KEEP_ALIVE);
    (headers, Sse::new(events).keep_alive(kept_alive)).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::view::time::Moment;

    #[test]
    fn a_page_is_redrawn_when_a_pause_is_over_and_not_all_the_time() {
        let now: Timestamp = "2026-04-23T10:30:00Z".parse().expect("a timestamp");
        let pause = |seconds: i64| {
            let end_time = Moment(now + jiff::SignedDuration::from_secs(seconds));
            PauseView { end_time, status_code: 429, delivery_id: String::new() }
        };
        assert_eq!(until_over(&pause(20), now), Duration::from_secs(20));
        assert_eq!(until_over(&pause(0), now), Duration::from_secs(1));
        assert_eq!(until_over(&pause(-60), now), Duration::from_secs(1), "our clock is ahead");
    }
}
