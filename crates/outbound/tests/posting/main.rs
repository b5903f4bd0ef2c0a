//! The sender with real receivers: TLS servers on loopback, some of them broken or malicious.

#![allow(clippy::unwrap_used)]

mod addresses;
mod answers;
mod certificates;
mod connections;
mod handshakes;
mod http2;
mod http2_untidy;
mod proxy;
mod receiver;
mod refusals;
mod time_limits;
mod tls;
mod untidy;

use std::time::Duration;

use bytes::Bytes;
use certificates::Authority;
use http::{HeaderMap, Uri};
use keeptrusts_webhooks_outbound::{
    ConnectionGroup, HttpExchange, HttpResponse, OutboundConfig, SendFailure, Sender,
};

/// Long enough for a busy machine; a test that waits this long has failed.
const GENEROUS: Duration = Duration::from_secs(20);

/// A configuration for receivers on loopback, which trusts `authority`.
fn config_for(authority: &Authority) -> OutboundConfig {
    OutboundConfig {
        allowed_networks: vec!["127.0.0.0/8".parse().unwrap()],
        trusted_roots_pem: vec![authority.pem()],
        connect_timeout: GENEROUS,
        request_timeout: GENEROUS,
        ..OutboundConfig::default()
    }
}

fn sender_for(authority: &Authority) -> Sender {
    Sender::new(config_for(authority)).unwrap()
}

/// The group of tests that need only one.
const GROUP: ConnectionGroup = ConnectionGroup::new(1);

async fn post(sender: &Sender, url: &Uri) -> HttpExchange {
    post_as(GROUP, sender, url).await
}

async fn post_as(group: ConnectionGroup, sender: &Sender, url: &Uri) -> HttpExchange {
    let body = Bytes::from_static(b"{}");
    sender.post(group, url, HeaderMap::new(), body).await
}

async fn answer(sender: &Sender, url: &Uri) -> HttpResponse {
    post(sender, url).await.result.unwrap()
}

async fn failure(sender: &Sender, url: &Uri) -> SendFailure {
    post(sender, url).await.result.unwrap_err()
}
