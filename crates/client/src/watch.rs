//! Watches that outlive their connections.

use std::time::Duration;

use futures_core::Stream;
use futures_util::stream;
use tokio::time::sleep;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::{Code, Streaming};

use crate::backoff::Backoff;
use crate::{Client, Error, WatchRequest};

impl Client {
    /// Follows deliveries ([`WatchDeliveriesRequest`](crate::v1::WatchDeliveriesRequest)), events
    /// ([`WatchEventsRequest`](crate::v1::WatchEventsRequest)) or a replay
    /// ([`WatchReplayRequest`](crate::v1::WatchReplayRequest)).
    ///
    /// If the connection is lost or the server stops, the watch goes on with the server that comes back,
    /// after the last response that was received: none is lost, and none comes twice. That holds from the
    /// beginning of the watch, which the server says at once; older servers said it with the first change. A watch of a replay gets the present state after a reconnect,
    /// and ends with the replay. Any other error ends the stream.
    ///
    /// ```no_run
    /// # use keeptrusts_webhooks_client::{Client, Error, v1};
    /// use futures_util::TryStreamExt;
    ///
    /// # async fn example(client: Client) -> Result<(), Error> {
    /// let request = v1::WatchDeliveriesRequest { organization_id: "acme".into(), ..Default::default() };
    /// let mut changes = std::pin::pin!(client.watch(request));
    /// while let Some(change) = changes.try_next().await? {
    ///     let delivery = change.delivery.unwrap_or_default();
    ///     println!("{}: {:?}", delivery.id, delivery.state());
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn watch<R: WatchRequest>(
        &self,
        request: R,
    ) -> impl Stream<Item = Result<R::Response, Error>> + Send + use<R> {
        let watch = Watch {
            client: self.clone(),
            request,
            open: None,
            key: None,
            backoff: self.retry_policy().backoff(),
            may_change_key: true,
        };
        stream::try_unfold(watch, |mut watch| async move {
            Ok(watch.next().await?.map(|response| (response, watch)))
        })
    }
}

struct Watch<R: WatchRequest> {
    client: Client,
    request: R,
    open: Option<Streaming<R::Response>>,
    /// With which it was opened.
    key: Option<MetadataValue<Ascii>>,
    backoff: Backoff,
    may_change_key: bool,
}

impl<R: WatchRequest> Watch<R> {
    /// The next response. None: the watch has ended.
    async fn next(&mut self) -> Result<Option<R::Response>, Error> {
        loop {
            let error = match self.receive().await {
                Ok(Some(response)) => {
                    self.backoff = self.client.retry_policy().backoff();
                    self.may_change_key = true;
                    if self.request.resume_after(&response) {
                        return Ok(Some(response));
                    }
                    continue;
                }
                Ok(None) if !R::RESUMES => return Ok(None),
                Ok(None) => Error::own(Code::Unavailable, "the server ended the watch"),
                Err(error) => error,
            };
            self.open = None;
            if error.code() == Code::Unauthenticated && self.may_change_key {
                self.may_change_key = false;
                if self.client.has_another_key(self.key.as_ref()).await {
                    continue;
                }
            }
            if !error.is_temporary() || self.client.retry_policy().max_attempts == 1 {
                return Err(error);
            }
            let wait = self.backoff.next(fastrand::f64());
            sleep(wait.max(error.retry_delay().unwrap_or(Duration::ZERO))).await;
        }
    }

    async fn receive(&mut self) -> Result<Option<R::Response>, Error> {
        let open = match &mut self.open {
            Some(open) => open,
            None => {
                self.key = self.client.key().await;
                let request = self.request.clone();
                let opening = self.client.server_stream(request, R::PATH, self.key.as_ref());
                self.open.insert(opening.await?)
            }
        };
        Ok(open.message().await?)
    }
}
