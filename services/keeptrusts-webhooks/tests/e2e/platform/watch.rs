//! Those who watch a process over HTTP.

use keeptrusts_webhooks_testkit::http::Client;
use keeptrusts_webhooks_testkit::ports::free_port;

use super::{Server, ServerBuilder};

/// A server that is watched, and the URL where.
pub(crate) async fn watched(server: ServerBuilder) -> (Server, String) {
    let address = format!("127.0.0.1:{}", free_port());
    let server = server.flag("--metrics-listen", &address).start().await;
    (server, format!("http://{address}"))
}

/// The status and the text with which it answers a watcher.
pub(crate) async fn seen_at(url: &str, path: &str) -> (u16, String) {
    let answer = Client::new().get(&format!("{url}{path}")).await;
    (answer.status, String::from_utf8(answer.body.to_vec()).expect("text"))
}
