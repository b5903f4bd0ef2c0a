//! A process that has no socket left. The only test of its process, because it lowers the limit of open
//! files.

#![allow(clippy::unwrap_used)]

use std::fs::File;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, StatusCode, Uri};
use keeptrusts_webhooks_outbound::{
    ConnectionGroup, HttpExchange, OutboundConfig, SendFailure, Sender,
};
use keeptrusts_webhooks_testkit::dns::{DnsAnswer, DnsServer};
use keeptrusts_webhooks_testkit::receiver::{Receiver, Reply, Script};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::time::timeout;

/// Longer than the request timeout, and still short for a test.
const SHORTAGE: Duration = Duration::from_millis(1200);

/// The result of a request that starts without a free socket and gets one later.
async fn post_without_sockets(sender: &Sender, group: u128, url: &str) -> HttpExchange {
    let url: Uri = url.parse().unwrap();
    let taken: Vec<File> = std::iter::from_fn(|| File::open("/dev/null").ok()).collect();
    assert!(!taken.is_empty());
    let group = ConnectionGroup::new(group);
    let posting = sender.post(group, &url, HeaderMap::new(), Bytes::from_static(b"{}"));
    let mut posting = std::pin::pin!(posting);
    let early = timeout(SHORTAGE, &mut posting).await;
    assert!(early.is_err(), "it waits: {early:?}");
    drop(taken);
    posting.await
}

#[tokio::test]
async fn a_lack_of_sockets_counts_neither_as_a_receivers_time_nor_as_its_failure() {
    let receiver = Receiver::start(Script::always(Reply::ok()));
    let dns = DnsServer::start(|_, _| Some(DnsAnswer::addresses(["127.0.0.1"])));
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: Some(256), ..limit }).unwrap();
    let config = OutboundConfig {
        allowed_networks: vec!["127.0.0.0/8".parse().unwrap()],
        name_servers: vec![dns.address().to_string().parse().unwrap()],
        trusted_roots_pem: vec![receiver.ca_pem().as_bytes().to_vec()],
        request_timeout: Duration::from_secs(1),
        ..OutboundConfig::default()
    };
    let port = receiver.address().port();
    let sender = Sender::new(config.clone()).unwrap();
    let exchange = post_without_sockets(&sender, 1, &receiver.url("/hook")).await;
    assert_eq!(exchange.result.unwrap().status, StatusCode::OK);
    assert!(exchange.duration < SHORTAGE, "{:?}", exchange.duration);

    // DNS needs sockets as well. That the certificate is for another name shows how far it came.
    let by_name = format!("https://short.example.test:{port}/hook");
    let exchange = post_without_sockets(&sender, 2, &by_name).await;
    let failure = exchange.result.unwrap_err();
    assert!(matches!(failure, SendFailure::CertificateRejected(_)), "{failure}");

    // So do the proxy's connection and its name. The receiver serves as a proxy that is none.
    for proxy in ["127.0.0.1", "proxy.example.test"] {
        let proxy = Some(format!("http://{proxy}:{port}").parse().unwrap());
        let sender = Sender::new(OutboundConfig { proxy, ..config.clone() }).unwrap();
        let exchange = post_without_sockets(&sender, 3, &receiver.url("/hook")).await;
        assert_eq!(exchange.result.unwrap_err(), SendFailure::ProxyViolated);
    }
}
