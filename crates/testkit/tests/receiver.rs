//! The receiver, tested with a third party's HTTPS client.

use std::net::TcpListener;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::{Request, Response, Version};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::{Client, Error};
use hyper_util::rt::TokioExecutor;
use keeptrusts_webhooks_testkit::ports::closed_port;
use keeptrusts_webhooks_testkit::receiver::{Authority, Certificate, Receiver, Reply, Script};
use tokio::time::timeout;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::CertificateDer;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

const SOON: Duration = Duration::from_secs(10);
const NOT_YET: Duration = Duration::from_millis(100);

type HttpsClient = Client<HttpsConnector<HttpConnector>, Full<Bytes>>;

fn client(receiver: &Receiver) -> HttpsClient {
    let mut roots = RootCertStore::empty();
    let authority =
        CertificateDer::from_pem_file(receiver.ca_file()).expect("the file has a certificate");
    roots.add(authority).expect("the authority can be trusted");
    let tls = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("ring has the default protocol versions")
        .with_root_certificates(roots)
        .with_no_client_auth();
    let connector =
        HttpsConnectorBuilder::new().with_tls_config(tls).https_only().enable_all_versions();
    Client::builder(TokioExecutor::new()).build(connector.build())
}

async fn post(
    client: &HttpsClient,
    url: &str,
    body: &'static [u8],
) -> Result<Response<Incoming>, Error> {
    let request = Request::post(url)
        .header("X-First", "1")
        .header("X-Second", "2")
        .body(Full::from(body))
        .expect("the request is valid");
    client.request(request).await
}

async fn status(client: &HttpsClient, url: &str) -> u16 {
    post(client, url, b"{}").await.expect("it answers").status().as_u16()
}

#[tokio::test]
async fn a_request_is_kept_as_it_arrived() {
    for (receiver, version) in [
        (Receiver::start(Script::default()), Version::HTTP_2),
        (Receiver::builder().http1_only().start(), Version::HTTP_11),
    ] {
        let before = Instant::now();
        let body = b"{\"n\": 1.0,\n \xff}";
        let url = receiver.url("/hook?x=1");
        let answer = post(&client(&receiver), &url, body).await.expect("it answers");
        assert_eq!(answer.status(), 200);

        let requests = receiver.wait_for(1, SOON).await;
        let [request] = &requests[..] else { panic!("one request, not {requests:?}") };
        assert_eq!(request.method, "POST");
        assert_eq!(request.path, "/hook?x=1");
        assert_eq!(request.version, version);
        assert_eq!(&request.body[..], body);
        assert_eq!(request.header("x-first"), Some("1"));
        assert_eq!(request.connection, 1);
        assert!(request.arrived >= before && request.arrived <= Instant::now());
        let order: Vec<&str> = request
            .headers
            .iter()
            .filter_map(|(name, _)| name.starts_with("x-").then_some(name.as_str()))
            .collect();
        assert_eq!(order, ["x-first", "x-second"]);
    }
}

#[tokio::test]
async fn a_script_answers_by_path_and_repeats_its_last_reply() {
    let receiver = Receiver::start(Script::by_path([
        ("/a", Script::sequence([Reply::status(500), Reply::status(503), Reply::ok()])),
        ("/b", Script::always(Reply::status(410))),
    ]));
    let client = client(&receiver);
    let (a, b) = (receiver.url("/a"), receiver.url("/b"));
    let mut statuses = Vec::new();
    for url in [&a, &b, &a, &a, &a, &b, &receiver.url("/c")] {
        statuses.push(status(&client, url).await);
    }
    assert_eq!(statuses, [500, 410, 503, 200, 200, 410, 404]);

    receiver.set_script(Script::new(|request| match request.path.as_str() {
        "/a" => Reply::status(429).with_header("retry-after", "7").with_body("slow down"),
        _ => Reply::redirect("https://elsewhere.example/"),
    }));
    let answer = post(&client, &a, b"{}").await.expect("it answers");
    assert_eq!(answer.status(), 429);
    assert_eq!(answer.headers()["retry-after"], "7");
    assert_eq!(answer.into_body().collect().await.expect("a body").to_bytes(), "slow down");
    let answer = post(&client, &b, b"{}").await.expect("it answers");
    assert_eq!(answer.status(), 302);
    assert_eq!(answer.headers()["location"], "https://elsewhere.example/");
    assert_eq!(receiver.request_count(), 9);
}

#[tokio::test]
async fn a_hanging_receiver_has_the_request_but_does_not_answer() {
    let receiver = Receiver::start(Script::always(Reply::Hang));
    let url = receiver.url("/");
    assert!(timeout(NOT_YET, post(&client(&receiver), &url, b"{}")).await.is_err());
    receiver.wait_for(1, SOON).await;
}

#[tokio::test]
async fn a_dripping_receiver_answers_without_an_end() {
    let receiver = Receiver::start(Script::always(Reply::Drip { every: Duration::from_millis(1) }));
    let answer = post(&client(&receiver), &receiver.url("/"), b"{}").await.expect("it answers");
    assert_eq!(answer.status(), 200);
    let mut body = answer.into_body();
    for _ in 0..10 {
        let frame = body.frame().await.expect("it goes on").expect("it does not fail");
        assert!(frame.data_ref().is_some_and(|data| !data.is_empty()));
    }
}

#[tokio::test]
async fn a_closing_receiver_answers_nothing() {
    for receiver in [
        Receiver::start(Script::always(Reply::Close)),
        Receiver::builder().http1_only().script(Script::always(Reply::Close)).start(),
    ] {
        let answer = timeout(SOON, post(&client(&receiver), &receiver.url("/"), b"{}")).await;
        answer.expect("it ends").expect_err("there is no answer");
        assert!(receiver.request_count() >= 1);
    }
}

#[tokio::test]
async fn a_late_reply_comes_late() {
    let late = Reply::status(204).after(NOT_YET);
    let receiver = Receiver::start(Script::always(late));
    let before = Instant::now();
    assert_eq!(status(&client(&receiver), &receiver.url("/")).await, 204);
    assert!(before.elapsed() >= NOT_YET);
}

#[tokio::test]
async fn bad_certificates_are_refused_and_counted() {
    for certificate in [Certificate::Untrusted, Certificate::Expired, Certificate::WrongName] {
        let receiver = Receiver::builder().certificate(certificate).start();
        post(&client(&receiver), &receiver.url("/"), b"{}")
            .await
            .expect_err("the certificate is refused");
        receiver.wait_for_failed_handshakes(1, SOON).await;
        assert_eq!(receiver.connection_count(), 1, "{certificate:?}");
        assert_eq!(receiver.request_count(), 0, "{certificate:?}");
    }
}

#[tokio::test]
async fn receivers_can_share_an_authority() {
    let authority = Arc::new(Authority::new());
    let one = Receiver::builder().authority(&authority).start();
    let other = Receiver::builder().authority(&authority).start();
    let client = client(&one);
    assert_eq!(status(&client, &other.url("/")).await, 200);
    let by_name = format!("https://localhost:{}/", other.address().port());
    assert_eq!(status(&client, &by_name).await, 200);
}

#[tokio::test]
#[should_panic(expected = "the receiver got 0 requests, 0 connections")]
async fn waiting_has_a_limit_and_shows_the_requests() {
    Receiver::start(Script::default()).wait_for(1, Duration::from_millis(10)).await;
}

#[tokio::test]
async fn a_receiver_can_start_on_a_port_that_refused() {
    let refused = closed_port();
    let receiver = Receiver::builder().port(refused.release()).start();
    assert_eq!(status(&client(&receiver), &receiver.url("/")).await, 200);
}

#[tokio::test]
async fn a_dropped_receiver_closes_its_connections_and_its_port() {
    let receiver = Receiver::start(Script::always(Reply::Hang));
    let client = client(&receiver);
    let url = receiver.url("/");
    let unanswered = tokio::spawn(async move { post(&client, &url, b"{}").await });
    receiver.wait_for(1, SOON).await;
    let address = receiver.address();

    drop(receiver);
    let answer = timeout(SOON, unanswered).await.expect("it ends").expect("it does not panic");
    answer.expect_err("the connection is closed");
    TcpListener::bind(address).expect("the port is free");
}
