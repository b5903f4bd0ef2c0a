//! Names with several addresses, some of which do not work.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use http::{StatusCode, Uri};
use keeptrusts_webhooks_outbound::{ConnectionGroup, OutboundConfig, Remark, SendFailure, Sender};
use keeptrusts_webhooks_testkit::dns::{DnsAnswer, DnsServer};
use tokio::io::AsyncReadExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use crate::certificates::Authority;
use crate::receiver::{HTTP1, HTTP2, Receiver, empty};
use crate::{config_for, post_as};

/// A second listener, on the receiver's port at another address.
struct Beside {
    connections: Arc<AtomicUsize>,
    task: JoinHandle<()>,
}

impl Beside {
    async fn listen<Serve, Serving>(address: &str, receiver: &Receiver, serve: Serve) -> Self
    where
        Serve: Fn(TcpStream) -> Serving + Send + 'static,
        Serving: Future<Output = ()> + Send + 'static,
    {
        let address: SocketAddr = format!("{address}:{}", receiver.address.port()).parse().unwrap();
        let listener = TcpListener::bind(address).await.unwrap();
        let connections = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&connections);
        let task = tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                count.fetch_add(1, Ordering::SeqCst);
                tokio::spawn(serve(stream));
            }
        });
        Self { connections, task }
    }

    fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }
}

impl Drop for Beside {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// A DNS server that knows one name, whose addresses are 127.0.0.1 and 127.0.0.2.
fn dns() -> DnsServer {
    DnsServer::start(|_, _| Some(DnsAnswer::addresses(["127.0.0.2", "127.0.0.1"])))
}

fn sender(authority: &Authority, dns: &DnsServer) -> Sender {
    let name_servers = vec![dns.address().to_string().parse().unwrap()];
    Sender::new(OutboundConfig { name_servers, ..config_for(authority) }).unwrap()
}

/// The receiver's URL by the name that has two addresses.
fn url(receiver: &Receiver) -> Uri {
    format!("https://two.example.test:{}/hook", receiver.address.port()).parse().unwrap()
}

/// Opens a connection for each request, because each has a group of its own.
async fn statuses(sender: &Sender, url: &Uri) -> Vec<Result<StatusCode, SendFailure>> {
    let mut statuses = Vec::new();
    for group in 0..12 {
        let exchange = post_as(ConnectionGroup::new(group), sender, url).await;
        statuses.push(exchange.result.map(|answer| answer.status));
    }
    statuses
}

#[tokio::test]
async fn an_address_that_fails_before_the_request_is_written_leaves_it_to_the_next() {
    let authority = Authority::new();
    let dns = dns();
    let identity = || authority.identity_for("two.example.test");
    for alpn in [HTTP1, HTTP2] {
        let receiver = Receiver::http(identity(), alpn, async |_| empty(200)).await;
        let broken = Beside::listen("127.0.0.2", &receiver, async |mut stream| {
            // Accepts, and hangs up during the handshake.
            let _ = stream.read_exact(&mut [0; 5]).await;
        })
        .await;
        let sender = sender(&authority, &dns);
        for status in statuses(&sender, &url(&receiver)).await {
            assert_eq!(status, Ok(StatusCode::OK));
        }
        assert!(broken.connections() <= 1, "asked last: {}", broken.connections());
    }
}

#[tokio::test]
async fn an_address_with_another_certificate_or_an_invalid_preface_is_passed_over() {
    let authority = Authority::new();
    let impostor = Authority::named("another authority");
    let dns = dns();
    for identity in
        [impostor.identity_for("two.example.test"), authority.identity_for("two.example.test")]
    {
        let healthy = authority.identity_for("two.example.test");
        let receiver = Receiver::http(healthy, HTTP2, async |_| empty(200)).await;
        let acceptor = crate::receiver::acceptor(identity, HTTP2);
        let broken = Beside::listen("127.0.0.2", &receiver, move |stream| {
            let acceptor = acceptor.clone();
            async move {
                // Hangs up after the handshake.
                drop(acceptor.accept(stream).await);
            }
        })
        .await;
        for status in statuses(&sender(&authority, &dns), &url(&receiver)).await {
            assert_eq!(status, Ok(StatusCode::OK));
        }
        assert!(broken.connections() <= 1, "{}", broken.connections());
    }
}

#[tokio::test]
async fn the_remark_about_addresses_that_were_passed_over_does_not_show_them() {
    let authority = Authority::new();
    let dns = dns();
    let identity = authority.identity_for("two.example.test");
    let receiver = Receiver::http(identity, HTTP1, async |_| empty(200)).await;
    let (sender, url) = (sender(&authority, &dns), url(&receiver));
    let mut remarks = Vec::new();
    // The second on the connection of the first, the third on one that begins at the healthy one.
    for group in [1, 1, 2] {
        let exchange = post_as(ConnectionGroup::new(group), &sender, &url).await;
        assert_eq!(exchange.result.unwrap().status, StatusCode::OK);
        remarks.push(exchange.remarks);
    }
    let passed_over = Remark::AddressesPassedOver { passed_over: 1, of: 2 };
    assert_eq!(remarks, [vec![passed_over], vec![], vec![]]);
    assert_eq!(
        passed_over.to_string(),
        "1 of the 2 addresses of the URL's host name failed before the request was sent and was passed over"
    );
}

#[tokio::test]
async fn healthy_addresses_share_the_connections() {
    let authority = Authority::new();
    let dns = dns();
    let identity = authority.identity_for("two.example.test");
    let receiver = Receiver::http(identity, HTTP1, async |_| empty(200)).await;
    let port = receiver.address;
    let other = Beside::listen("127.0.0.2", &receiver, move |mut stream| async move {
        let mut onward = TcpStream::connect(port).await.unwrap();
        let _ = tokio::io::copy_bidirectional(&mut stream, &mut onward).await;
    })
    .await;
    for status in statuses(&sender(&authority, &dns), &url(&receiver)).await {
        assert_eq!(status, Ok(StatusCode::OK));
    }
    assert_eq!(other.connections(), 6);
}

#[tokio::test]
async fn an_address_that_the_guard_refuses_is_not_tried_when_others_fail() {
    let authority = Authority::new();
    let dns = DnsServer::start(|_, _| Some(DnsAnswer::addresses(["127.0.0.1", "127.0.0.2"])));
    let receiver = Receiver::tcp(async |_| {}).await;
    let refused = Beside::listen("127.0.0.2", &receiver, async |_| {}).await;
    let sender = Sender::new(OutboundConfig {
        name_servers: vec![dns.address().to_string().parse().unwrap()],
        allowed_networks: vec!["127.0.0.1/32".parse().unwrap()],
        ..config_for(&authority)
    })
    .unwrap();
    for status in statuses(&sender, &url(&receiver)).await {
        assert!(status.is_err(), "{status:?}");
    }
    assert_eq!((receiver.connections(), refused.connections()), (12, 0));
}
