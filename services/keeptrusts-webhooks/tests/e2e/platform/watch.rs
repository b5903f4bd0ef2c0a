//! Monitoring a process over HTTP.

use keeptrusts_webhooks_testkit::http::Client;
use keeptrusts_webhooks_testkit::ports::free_port;

use super::{Server, ServerBuilder};

/// A server with monitoring, and its URL.
pub(crate) async fn watched(server: ServerBuilder) -> (Server, String) {
    let address = format!("127.0.0.1:{}", free_port());
    let server = server.flag("--metrics-listen", &address).start().await;
    (server, format!("http://{address}"))
}

/// Status and text of a page for monitoring.
pub(crate) async fn seen_at(url: &str, path: &str) -> (u16, String) {
    let answer = Client::new().get(&format!("{url}{path}")).await;
    (answer.status, String::from_utf8(answer.body.to_vec()).expect("text"))
}
