//! Encrypted gRPC as operators set it up: files, flags, SIGHUP, and consoles as clients.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use crate::platform::{Backend, Database, PATIENCE, Server, ServerBuilder, console_url};
use keeptrusts_webhooks_contracts::client::Bearer;
use keeptrusts_webhooks_contracts::v1;
use keeptrusts_webhooks_contracts::v1::access_service_client::AccessServiceClient;
use keeptrusts_webhooks_contracts::v1::endpoint_service_client::EndpointServiceClient;
use keeptrusts_webhooks_process::tls::{ServiceConnector, ServiceTlsFlags};
use keeptrusts_webhooks_testkit::first_key::FIRST_KEY;
use keeptrusts_webhooks_testkit::http::{self, Method};
use keeptrusts_webhooks_testkit::process::{Launch, Process, Signal};
use keeptrusts_webhooks_testkit::receiver::Authority;
use rustls::pki_types::{CertificateDer, ServerName};
use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tonic::Status;
use tonic::transport::Channel;

const SERVICES: [&str; 5] = [
    "--endpoint-service",
    "--ingest-service",
    "--dispatch-service",
    "--access-service",
    "--notification-service",
];

/// An authority, and the folder with a server's and a client's files.
struct Certificates {
    authority: Authority,
    folder: TempDir,
}

impl Certificates {
    fn new() -> Certificates {
        Certificates::of(Authority::new())
    }

    fn of(authority: Authority) -> Certificates {
        let folder = tempfile::tempdir().expect("a folder");
        let certificates = Certificates { authority, folder };
        certificates.write("ca.pem", certificates.authority.pem());
        certificates.issue("server");
        certificates.issue("client");
        certificates
    }

    /// Writes NAME.pem and NAME.key, replacing existing ones.
    fn issue(&self, name: &str) {
        let (certificate, key) = self.authority.identity_pem(name);
        self.write(&format!("{name}.pem"), &certificate);
        self.write(&format!("{name}.key"), &key);
    }

    fn write(&self, name: &str, content: &str) {
        std::fs::write(self.path(name), content).expect("written");
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn text(&self, name: &str) -> String {
        self.path(name).to_str().expect("UTF-8").to_owned()
    }

    /// Serves with TLS.
    fn encrypt(&self, server: ServerBuilder) -> ServerBuilder {
        let server = server.flag("--tls-cert", &self.text("server.pem"));
        server.flag("--tls-key", &self.text("server.key"))
    }

    /// Serves with mutual TLS.
    fn encrypt_mutually(&self, server: ServerBuilder) -> ServerBuilder {
        self.encrypt(server).flag("--tls-client-ca", &self.text("ca.pem"))
    }

    fn client(&self) -> ServiceTlsFlags {
        ServiceTlsFlags {
            services_ca: Some(self.path("ca.pem")),
            services_cert: Some(self.path("client.pem")),
            services_key: Some(self.path("client.key")),
        }
    }

    fn channel(&self, server: SocketAddr) -> Channel {
        let tls = self.client().load().expect("the files are right");
        let address = format!("https://{server}").parse().expect("a URL");
        ServiceConnector::new(tls).channel(address, |endpoint| endpoint)
    }

    /// The certificate that a new connection gets.
    async fn shown_by(&self, server: SocketAddr) -> CertificateDer<'static> {
        let config = self.client().load().expect("the files are right").current();
        let stream = TcpStream::connect(server).await.expect("it listens");
        let connector = TlsConnector::from(Arc::clone(&config));
        let stream = connector.connect(ServerName::from(server.ip()), stream).await;
        let stream = stream.expect("a handshake");
        let chain = stream.get_ref().1.peer_certificates().expect("a chain");
        chain[0].clone().into_owned()
    }
}

fn bearer() -> Bearer {
    Bearer::new(FIRST_KEY).expect("a token")
}

/// The status of a page of the console for somebody who has signed in.
async fn page(console: &str, services: Channel) -> u16 {
    let request = v1::CreateSessionRequest {
        organization_id: "default".to_owned(),
        expiration: None,
        ..Default::default()
    };
    let opened = AccessServiceClient::new(bearer().on(services)).create_session(request).await;
    let cookie = format!("keeptrusts_console={}", opened.expect("a session").into_inner().token);
    let url = format!("{console}/webhooks");
    let cookie = [("cookie", cookie.as_str())];
    http::Client::new().send(Method::GET, &url, &cookie, "".into()).await.status
}

/// The status of a page of a console in a process of its own, with these flags and files.
async fn page_of_own_console(
    certificates: &Certificates,
    server: SocketAddr,
    flags: &[(&str, &str)],
) -> (u16, Process) {
    let services = format!("https://localhost:{}", server.port());
    let mut launch = Launch::binary("console").args(["--console-listen", "127.0.0.1:0"]);
    for service in SERVICES {
        launch = launch.args([service, &services]);
    }
    for (flag, file) in flags {
        launch = launch.arg(flag).arg(certificates.path(file));
    }
    let process = launch.start();
    let line = process.wait_for_line(|line| console_url(line).is_some(), PATIENCE).await;
    let url = console_url(&line).expect("chosen for it").to_owned();
    (page(&url, certificates.channel(server)).await, process)
}

async fn endpoints(channel: Channel) -> Result<usize, Status> {
    let request =
        v1::ListEndpointsRequest { organization_id: "default".to_owned(), ..Default::default() };
    let answer = EndpointServiceClient::new(bearer().on(channel)).list_endpoints(request).await?;
    Ok(answer.into_inner().endpoints.len())
}

#[tokio::test]
async fn a_renewed_certificate_is_shown_after_sighup_and_open_connections_go_on() {
    let certificates = Certificates::new();
    let database = Database::new(Backend::Sqlite).await;
    let server = certificates.encrypt(Server::all_in_one(&database)).start().await;
    let open = certificates.channel(server.address());
    assert_eq!(endpoints(open.clone()).await.expect("served"), 0);
    let before = certificates.shown_by(server.address()).await;

    certificates.write("server.pem", "half of a renewal");
    server.process().signal(Signal::Hangup);
    let refused = |line: &str| line.contains("those read before stay in use");
    let line = server.process().wait_for_line(refused, PATIENCE).await;
    assert!(line.contains("--tls-cert") && line.contains("ERROR"), "{line}");
    assert_eq!(certificates.shown_by(server.address()).await, before);

    certificates.issue("server");
    server.process().signal(Signal::Hangup);
    let renewed = |line: &str| line.contains("the TLS files were read again");
    server.process().wait_for_line(renewed, PATIENCE).await;
    assert_ne!(certificates.shown_by(server.address()).await, before);
    assert_eq!(endpoints(open).await.expect("the open connection goes on"), 0);
}

#[tokio::test]
async fn a_process_without_tls_survives_a_sighup() {
    let database = Database::new(Backend::Sqlite).await;
    let mut server = Server::all_in_one(&database).start().await;
    server.process().signal(Signal::Hangup);
    let told = |line: &str| line.contains("asked to read keys and certificates again");
    server.process().wait_for_line(told, PATIENCE).await;
    server.stop().await;
}

#[tokio::test]
async fn the_console_of_the_process_works_when_clients_need_certificates() {
    let certificates = Certificates::new();
    let database = Database::new(Backend::Sqlite).await;
    let server = certificates.encrypt_mutually(Server::all_in_one(&database)).start().await;
    endpoints(certificates.channel(server.address())).await.expect("served with a certificate");
    let console = server.console().await;
    assert_eq!(page(&console, certificates.channel(server.address())).await, 200);
}

#[tokio::test]
async fn a_console_of_its_own_reaches_services_by_mutual_tls() {
    let certificates = Certificates::new();
    let database = Database::new(Backend::Sqlite).await;
    let server = certificates.encrypt_mutually(Server::all_in_one(&database)).start().await;
    let console = async |flags: &[(&str, &str)]| {
        page_of_own_console(&certificates, server.address(), flags).await
    };
    let (status, _) = console(&[
        ("--services-ca", "ca.pem"),
        ("--services-cert", "client.pem"),
        ("--services-key", "client.key"),
    ])
    .await;
    assert_eq!(status, 200);
    let (status, _) = console(&[("--services-ca", "ca.pem")]).await;
    assert_eq!(status, 503, "a certificate is needed");
    certificates.write("other.pem", Authority::new().pem());
    let (status, process) = console(&[("--services-ca", "other.pem")]).await;
    assert_eq!(status, 503, "the services are not trusted");
    let told =
        |line: &str| line.contains("the service's certificate was rejected: the trusted issuer");
    process.wait_for_line(told, PATIENCE).await;
}

/// A self-signed client certificate is its own authority, as `openssl req -x509` makes it: the file
/// can be named, but the client is refused all the same.
#[tokio::test]
async fn a_client_that_is_refused_for_its_certificate_is_logged() {
    let certificates = Certificates::new();
    let database = Database::new(Backend::Sqlite).await;
    let server = certificates.encrypt_mutually(Server::all_in_one(&database)).start().await;
    for ((certificate, key), reason) in [
        (certificates.authority.own_identity_pem(), "(CA:TRUE)"),
        (Authority::new().identity_pem("client"), "did not sign it"),
    ] {
        certificates.write("client.pem", &certificate);
        certificates.write("client.key", &key);
        endpoints(certificates.channel(server.address())).await.expect_err("it is refused");
        let is_told = |line: &str| {
            line.contains(" INFO ")
                && line.contains("refused a client for its certificate, see --tls-client-ca")
                && line.contains(reason)
        };
        server.process().wait_for_line(is_told, PATIENCE).await;
    }
}

#[tokio::test]
async fn a_console_of_its_own_trusts_services_whose_self_signed_certificate_is_named() {
    let certificates = Certificates::of(Authority::self_signed_server());
    let database = Database::new(Backend::Sqlite).await;
    let server = certificates.encrypt(Server::all_in_one(&database)).start().await;
    let named = [("--services-ca", "ca.pem")];
    let (status, _) = page_of_own_console(&certificates, server.address(), &named).await;
    assert_eq!(status, 200);
    let (status, process) = page_of_own_console(&certificates, server.address(), &[]).await;
    assert_eq!(status, 503, "the services are not trusted");
    process.wait_for_line(|line| line.contains("self-signed"), PATIENCE).await;
}

#[tokio::test]
async fn every_process_refuses_to_listen_beyond_this_machine_in_clear() {
    for command in [
        ["keeptrusts-webhooks", "serve"].as_slice(),
        &["endpoint-service"],
        &["ingest-service"],
        &["dispatch-service"],
        &["access-service"],
        &["notification-service"],
    ] {
        let folder = tempfile::tempdir().expect("a folder");
        let mut process = Launch::binary(command[0])
            .args(&command[1..])
            .args(["--listen", "0.0.0.0:0", "--data-dir"])
            .arg(folder.path())
            .env("KEEPTRUSTS_WEBHOOKS_DATABASE_URL", "postgres://localhost:1/none")
            .start();
        assert!(!process.wait_exit(PATIENCE).await.success(), "{command:?}");
        let said = process.output();
        assert!(said.contains("cannot listen on 0.0.0.0:0 without TLS"), "{command:?}\n{said}");
        assert!(said.contains("--tls-cert") && said.contains("--insecure"), "{command:?}\n{said}");
    }
}
