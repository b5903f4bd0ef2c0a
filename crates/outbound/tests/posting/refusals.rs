//! Destinations that are refused, and those that cannot be reached.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use http::Uri;
use keeptrusts_webhooks_outbound::guard::RefusedAddress;
use keeptrusts_webhooks_outbound::{
    OutboundConfig, RefusedPort, SendFailure, Sender, SetupError, TriedAddress,
};
use tokio::net::TcpListener;

use crate::certificates::Authority;
use crate::receiver::{HTTP1, Receiver, empty};
use crate::{answer, config_for, failure, sender_for};

/// A sender that trusts `authority` and has no exceptions to the guard.
fn guarded_sender(authority: &Authority) -> Sender {
    Sender::new(OutboundConfig { allowed_networks: Vec::new(), ..config_for(authority) }).unwrap()
}

fn loopback_refused() -> SendFailure {
    SendFailure::AddressRefused(RefusedAddress {
        address: IpAddr::V4(Ipv4Addr::LOCALHOST),
        reason: "loopback address",
    })
}

#[tokio::test]
async fn a_loopback_address_is_refused_and_not_connected_to() {
    let authority = Authority::new();
    let receiver = Receiver::http(authority.identity(), HTTP1, async |_| empty(200)).await;
    assert_eq!(failure(&guarded_sender(&authority), &receiver.url()).await, loopback_refused());
    assert_eq!(receiver.connections(), 0);
}

#[tokio::test]
async fn a_name_that_resolves_to_loopback_is_refused_and_not_connected_to() {
    let authority = Authority::new();
    let receiver = Receiver::http(authority.identity(), HTTP1, async |_| empty(200)).await;
    let url = receiver.url_for("localhost");
    let failure = failure(&guarded_sender(&authority), &url).await;
    assert_eq!(failure, SendFailure::ResolvedAddressRefused);
    assert_eq!(receiver.connections(), 0);
}

#[tokio::test]
async fn a_mapped_loopback_address_is_refused_and_not_connected_to() {
    let authority = Authority::new();
    let receiver = Receiver::http(authority.identity(), HTTP1, async |_| empty(200)).await;
    let url = receiver.url_for("[::ffff:127.0.0.1]");
    let failure = failure(&guarded_sender(&authority), &url).await;
    assert!(
        matches!(failure, SendFailure::AddressRefused(refused) if refused.reason == "loopback address")
    );
    assert_eq!(receiver.connections(), 0);
}

#[tokio::test]
async fn a_port_that_is_not_allowed_is_not_connected_to() {
    let sender = sender_for(&Authority::new());
    for port in [22, 25, 80, 1023] {
        let url: Uri = format!("https://127.0.0.1:{port}/").parse().unwrap();
        assert_eq!(failure(&sender, &url).await, SendFailure::PortRefused(RefusedPort { port }));
    }
}

#[tokio::test]
async fn a_port_that_is_allowed_is_connected_to() {
    let config = OutboundConfig {
        allowed_ports: vec!["1-2".parse().unwrap()],
        ..config_for(&Authority::new())
    };
    let sender = Sender::new(config).unwrap();
    let url: Uri = "https://127.0.0.1:1/".parse().unwrap();
    let address = SocketAddr::from(([127, 0, 0, 1], 1)).into();
    assert_eq!(failure(&sender, &url).await, SendFailure::ConnectionRefused { address });
}

#[tokio::test]
async fn a_name_of_a_private_network_is_not_looked_up() {
    let sender = guarded_sender(&Authority::new());
    for name in ["metadata.google.internal", "printer.local", "no-such-machine"] {
        let url: Uri = format!("https://{name}/").parse().unwrap();
        assert!(matches!(failure(&sender, &url).await, SendFailure::NameRefused(_)), "{name}");
    }
}

#[tokio::test]
async fn an_allowed_network_is_connected_to_by_name_and_by_address() {
    let authority = Authority::new();
    let receiver = Receiver::http(authority.identity(), HTTP1, async |_| empty(200)).await;
    let sender = sender_for(&authority);
    for host in ["localhost", "localhost.", "127.0.0.1"] {
        assert_eq!(answer(&sender, &receiver.url_for(host)).await.status, 200);
    }
}

#[tokio::test]
async fn a_port_where_nothing_listens_is_refused_by_the_receiver() {
    let free = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let address = free.local_addr().unwrap();
    drop(free);
    let url: Uri = format!("https://{address}/").parse().unwrap();
    assert_eq!(
        failure(&sender_for(&Authority::new()), &url).await,
        SendFailure::ConnectionRefused { address: address.into() }
    );
    let url: Uri = format!("https://localhost:{}/", address.port()).parse().unwrap();
    assert_eq!(
        failure(&sender_for(&Authority::new()), &url).await,
        SendFailure::ConnectionRefused { address: TriedAddress::Resolved }
    );
}

#[tokio::test]
async fn a_url_that_is_not_https_is_not_connected_to() {
    let authority = Authority::new();
    let receiver = Receiver::tcp(async |_| {}).await;
    let url: Uri = format!("http://{}/", receiver.address).parse().unwrap();
    assert_eq!(failure(&sender_for(&authority), &url).await, SendFailure::NotHttps);
    assert_eq!(receiver.connections(), 0);
}

#[tokio::test]
async fn a_url_with_credentials_is_not_connected_to() {
    let authority = Authority::new();
    let receiver = Receiver::tcp(async |_| {}).await;
    let url = receiver.url_for("user:secret@127.0.0.1");
    let failure = failure(&sender_for(&authority), &url).await;
    assert!(matches!(failure, SendFailure::UnusableUrl { .. }));
    assert!(!failure.to_string().contains("secret"));
    assert_eq!(receiver.connections(), 0);
}

#[test]
fn a_sender_is_not_set_up_with_a_bad_root() {
    let mut config = config_for(&Authority::new());
    config.trusted_roots_pem.push(b"not PEM".to_vec());
    let error = Sender::new(config).err();
    assert!(matches!(error, Some(SetupError::TrustedRoot { number: 2, .. })));
}
