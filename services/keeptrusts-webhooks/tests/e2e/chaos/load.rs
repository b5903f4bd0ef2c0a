//! Publishers that continue through failures as the API demands: what was not acknowledged is
//! published again with the same idempotency key.

use std::error::Error;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use keeptrusts_webhooks_contracts::v1;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tonic::{Code, Status};

use crate::platform::{Client, PATIENCE};

/// The event type that is published.
const EVENT_TYPE: &str = "policy.violation";
/// The wait after an acknowledgement.
const PAUSE: Duration = Duration::from_millis(10);
/// The wait before an event is published again.
const RETRY_PAUSE: Duration = Duration::from_millis(25);

/// An event that the platform has accepted.
#[derive(Clone, Debug)]
pub(crate) struct Acknowledged {
    pub(crate) organization: String,
    pub(crate) event_id: String,
}

/// Running publishers, each of which publishes one event after the other.
pub(crate) struct Load {
    stop: watch::Sender<bool>,
    publishers: JoinSet<()>,
    heard: Arc<LoadState>,
}

#[derive(Default)]
struct LoadState {
    acknowledged: Mutex<Vec<Acknowledged>>,
    unavailable_errors: Mutex<Vec<Status>>,
}

impl Load {
    /// Starts a publisher for each of the clients.
    pub(crate) fn start(clients: impl IntoIterator<Item = Client>) -> Self {
        let (stop, stopped) = watch::channel(false);
        let heard = Arc::new(LoadState::default());
        let mut publishers = JoinSet::new();
        for (number, client) in clients.into_iter().enumerate() {
            let publisher =
                Publisher { client, number, stopped: stopped.clone(), heard: Arc::clone(&heard) };
            publishers.spawn(publisher.run());
        }
        Self { stop, publishers, heard }
    }

    /// How many events have been acknowledged so far.
    pub(crate) fn acknowledged_count(&self) -> usize {
        lock(&self.heard.acknowledged).len()
    }

    /// The UNAVAILABLE responses of the server itself so far.
    pub(crate) fn unavailable_errors(&self) -> Vec<Status> {
        lock(&self.heard.unavailable_errors).clone()
    }

    /// Lets every publisher finish its event, and returns all that were acknowledged: exactly those
    /// are in the log, each once.
    pub(crate) async fn stop(mut self) -> Vec<Acknowledged> {
        self.stop.send_replace(true);
        while let Some(ended) = self.publishers.join_next().await {
            ended.expect("no publisher fails");
        }
        lock(&self.heard.acknowledged).clone()
    }
}

struct Publisher {
    client: Client,
    number: usize,
    stopped: watch::Receiver<bool>,
    heard: Arc<LoadState>,
}

impl Publisher {
    async fn run(self) {
        let mut published = 0;
        while !*self.stopped.borrow() {
            let key = format!("publisher-{}-event-{published}", self.number);
            let acknowledged = timeout(2 * PATIENCE, self.publish(&key)).await;
            let event_id = acknowledged.unwrap_or_else(|_| panic!("{key} is never accepted"));
            lock(&self.heard.acknowledged)
                .push(Acknowledged { organization: self.client.organization(), event_id });
            published += 1;
            sleep(PAUSE).await;
        }
    }

    /// Publishes an event until it is acknowledged; returns its id.
    async fn publish(&self, key: &str) -> String {
        let event = self.client.event(EVENT_TYPE, &format!(r#"{{"key":"{key}"}}"#));
        let request = v1::PublishEventRequest { idempotency_key: key.to_owned(), ..event };
        loop {
            match self.client.ingest().publish_event(request.clone()).await {
                Ok(answer) => return answer.into_inner().event_id,
                Err(status) => {
                    assert!(is_worth_repeating(&status), "{key} is refused: {status:?}");
                    if status.source().is_none() {
                        lock(&self.heard.unavailable_errors).push(status);
                    }
                    sleep(RETRY_PAUSE).await;
                }
            }
        }
    }
}

/// Whether to publish again: the server said so, or the connection broke, which is an error with a
/// source on this side.
fn is_worth_repeating(status: &Status) -> bool {
    status.code() == Code::Unavailable || status.source().is_some()
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
