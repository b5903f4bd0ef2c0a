//! What has changed since a page was loaded: server-sent events, fed by WatchDeliveries.
//!
//! Each event is a part of the page, rendered by the template that the page itself uses. Its id
//! is a position of the log, so that a browser that reconnects goes on where it was.

use std::convert::Infallible;
use std::time::Duration;

use askama::Template;
use axum::extract::Path;
use axum::response::sse::{Event, KeepAlive, Sse};
use futures_util::Stream;
use http::HeaderMap;
use keeptrusts_webhooks_contracts::v1;
use serde::Deserialize;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};
use tokio_stream::StreamExt;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Status, Streaming};

use crate::pages::delivery::Timeline;
use crate::pages::endpoint::{LOG_PAGE_SIZE, Summary, recent_deliveries};
use crate::pages::{Parameters, Visit};
use crate::services::Organization;
use crate::trouble::Trouble;
use crate::view::chart::Window;
use crate::view::delivery::{AttemptRow, DeliveryRow};
use crate::view::filter::LogFilter;

/// Proxies close what is silent for longer.
const KEEP_ALIVE: Duration = Duration::from_secs(20);
/// When a browser tries again after the stream has ended.
const RECONNECT: Duration = Duration::from_secs(2);
/// Statistics are told at most this often, however many attempts there are.
const SUMMARY_INTERVAL: Duration = Duration::from_secs(1);
/// What a slow browser may be behind before the stream waits for it.
const WAITING_EVENTS: usize = 64;

type Events = Result<Sse<KeptAlive>, Trouble>;
type KeptAlive = axum::response::sse::KeepAliveStream<Untold>;
type Untold = std::pin::Pin<Box<dyn Stream<Item = Result<Event, Infallible>> + Send>>;

/// The newest attempt that the page shows.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Since {
    since: String,
}

/// An endpoint's page: new entries of its log, recent deliveries, status and statistics.
pub(crate) async fn endpoint(
    visit: Visit,
    Path(id): Path<String>,
    Parameters(filter): Parameters<LogFilter>,
    Parameters(Since { since }): Parameters<Since>,
    headers: HeaderMap,
) -> Events {
    let organization = visit.organization();
    // Before the lists are read, so that nothing can happen unseen in between.
    let watched = organization.watch(&id, resume_after(&headers)).await?;
    let missed = organization.attempts(filter.attempts(&id, LOG_PAGE_SIZE)).await?.attempts;
    let recent = recent_deliveries(&organization, &id).await?;
    Ok(stream(&visit, async move |told| {
        let unseen: Vec<_> = missed.iter().take_while(|attempt| attempt.id != since).collect();
        for attempt in unseen.into_iter().rev() {
            told.part("attempt", &AttemptRow::of(attempt)).await?;
        }
        for row in recent.iter().rev() {
            told.part("delivery", row).await?;
        }
        tell_endpoint(&told, &organization, &id, &filter, watched).await
    }))
}

async fn tell_endpoint(
    told: &Told,
    organization: &Organization,
    id: &str,
    filter: &LogFilter,
    mut watched: Streaming<v1::WatchDeliveriesResponse>,
) -> Result<(), Over> {
    let window = Window::named(&filter.window);
    let mut summary_due = None;
    let mut last_summary = Instant::now();
    loop {
        let due = summary_due.unwrap_or_else(Instant::now);
        tokio::select! {
            change = watched.message() => {
                let change = change?.ok_or(Over)?;
                let delivery = change.delivery.unwrap_or_default();
                if let Some(attempt) = &change.attempt {
                    summary_due.get_or_insert(last_summary + SUMMARY_INTERVAL);
                    if filter.admits(attempt) {
                        told.part("attempt", &AttemptRow::of(attempt)).await?;
                    }
                }
                let newest = match change.attempt {
                    // A retry was asked for, say: the row goes on showing the last answer.
                    None if delivery.attempt_count > 0 => {
                        let newest = organization.newest_attempts(std::slice::from_ref(&delivery));
                        newest.await?.pop().flatten()
                    }
                    attempt => attempt,
                };
                let row = DeliveryRow::of(&delivery, newest.as_ref());
                told.part_at(change.position, "delivery", &row).await?;
            }
            () = sleep_until(due), if summary_due.is_some() => {
                summary_due = None;
                last_summary = Instant::now();
                told.part("summary", &Summary::read(organization, id, window).await?).await?;
            }
        }
    }
}

/// A delivery's page: its attempts and its state.
pub(crate) async fn delivery(
    visit: Visit,
    Path(id): Path<String>,
    Parameters(Shown { attempt: shown }): Parameters<Shown>,
    headers: HeaderMap,
) -> Events {
    let organization = visit.organization();
    let endpoint_id = organization.delivery(&id).await?.endpoint_id;
    let mut watched = organization.watch(&endpoint_id, resume_after(&headers)).await?;
    let current = organization.delivery(&id).await?;
    Ok(stream(&visit, async move |told| {
        told.part("timeline", &Timeline::of(&current, shown)).await?;
        while let Some(change) = watched.message().await? {
            if change.delivery.is_some_and(|delivery| delivery.id == id) {
                let delivery = organization.delivery(&id).await?;
                let timeline = Timeline::of(&delivery, shown);
                told.part_at(change.position, "timeline", &timeline).await?;
            }
        }
        Err(Over)
    }))
}

/// The number of the attempt that the page shows.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Shown {
    attempt: i32,
}

/// Where a browser that reconnects goes on.
fn resume_after(headers: &HeaderMap) -> i64 {
    let last = headers.get("last-event-id").and_then(|id| id.to_str().ok());
    last.and_then(|id| id.parse().ok()).filter(|position| *position > 0).unwrap_or(0)
}

/// The stream is over: the browser has gone, the service ends it, or the process does. A browser
/// that is still there connects again.
struct Over;

impl From<Status> for Over {
    fn from(status: Status) -> Over {
        tracing::debug!(code = ?status.code(), "a watched stream ended");
        Over
    }
}

/// Who is told.
#[derive(Clone)]
struct Told(mpsc::Sender<Event>);

impl Told {
    async fn part(&self, name: &str, part: &impl Template) -> Result<(), Over> {
        self.send(Event::default(), name, part).await
    }

    async fn part_at(&self, position: i64, name: &str, part: &impl Template) -> Result<(), Over> {
        self.send(Event::default().id(position.to_string()), name, part).await
    }

    async fn send(&self, event: Event, name: &str, part: &impl Template) -> Result<(), Over> {
        let html = part.render().map_err(|_| Over)?;
        self.0.send(event.event(name).data(html)).await.map_err(|_| Over)
    }
}

/// A stream of what `tell` tells, until it ends, the browser goes, or the process stops.
fn stream<Tell, Telling>(visit: &Visit, tell: Tell) -> Sse<KeptAlive>
where
    Tell: FnOnce(Told) -> Telling,
    Telling: Future<Output = Result<(), Over>> + Send + 'static,
{
    let (sender, receiver) = mpsc::channel(WAITING_EVENTS);
    let shutdown = visit.shared().shutdown.clone();
    let gone = sender.clone();
    let telling = tell(Told(sender));
    tokio::spawn(async move {
        tokio::select! {
            () = gone.closed() => {}
            () = shutdown.cancelled() => {}
            _ = telling => {}
        }
    });
    let first = tokio_stream::once(Event::default().retry(RECONNECT));
    let events: Untold = Box::pin(first.chain(ReceiverStream::new(receiver)).map(Ok));
    Sse::new(events).keep_alive(KeepAlive::new().interval(KEEP_ALIVE))
}
