//! Watches that say when their connection is lost, and when it is back.

use std::pin::Pin;
use std::time::Duration;

use futures_util::{Stream, TryStreamExt};
use keeptrusts_webhooks_client::{Error, WatchRequest, v1};
use tokio::time::sleep;

use crate::failure::Failure;
use crate::output::message;
use crate::session::Session;

/// The waits between looks whether the server is back.
const SHORTEST_WAIT: Duration = Duration::from_millis(250);
const LONGEST_WAIT: Duration = Duration::from_secs(5);

type Responses<R> = Pin<Box<dyn Stream<Item = Result<<R as WatchRequest>::Response, Error>>>>;

/// A watch. It outlives its connection, as the client's own does, but not in silence: what is not shown may
/// have been missed.
pub(crate) struct Watching<'a, R: WatchRequest> {
    session: &'a Session,
    request: R,
    responses: Option<Responses<R>>,
    /// Whether it goes on after the last response.
    is_resumable: bool,
    wait: Duration,
}

impl<'a, R: WatchRequest> Watching<'a, R> {
    pub(crate) fn new(session: &'a Session, request: R) -> Watching<'a, R> {
        let wait = SHORTEST_WAIT;
        Watching { session, request, responses: None, is_resumable: false, wait }
    }

    /// The next response. None: the watch has ended.
    pub(crate) async fn next(&mut self) -> Result<Option<R::Response>, Failure> {
        loop {
            let responses = self
                .responses
                .get_or_insert_with(|| Box::pin(self.session.watcher.watch(self.request.clone())));
            match responses.try_next().await {
                Ok(Some(response)) => {
                    self.request.resume_after(&response);
                    self.is_resumable = R::RESUMES;
                    self.wait = SHORTEST_WAIT;
                    return Ok(Some(response));
                }
                Ok(None) => return Ok(None),
                Err(error) if !error.is_temporary() => return Err(error.into()),
                Err(error) => self.wait_until_back(&error).await?,
            }
        }
    }

    /// Says that the connection is lost, waits for the server, and says that it is back.
    async fn wait_until_back(&mut self, lost: &Error) -> Result<(), Failure> {
        self.responses = None;
        message(&format!("Not connected any more: {}. Trying again …", lost.message()));
        loop {
            // Not only at first: a server that answers but ends each watch at once is not called all the time.
            sleep(self.wait.max(lost.retry_delay().unwrap_or_default())).await;
            self.wait = (self.wait * 2).min(LONGEST_WAIT);
            match self.session.watcher.who_am_i(v1::WhoAmIRequest {}).await {
                Ok(_) => break,
                Err(error) if error.is_temporary() => {}
                Err(error) => return Err(error.into()),
            }
        }
        message(match (R::RESUMES, self.is_resumable) {
            (true, true) => "Connected again. Nothing is missed.",
            (true, false) => "Connected again. What has happened in between is not shown.",
            (false, _) => "Connected again.",
        });
        Ok(())
    }
}
