//! Requests through an HTTP proxy.

use std::future::pending;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use http::StatusCode;
use keeptrusts_webhooks_outbound::{
    ConnectionGroup, OutboundConfig, Remark, SendFailure, Sender, TriedAddress,
};
use keeptrusts_webhooks_testkit::dns::{DnsAnswer, DnsServer};
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::TcpStream;

use crate::certificates::Authority;
use crate::receiver::{HTTP1, HTTP2, Receiver, empty};
use crate::{answer, config_for, failure, post, post_as};

/// A proxy, and the requests that it got.
struct Proxy {
    receiver: Receiver,
    requests: Arc<Mutex<Vec<String>>>,
}

impl Proxy {
    /// A proxy that answers each request with `answer` and, if that is a 200, forwards.
    async fn answering(answer: &'static str) -> Self {
        let requests = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&requests);
        let receiver = Receiver::tcp(move |mut stream| {
            let seen = Arc::clone(&seen);
            async move {
                let request = read_head(&mut stream).await;
                let target = request.split(' ').nth(1).map(str::parse::<SocketAddr>);
                seen.lock().unwrap().push(request);
                stream.write_all(answer.as_bytes()).await.unwrap();
                if answer.starts_with("HTTP/1.1 200") {
                    let mut onward = TcpStream::connect(target.unwrap().unwrap()).await.unwrap();
                    // Fails when either side hangs up without `close_notify`.
                    let _ = copy_bidirectional(&mut stream, &mut onward).await;
                }
            }
        })
        .await;
        Self { receiver, requests }
    }

    /// A proxy that connects, and answers 502 if it cannot.
    async fn connecting() -> Self {
        let requests = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&requests);
        let receiver = Receiver::tcp(move |mut stream| {
            let seen = Arc::clone(&seen);
            async move {
                let request = read_head(&mut stream).await;
                let target = request.split(' ').nth(1).unwrap().to_owned();
                seen.lock().unwrap().push(target.clone());
                let Ok(mut onward) = TcpStream::connect(target).await else {
                    let refusal = b"HTTP/1.1 502 Bad Gateway\r\ncontent-length: 0\r\n\r\n";
                    stream.write_all(refusal).await.unwrap();
                    return;
                };
                stream.write_all(ESTABLISHED.as_bytes()).await.unwrap();
                let _ = copy_bidirectional(&mut stream, &mut onward).await;
            }
        })
        .await;
        Self { receiver, requests }
    }

    fn sender(&self, authority: &Authority) -> Sender {
        self.sender_with(authority, "")
    }

    /// A sender by this proxy, with `credentials` such as `user:password@`.
    fn sender_with(&self, authority: &Authority, credentials: &str) -> Sender {
        let proxy = format!("http://{credentials}{}", self.receiver.address);
        let proxy = Some(proxy.parse().unwrap());
        Sender::new(OutboundConfig { proxy, ..config_for(authority) }).unwrap()
    }

    fn requests(&self) -> Vec<String> {
        self.requests.lock().unwrap().clone()
    }
}

async fn read_head(stream: &mut TcpStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.unwrap());
    }
    String::from_utf8(head).unwrap()
}

const ESTABLISHED: &str = "HTTP/1.1 200 Connection established\r\n\r\n";

#[tokio::test]
async fn the_proxy_gets_the_address_of_a_name_and_not_the_name() {
    for alpn in [HTTP1, HTTP2] {
        let authority = Authority::new();
        let receiver = Receiver::http(authority.identity(), alpn, async |_| empty(204)).await;
        let proxy = Proxy::answering(ESTABLISHED).await;

        let url = receiver.url_for("localhost");
        assert_eq!(answer(&proxy.sender(&authority), &url).await.status, 204);

        let address = receiver.address;
        let expected = format!("CONNECT {address} HTTP/1.1\r\nhost: {address}\r\n\r\n");
        assert_eq!(proxy.requests(), [expected]);
    }
}

#[tokio::test]
async fn a_tunnel_is_used_for_the_next_request_to_the_same_receiver_and_no_other() {
    let authority = Authority::new();
    let first = Receiver::http(authority.identity(), HTTP1, async |_| empty(200)).await;
    let second = Receiver::http(authority.identity(), HTTP1, async |_| empty(201)).await;
    let proxy = Proxy::answering(ESTABLISHED).await;
    let sender = proxy.sender(&authority);
    for _ in 0..3 {
        assert_eq!(answer(&sender, &first.url()).await.status, 200);
        assert_eq!(answer(&sender, &second.url()).await.status, 201);
    }
    assert_eq!((first.connections(), second.connections()), (1, 1));
    assert_eq!(proxy.receiver.connections(), 2);
}

#[tokio::test]
async fn the_proxy_is_asked_for_one_address_after_the_other_and_for_none_that_is_refused() {
    let authority = Authority::new();
    let identity = authority.identity_for("two.example.test");
    let receiver = Receiver::http(identity, HTTP2, async |_| empty(200)).await;
    let proxy = Proxy::connecting().await;
    let dns =
        DnsServer::start(|_, _| Some(DnsAnswer::addresses(["127.0.0.2", "10.0.0.1", "127.0.0.1"])));
    let sender = Sender::new(OutboundConfig {
        proxy: Some(format!("http://{}", proxy.receiver.address).parse().unwrap()),
        name_servers: vec![dns.address().to_string().parse().unwrap()],
        ..config_for(&authority)
    })
    .unwrap();
    let exchange = post(&sender, &receiver.url_for("two.example.test")).await;
    assert_eq!(exchange.result.unwrap().status, StatusCode::OK);
    assert_eq!(exchange.remarks, [Remark::AddressesPassedOver { passed_over: 1, of: 2 }]);
    let port = receiver.address.port();
    assert_eq!(proxy.requests(), [format!("127.0.0.2:{port}"), format!("127.0.0.1:{port}")]);

    let url = receiver.url_for("two.example.test");
    drop(receiver);
    let other = post_as(ConnectionGroup::new(9), &sender, &url).await;
    let address = TriedAddress::Resolved;
    let status = StatusCode::BAD_GATEWAY;
    assert_eq!(other.result, Err(SendFailure::ProxyRefused { address, status }));
    assert_eq!(proxy.requests().len(), 4, "both were tried");
}

#[tokio::test]
async fn an_address_that_is_refused_is_not_asked_for() {
    let authority = Authority::new();
    let receiver = Receiver::http(authority.identity(), HTTP1, async |_| empty(200)).await;
    let proxy = Proxy::answering(ESTABLISHED).await;
    let sender = Sender::new(OutboundConfig {
        // The proxy's own address needs no permission.
        allowed_networks: Vec::new(),
        proxy: Some(format!("http://{}", proxy.receiver.address).parse().unwrap()),
        ..config_for(&authority)
    })
    .unwrap();
    for host in ["127.0.0.1", "[::ffff:127.0.0.1]"] {
        let failure = failure(&sender, &receiver.url_for(host)).await;
        assert!(matches!(failure, SendFailure::AddressRefused(_)), "{host}: {failure}");
    }
    let by_name = failure(&sender, &receiver.url_for("localhost")).await;
    assert_eq!(by_name, SendFailure::ResolvedAddressRefused);
    assert_eq!((proxy.receiver.connections(), receiver.connections()), (0, 0));
}

#[tokio::test]
async fn the_receivers_certificate_is_verified_through_the_tunnel() {
    let authority = Authority::new();
    let impostor = Authority::named("another authority");
    let receiver = Receiver::http(impostor.identity(), HTTP1, async |_| empty(200)).await;
    let proxy = Proxy::answering(ESTABLISHED).await;
    let failure = failure(&proxy.sender(&authority), &receiver.url()).await;
    assert!(matches!(failure, SendFailure::CertificateRejected(_)), "{failure}");
}

#[tokio::test]
async fn credentials_are_for_the_proxy_only() {
    let authority = Authority::new();
    let receiver = Receiver::http(authority.identity(), HTTP1, async |request| {
        assert!(!request.headers().contains_key("proxy-authorization"));
        empty(200)
    })
    .await;
    let proxy = Proxy::answering(ESTABLISHED).await;
    let sender = proxy.sender_with(&authority, "Aladdin:open%20sesame@");
    assert_eq!(answer(&sender, &receiver.url()).await.status, 200);
    assert!(
        proxy.requests()[0].contains("proxy-authorization: Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==\r\n")
    );
}

#[tokio::test]
async fn a_refusal_of_the_proxy_has_a_failure_of_its_own() {
    let authority = Authority::new();
    let target = Receiver::tcp(async |_| {}).await;
    let address = target.address.into();
    for (answer, expected, text) in [
        (
            "HTTP/1.1 407 Proxy Authentication Required\r\nproxy-authenticate: Basic\r\ncontent-length: 0\r\n\r\n",
            SendFailure::ProxyWantsCredentials,
            "the outbound proxy answered 407".to_owned(),
        ),
        (
            "HTTP/1.1 502 <script>\r\ncontent-length: 6\r\n\r\nsecret",
            SendFailure::ProxyRefused { address, status: StatusCode::BAD_GATEWAY },
            format!("the outbound proxy did not connect to {address}: it answered 502"),
        ),
        (
            "HTTP/1.1 302 Found\r\nlocation: https://127.0.0.1/\r\ncontent-length: 0\r\n\r\n",
            SendFailure::ProxyRefused { address, status: StatusCode::FOUND },
            format!("the outbound proxy did not connect to {address}: it answered 302"),
        ),
        ("SSH-2.0-OpenSSH_9.9\r\n", SendFailure::ProxyViolated, "not HTTP".to_owned()),
        ("", SendFailure::ProxyViolated, "hung up".to_owned()),
    ] {
        let proxy = Proxy::answering(answer).await;
        let sender = proxy.sender_with(&authority, "user:geheim@");
        let failure = failure(&sender, &target.url()).await;
        assert_eq!(failure, expected);
        assert!(failure.to_string().contains(&text), "{failure}");
        assert!(!failure.to_string().contains("geheim"));
    }
    assert_eq!(target.connections(), 0);
}

#[tokio::test]
async fn bytes_that_a_proxy_sends_ahead_of_the_receivers_are_not_taken_for_tls() {
    let target = Receiver::tcp(async |_| {}).await;
    let proxy = Proxy::answering("HTTP/1.1 200 OK\r\n\r\nahead").await;
    let failure = failure(&proxy.sender(&Authority::new()), &target.url()).await;
    assert_eq!(failure, SendFailure::ProxyViolated);
}

#[tokio::test]
async fn a_proxy_that_does_not_listen_is_named_without_its_address() {
    let authority = Authority::new();
    let receiver = Receiver::http(authority.identity(), HTTP1, async |_| empty(200)).await;
    for proxy in ["http://127.0.0.1:1", "http://proxy.invalid:3128"] {
        let proxy = Some(proxy.parse().unwrap());
        let sender = Sender::new(OutboundConfig { proxy, ..config_for(&authority) }).unwrap();
        let failure = failure(&sender, &receiver.url()).await;
        assert_eq!(failure, SendFailure::ProxyUnreachable);
        assert_eq!(
            failure.to_string(),
            "the outbound proxy cannot be reached (an operator can check --outbound-proxy)"
        );
    }
    assert_eq!(receiver.connections(), 0, "nothing goes past the proxy");
}

#[tokio::test]
async fn a_proxy_that_never_answers_is_given_up_after_the_connect_timeout() {
    let target = Receiver::tcp(async |_| {}).await;
    let silent = Receiver::tcp(async |stream| {
        pending::<()>().await;
        drop(stream);
    })
    .await;
    let sender = Sender::new(OutboundConfig {
        proxy: Some(format!("http://{}", silent.address).parse().unwrap()),
        connect_timeout: Duration::from_millis(300),
        ..config_for(&Authority::new())
    })
    .unwrap();
    let address = target.address.into();
    assert_eq!(failure(&sender, &target.url()).await, SendFailure::ProxyTimedOut { address });
}
