//! Where deliveries may go, whatever a URL, a DNS server or the environment says: the whole
//! platform against a DNS server that lies.
//!
//! The receiver on 127.0.0.1 is allowed and stands for a public one. 127.0.0.2 is not: a listener
//! on the same port there must see no connection.

use std::io::ErrorKind;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};

use keeptrusts_webhooks_contracts::v1::{
    CreateEndpointRequest, Delivery, Endpoint, UpdateEndpointRequest, attempt, delivery,
};
use keeptrusts_webhooks_testkit::dns::{DnsAnswer, DnsServer};
use keeptrusts_webhooks_testkit::ports::closed_port;
use keeptrusts_webhooks_testkit::receiver::{Certificate, Receiver, Reply, Script};
use prost_types::FieldMask;
use tonic::Code;
use tonic_types::StatusExt;

use crate::platform::{Backend, Client, Database, PATIENCE, Server, ServerBuilder, assert_refused};

const NAME: &str = "receiver.hostile.example";

/// A receiver for [`NAME`] that ends each connection with its response, so that the next request
/// needs a new one.
fn forgetful_receiver() -> Receiver {
    let answer_and_close = Reply::ok().with_header("connection", "close");
    Receiver::builder()
        .certificate(Certificate::ValidFor(NAME))
        .script(Script::always(answer_and_close))
        .http1_only()
        .start()
}

/// A listener that must get no connection.
struct ForbiddenListener(TcpListener);

impl ForbiddenListener {
    /// On the receiver's port of 127.0.0.2.
    fn beside(receiver: &Receiver) -> Self {
        let address = SocketAddr::from((Ipv4Addr::new(127, 0, 0, 2), receiver.address().port()));
        let listener = TcpListener::bind(address).expect("the port is free on 127.0.0.2");
        listener.set_nonblocking(true).expect("a listener can be made non-blocking");
        Self(listener)
    }

    /// Connections wait in the listener's queue until they are accepted: an empty queue means that
    /// there was none.
    #[track_caller]
    fn assert_untouched(&self) {
        let connection = self.0.accept();
        let nobody = connection.as_ref().is_err_and(|error| error.kind() == ErrorKind::WouldBlock);
        assert!(nobody, "somebody came: {connection:?}");
    }
}

/// A server that trusts the receiver, and may connect to its address and no other on loopback.
fn serving(database: &Database, receiver: &Receiver, dns: &DnsServer) -> ServerBuilder {
    let ca = receiver.ca_file().to_str().expect("the path is UTF-8");
    Server::all_in_one(database)
        .flag("--trust-ca", ca)
        .flag("--allow-network", "127.0.0.1/32")
        .flag("--dns-server", &dns.address().to_string())
}

/// Publishes an event and waits until it was delivered or refused once; returns the delivery.
async fn attempt(client: &Client, event_type: &str) -> Delivery {
    let event_id = client.publish(event_type, "{}").await;
    let attempted = |delivery: &Delivery| !delivery.attempts.is_empty();
    client.wait_for_delivery(&event_id, "was attempted", attempted).await
}

#[track_caller]
fn assert_not_sent(delivery: &Delivery, error: &str) {
    let attempt = &delivery.attempts[0];
    assert_eq!((attempt.status_code, attempt.outcome()), (0, attempt::Outcome::Retrying));
    assert!(attempt.error.contains(error), "not {error:?} but {:?}", attempt.error);
}

const RESOLVED_AND_REFUSED: &str =
    "the URL's host name resolves to an address that deliveries may not reach";

/// The delivery log says what to do and no address; the process's log says which address it was.
async fn assert_name_refused(server: &Server, delivery: &Delivery, logged: &str) {
    assert_not_sent(delivery, RESOLVED_AND_REFUSED);
    assert_not_sent(delivery, "--allow-network");
    let (address, _) = logged
        .trim_start_matches("refused to connect to ")
        .split_once(": ")
        .expect("an address and what it is for");
    let shown = format!("{delivery:?}");
    assert!(!shown.contains(address), "{address} is in {shown}");
    server.process().wait_for_line(|line| line.contains(logged), PATIENCE).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_resolves_differently_the_second_time_reaches_no_forbidden_address() {
    for (second_answer, logged) in [
        ("127.0.0.2", "refused to connect to 127.0.0.2: loopback address"),
        ("::ffff:127.0.0.2", "refused to connect to ::ffff:127.0.0.2: loopback address"),
        ("169.254.169.254", "refused to connect to 169.254.169.254: cloud metadata address"),
        ("10.0.0.1", "refused to connect to 10.0.0.1: private address"),
    ] {
        let receiver = forgetful_receiver();
        let trap = ForbiddenListener::beside(&receiver);
        let dns = DnsServer::start(move |name, query_count| {
            assert_eq!(name, NAME);
            let address = if query_count == 0 { "127.0.0.1" } else { second_answer };
            Some(DnsAnswer::addresses([address]))
        });
        let database = Database::new(Backend::Sqlite).await;
        let server = serving(&database, &receiver, &dns).start().await;
        let client = server.client("acme");
        let url = format!("https://{NAME}:{}/", receiver.address().port());
        client.create_endpoint(&url, &["key.rotated"]).await;

        let delivery = attempt(&client, "key.rotated").await;
        assert_eq!(
            delivery.state(),
            delivery::State::Delivered,
            "{:?}",
            delivery.attempts[0].error
        );
        assert_eq!(dns.query_count(NAME), 1, "what was judged is what was connected to");

        let delivery = attempt(&client, "key.rotated").await;
        assert_name_refused(&server, &delivery, logged).await;
        assert_eq!(dns.query_count(NAME), 2);
        assert_eq!((receiver.request_count(), receiver.connection_count()), (1, 1));
        trap.assert_untouched();
    }
}

/// The lying server's answers, in all cases below.
fn lie(name: &str, _query_count: usize) -> Option<DnsAnswer> {
    // By TCP, and near the 64 KiB that an answer may have.
    let huge: Vec<_> = (0..1_000).map(|n| format!("10.{}.{}.1", n / 256, n % 256)).collect();
    let huge = huge.iter().map(String::as_str);
    Some(match name {
        "mixed.hostile.example" => DnsAnswer::addresses(["127.0.0.2", "10.0.0.1", "127.0.0.1"]),
        "huge.hostile.example" => DnsAnswer::addresses(huge.chain(["127.0.0.1"])),
        "huge-and-forbidden.hostile.example" => DnsAnswer::addresses(huge),
        "alias.hostile.example" => DnsAnswer::addresses(["169.254.169.254"])
            .by_alias("innocent.example")
            .by_alias("metadata.google.internal"),
        "mapped.hostile.example" => DnsAnswer::addresses(["::ffff:127.0.0.2"]),
        "nat64.hostile.example" => DnsAnswer::addresses(["64:ff9b::169.254.169.254"]),
        "sixtofour.hostile.example" => DnsAnswer::addresses(["2002:7f00:2::1"]),
        "zero.hostile.example" => DnsAnswer::addresses(["0.0.0.0"]),
        _ => return None,
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn forbidden_addresses_are_refused_and_a_permitted_one_among_them_is_used() {
    let receiver = Receiver::builder()
        .certificate(Certificate::ValidFor("*.hostile.example"))
        .http1_only()
        .start();
    let trap = ForbiddenListener::beside(&receiver);
    let dns = DnsServer::start(lie);
    let database = Database::new(Backend::Sqlite).await;
    let server = serving(&database, &receiver, &dns).start().await;
    let client = server.client("acme");
    let port = receiver.address().port();

    for (event_type, name) in
        [("key.revoked", "mixed.hostile.example"), ("key.rotated", "huge.hostile.example")]
    {
        client.create_endpoint(&format!("https://{name}:{port}/"), &[event_type]).await;
        let delivery = attempt(&client, event_type).await;
        assert_eq!(
            delivery.state(),
            delivery::State::Delivered,
            "{:?}",
            delivery.attempts[0].error
        );
    }
    for (event_type, name, logged) in [
        ("policy.block", "huge-and-forbidden.hostile.example", "10.0.0.1: private address"),
        ("policy.violation", "alias.hostile.example", "169.254.169.254: cloud metadata address"),
        ("user.invited", "mapped.hostile.example", "::ffff:127.0.0.2: loopback address"),
        ("gateway.connected", "nat64.hostile.example", "64:ff9b::a9fe:a9fe: cloud metadata"),
        ("gateway.disconnected", "sixtofour.hostile.example", "2002:7f00:2::1: 6to4 address"),
        ("config.updated", "zero.hostile.example", "0.0.0.0: unspecified address"),
    ] {
        client.create_endpoint(&format!("https://{name}:{port}/"), &[event_type]).await;
        assert_name_refused(&server, &attempt(&client, event_type).await, logged).await;
    }
    client
        .create_endpoint(&format!("https://nothing.hostile.example:{port}/"), &["export.completed"])
        .await;
    assert_not_sent(&attempt(&client, "export.completed").await, "host name has no address");
    assert_eq!(receiver.request_count(), 2);
    trap.assert_untouched();
}

#[tokio::test(flavor = "multi_thread")]
async fn names_of_private_networks_and_forbidden_ports_are_refused_without_asking_dns() {
    let dns = DnsServer::start(|_, _| Some(DnsAnswer::addresses(["127.0.0.1"])));
    let database = Database::new(Backend::Sqlite).await;
    let server = Server::all_in_one(&database)
        .flag("--dns-server", &dns.address().to_string())
        .start()
        .await;
    let client = server.client("acme");
    for (event_type, url, error) in [
        ("key.revoked", "https://metadata.google.internal/", "under .internal are for private"),
        ("key.rotated", "https://no-such-machine/", "without a dot are for private networks"),
        ("policy.block", "https://printer.local./", "under .local are for one link"),
        ("user.invited", "https://app.localhost/", RESOLVED_AND_REFUSED),
        ("config.updated", "https://2130706433/", "127.0.0.1: loopback address"),
        ("export.completed", "https://a.example:25/", "can permit it with --allow-port 25"),
    ] {
        client.create_endpoint(url, &[event_type]).await;
        assert_not_sent(&attempt(&client, event_type).await, error);
    }
    assert!(dns.queried_names().is_empty(), "{:?}", dns.queried_names());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_port_that_the_operator_allows_is_connected_to() {
    let receiver = forgetful_receiver();
    let dns = DnsServer::start(|_, _| None);
    let database = Database::new(Backend::Sqlite).await;
    let server = serving(&database, &receiver, &dns).flag("--allow-port", "1-9").start().await;
    let client = server.client("acme");
    client.create_endpoint("https://127.0.0.1:9/", &["key.rotated"]).await;
    assert_not_sent(&attempt(&client, "key.rotated").await, "127.0.0.1:9 refused the connection");

    client.create_endpoint("https://localhost:9/", &["key.revoked"]).await;
    let by_name = attempt(&client, "key.revoked").await;
    assert_not_sent(&by_name, "the receiver's address refused the connection");
    assert!(!format!("{by_name:?}").contains("127.0.0.1"), "{by_name:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn proxy_variables_of_the_environment_are_ignored() {
    let receiver = Receiver::start(Script::default());
    let trap = ForbiddenListener::beside(&receiver);
    let proxy = format!("http://127.0.0.2:{}", receiver.address().port());
    let database = Database::new(Backend::Sqlite).await;
    let mut server = Server::all_in_one(&database).delivering_to(&receiver);
    for variable in
        ["HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"]
    {
        server = server.env(variable, &proxy);
    }
    let server = server.start().await;
    let client = server.client("acme");
    client.create_endpoint(&receiver.url("/"), &["key.rotated"]).await;
    let delivery = attempt(&client, "key.rotated").await;
    assert_eq!(delivery.state(), delivery::State::Delivered, "{:?}", delivery.attempts[0].error);
    trap.assert_untouched();
}

#[tokio::test(flavor = "multi_thread")]
async fn with_a_proxy_nothing_bypasses_it_and_its_password_is_not_shown() {
    let receiver = Receiver::start(Script::default());
    let proxy = closed_port();
    let database = Database::new(Backend::Sqlite).await;
    let server = Server::all_in_one(&database)
        .delivering_to(&receiver)
        .flag("--outbound-proxy", &format!("http://user:geheim@127.0.0.1:{}", proxy.port()))
        .flag("--log-level", "debug")
        .start()
        .await;
    let client = server.client("acme");
    client.create_endpoint(&receiver.url("/"), &["key.rotated"]).await;
    let delivery = attempt(&client, "key.rotated").await;
    assert_not_sent(&delivery, "the outbound proxy cannot be reached");
    assert!(!delivery.attempts[0].error.contains("geheim"));
    assert!(!server.process().output().contains("geheim"));
    assert_eq!(receiver.connection_count(), 0);
}

#[tokio::test]
async fn a_host_that_looks_like_another_is_shown_in_punycode() {
    let database = Database::new(Backend::Sqlite).await;
    let server = Server::all_in_one(&database).start().await;
    let client = server.client("acme");
    // The first а is Cyrillic.
    let created = client.create_endpoint("https://pаypal.example/hook", &["key.rotated"]).await;
    let endpoint = client.endpoint(&created.id).await;
    assert_eq!(endpoint.url, "https://xn--pypal-4ve.example/hook");

    let update = |url: &str| UpdateEndpointRequest {
        organization_id: client.organization(),
        endpoint: Some(Endpoint {
            id: created.id.clone(),
            url: url.to_owned(),
            ..endpoint.clone()
        }),
        update_mask: Some(FieldMask { paths: vec!["url".to_owned()] }),
        ..Default::default()
    };
    let updated = client.endpoints().update_endpoint(update("https://bücher.example")).await;
    let updated = updated.expect("it is updated").into_inner().endpoint.expect("an endpoint");
    assert_eq!(updated.url, "https://xn--bcher-kva.example/");

    for url in [
        "https://user:password@a.example/",
        "https://a.example@127.0.0.1/",
        "https://a.example\\@127.0.0.1/",
        "https://[fe80::1%25eth0]/",
    ] {
        let create = CreateEndpointRequest {
            organization_id: client.organization(),
            endpoint: Some(Endpoint {
                display_name: "receiver".to_owned(),
                url: url.to_owned(),
                event_types: vec!["key.rotated".to_owned()],
                ..Endpoint::default()
            }),
            ..Default::default()
        };
        let refusals = [
            client.endpoints().create_endpoint(create).await.map(drop),
            client.endpoints().update_endpoint(update(url)).await.map(drop),
        ];
        for refusal in refusals {
            let refusal = refusal.expect_err(url);
            assert_refused(&refusal, Code::InvalidArgument, "INVALID_FIELD");
            let details = refusal.get_details_bad_request().expect("field violations");
            assert_eq!(details.field_violations[0].field, "endpoint.url");
            assert!(!refusal.message().contains("password@"), "{refusal}");
        }
    }
}
