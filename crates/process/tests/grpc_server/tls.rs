//! TLS and mutual TLS, with the connector of our own processes.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use keeptrusts_webhooks_process::grpc_server::{LimitFlags, Listener};
use keeptrusts_webhooks_process::tls::{
    Reloadable, ServerTlsFlags, ServiceConnector, ServiceTlsFlags,
};
use rustls::{ClientConfig, ServerConfig};
use rustls_pki_types::{CertificateDer, ServerName};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tonic::transport::{Channel, Endpoint};

use crate::certificates::{Authority, Files};
use crate::fixture::{Fixture, PATIENCE, peer};
use crate::raw::RawClient;

type ServerTls = Arc<Reloadable<ServerConfig>>;

async fn serve(flags: &ServerTlsFlags, limits: LimitFlags) -> (Fixture, ServerTls) {
    let address = "127.0.0.1:0".parse().expect("an address");
    let listener = Listener::bind_secured(address, "--listen", flags).await.expect("a listener");
    let tls = listener.tls().cloned().expect("it is encrypted");
    (Fixture::serving(listener, limits, PATIENCE), tls)
}

fn channel(server: SocketAddr, tls: Arc<Reloadable<ClientConfig>>) -> Channel {
    let address = format!("https://{server}").parse().expect("a URI");
    ServiceConnector::new(tls).channel(address, |endpoint| endpoint)
}

fn client(server: SocketAddr, flags: &ServiceTlsFlags) -> Channel {
    channel(server, flags.load().expect("the files are right"))
}

/// The certificate that a new connection gets.
async fn shown_to(server: SocketAddr, flags: &ServiceTlsFlags) -> CertificateDer<'static> {
    let connector = TlsConnector::from(flags.load().expect("the files are right").current());
    let stream = TcpStream::connect(server).await.expect("accepted");
    let name = ServerName::from(server.ip());
    let stream = connector.connect(name, stream).await.expect("a handshake");
    let (_, session) = stream.get_ref();
    session.peer_certificates().expect("a chain")[0].clone().into_owned()
}

#[tokio::test]
async fn a_client_that_trusts_the_authority_is_served_and_known_by_its_address() {
    let (authority, files) = (Authority::new("authority"), Files::new());
    let flags = files.server(&authority.identity("server"));
    let (fixture, _) = serve(&flags, LimitFlags::default()).await;
    let seen = peer(client(fixture.address, &files.client(&authority))).await.expect("served");
    let seen: SocketAddr = seen.parse().expect("an address and no certificate");
    assert!(seen.ip().is_loopback() && seen.port() != fixture.address.port(), "{seen}");
}

#[tokio::test]
async fn a_client_without_tls_is_refused() {
    let (authority, files) = (Authority::new("authority"), Files::new());
    let flags = files.server(&authority.identity("server"));
    let (fixture, _) = serve(&flags, LimitFlags::default()).await;
    let endpoint = Endpoint::from_shared(format!("http://{}", fixture.address)).expect("a URI");
    peer(endpoint.connect_lazy()).await.expect_err("it is not understood");
}

#[tokio::test]
async fn a_server_with_a_certificate_of_another_authority_is_not_trusted() {
    let (authority, files) = (Authority::new("authority"), Files::new());
    let flags = files.server(&authority.identity("server"));
    let (fixture, _) = serve(&flags, LimitFlags::default()).await;
    let stranger = files.client(&Authority::new("another"));
    let refused = peer(client(fixture.address, &stranger)).await.expect_err("it is not trusted");
    let said = format!("{refused:?}");
    assert!(said.contains("its issuer is not trusted"), "{said}");
    assert!(said.contains("--services-ca"), "{said}");
}

#[tokio::test]
async fn a_self_signed_server_is_trusted_for_itself_if_it_is_named() {
    let (own, files) = (Authority::self_signed_server(), Files::new());
    let (fixture, _) = serve(&files.server(&own.own_identity()), LimitFlags::default()).await;
    peer(client(fixture.address, &files.client(&own))).await.expect("served");
    let stranger = files.client(&Authority::new("another"));
    let refused = peer(client(fixture.address, &stranger)).await.expect_err("it is not trusted");
    let said = format!("{refused:?}");
    assert!(said.contains("self-signed"), "{said}");

    // Its key cannot sign for another server.
    let (fixture, _) = serve(&files.server(&own.identity("server")), LimitFlags::default()).await;
    let refused = peer(client(fixture.address, &files.client(&own))).await;
    let said = format!("{:?}", refused.expect_err("it is not trusted"));
    assert!(said.contains("not as an authority"), "{said}");
}

#[tokio::test]
async fn mutual_tls_serves_those_with_a_certificate_and_knows_them_by_it() {
    let (servers, clients) = (Authority::new("servers"), Authority::new("clients"));
    let files = Files::new();
    let flags = files.mutual(&servers.identity("server"), &clients);
    let (fixture, _) = serve(&flags, LimitFlags::default()).await;

    let own = files.client_with(&servers, &clients.identity("console"));
    let seen = peer(client(fixture.address, &own)).await.expect("served");
    assert!(seen.ends_with(" (CN=console)"), "{seen}");

    let without = client(fixture.address, &files.client(&servers));
    peer(without).await.expect_err("a certificate is needed");
    let another = Authority::new("another").identity("console");
    let another = client(fixture.address, &files.client_with(&servers, &another));
    peer(another).await.expect_err("its authority is not trusted");
    let expired = clients.expired_identity("console");
    let expired = client(fixture.address, &files.client_with(&servers, &expired));
    peer(expired).await.expect_err("its time is over");
}

#[tokio::test]
async fn a_client_within_the_process_needs_no_certificate() {
    let (servers, clients) = (Authority::new("servers"), Authority::new("clients"));
    let flags = Files::new();
    let flags = flags.mutual(&servers.identity("server"), &clients);
    let (fixture, _) = serve(&flags, LimitFlags::default()).await;
    let channel = Endpoint::from_static("http://this-process")
        .connect_with_connector_lazy(fixture.in_process.clone());
    assert_eq!(peer(channel).await.expect("served"), "this process");
}

#[tokio::test]
async fn new_tls_files_apply_to_new_connections_only() {
    let (authority, files) = (Authority::new("authority"), Files::new());
    let flags = files.server(&authority.identity("server"));
    let (fixture, tls) = serve(&flags, LimitFlags::default()).await;
    let trusting = files.client(&authority);
    let open = client(fixture.address, &trusting);
    let address = peer(open.clone()).await.expect("served");
    let before = shown_to(fixture.address, &trusting).await;

    files.server(&authority.identity("server"));
    assert_eq!(shown_to(fixture.address, &trusting).await, before, "nobody has asked yet");
    tls.reload().expect("the new files are right");
    assert_ne!(shown_to(fixture.address, &trusting).await, before);
    assert_eq!(peer(open).await.expect("served"), address, "by the same connection");
}

#[tokio::test]
async fn wrong_tls_files_leave_the_old_configuration_in_use() {
    let (authority, files) = (Authority::new("authority"), Files::new());
    let flags = files.server(&authority.identity("server"));
    let (fixture, tls) = serve(&flags, LimitFlags::default()).await;
    let trusting = files.client(&authority);
    let before = shown_to(fixture.address, &trusting).await;
    // A renewal that is half done.
    files.write("server.pem", &authority.identity("server").certificate);
    let error = tls.reload().expect_err("the key is that of the old certificate");
    assert!(error.to_string().contains("does not fit"), "{error}");
    assert_eq!(shown_to(fixture.address, &trusting).await, before);
}

#[tokio::test]
async fn the_authority_of_clients_can_be_changed_as_well() {
    let (servers, old, new) =
        (Authority::new("servers"), Authority::new("old"), Authority::new("new"));
    let files = Files::new();
    let flags = files.mutual(&servers.identity("server"), &old);
    let (fixture, tls) = serve(&flags, LimitFlags::default()).await;
    let own = files.client_with(&servers, &old.identity("console"));
    let reloadable = own.load().expect("the files are right");
    peer(channel(fixture.address, Arc::clone(&reloadable))).await.expect("served");

    files.write("client-ca.pem", &new.pem());
    tls.reload().expect("the new file is right");
    let refused = channel(fixture.address, Arc::clone(&reloadable));
    peer(refused).await.expect_err("its authority is no longer trusted");
    files.client_with(&servers, &new.identity("console"));
    reloadable.reload().expect("the client's new files are right");
    peer(channel(fixture.address, reloadable)).await.expect("served");
}

#[tokio::test]
async fn tls_1_2_is_spoken_as_well_and_nothing_but_http_2_by_it() {
    let (authority, files) = (Authority::new("authority"), Files::new());
    let flags = files.server(&authority.identity("server"));
    let (fixture, _) = serve(&flags, LimitFlags::default()).await;
    let roots = rustls_pki_types::pem::PemObject::from_pem_slice(authority.pem().as_bytes());
    let mut store = rustls::RootCertStore::empty();
    store.add(roots.expect("a certificate")).expect("an authority");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let handshake = async |protocol: &[u8]| {
        let mut config = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(&[&rustls::version::TLS12])
            .expect("ring knows it")
            .with_root_certificates(store.clone())
            .with_no_client_auth();
        config.alpn_protocols = vec![protocol.to_vec()];
        let stream = TcpStream::connect(fixture.address).await.expect("accepted");
        let name = ServerName::from(fixture.address.ip());
        TlsConnector::from(Arc::new(config)).connect(name, stream).await
    };
    let stream = handshake(b"h2").await.expect("a handshake");
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(b"h2".as_slice()));
    handshake(b"http/1.1").await.expect_err("gRPC needs HTTP/2");
}

#[tokio::test]
async fn slow_handshakes_delay_nobody_and_end_in_time() {
    let (authority, files) = (Authority::new("authority"), Files::new());
    let flags = files.server(&authority.identity("server"));
    let limits = LimitFlags { handshake_timeout: Duration::from_secs(1), ..LimitFlags::default() };
    let (fixture, _) = serve(&flags, limits).await;
    let mut silent = Vec::new();
    for _ in 0..10 {
        silent.push(RawClient::silent(fixture.address).await);
    }
    peer(client(fixture.address, &files.client(&authority))).await.expect("served");
    for client in silent {
        client.ends_without_a_word().await;
    }
}

#[tokio::test]
async fn there_are_no_more_tls_handshakes_at_once_than_allowed() {
    let (authority, files) = (Authority::new("authority"), Files::new());
    let flags = files.server(&authority.identity("server"));
    let limits = LimitFlags { max_handshakes: 1, ..LimitFlags::default() };
    let (fixture, _) = serve(&flags, limits).await;
    // Accepted in order: the second is closed because the first is still in its handshake.
    let first = RawClient::silent(fixture.address).await;
    RawClient::silent(fixture.address).await.ends_without_a_word().await;
    drop(first);
}

#[tokio::test]
async fn handshakes_do_not_delay_the_shutdown() {
    let (authority, files) = (Authority::new("authority"), Files::new());
    let flags = files.server(&authority.identity("server"));
    let (fixture, _) = serve(&flags, LimitFlags::default()).await;
    let silent = RawClient::silent(fixture.address).await;
    peer(client(fixture.address, &files.client(&authority))).await.expect("served");
    fixture.shutdown.cancel();
    fixture.ended().await;
    silent.ends_without_a_word().await;
}
