//! How requests leave the process: the outbound sender, or a simulated network.

use async_trait::async_trait;
use bytes::Bytes;
use http::{HeaderMap, Uri};
use keeptrusts_webhooks_outbound::{Exchange, Sender};

/// Posts a request and waits for its answer, within limits of its own.
#[async_trait]
pub trait Transport: Send + Sync + 'static {
    /// Posts `body` with `headers` to `url`.
    async fn post(&self, url: &Uri, headers: HeaderMap, body: Bytes) -> Exchange;
}

#[async_trait]
impl Transport for Sender {
    async fn post(&self, url: &Uri, headers: HeaderMap, body: Bytes) -> Exchange {
        Sender::post(self, url, headers, body).await
    }
}
