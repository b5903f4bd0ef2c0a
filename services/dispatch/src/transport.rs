//! How requests leave the process: the outbound sender, or a simulated network.

use async_trait::async_trait;
use bytes::Bytes;
use http::{HeaderMap, Uri};
use keeptrusts_webhooks_outbound::{ConnectionGroup, HttpExchange, Sender};

/// Posts a request and waits for its response, within limits of its own.
#[async_trait]
pub trait Transport: Send + Sync + 'static {
    /// Posts `body` with `headers` to `url`, on connections of the group only: an endpoint or a
    /// notification channel, by its id.
    async fn post(
        &self,
        group: ConnectionGroup,
        url: &Uri,
        headers: HeaderMap,
        body: Bytes,
    ) -> HttpExchange;
}

#[async_trait]
impl Transport for Sender {
    async fn post(
        &self,
        group: ConnectionGroup,
        url: &Uri,
        headers: HeaderMap,
        body: Bytes,
    ) -> HttpExchange {
        Sender::post(self, group, url, headers, body).await
    }
}
