//! Errors at the start about unusable files and addresses.

use std::io;
use std::sync::{Arc, Mutex};

use clap::Parser;
use keeptrusts_webhooks_process::grpc_server::Listener;
use keeptrusts_webhooks_process::tls::{ServerTlsFlags, ServiceTlsFlags};

use crate::certificates::{Authority, Files, display};

async fn refusal(address: &str, flags: &ServerTlsFlags) -> String {
    let address = address.parse().expect("an address");
    let bound = Listener::bind_secured(address, "--listen", flags).await;
    bound.expect_err("it will not do").to_string()
}

#[tokio::test]
async fn an_unusable_file_is_named_with_its_flag() {
    let (authority, files) = (Authority::new("authority"), Files::new());
    let right = files.mutual(&authority.identity("server"), &authority);
    let missing = files.path("missing.pem");
    let text = files.write("text.pem", "hello");
    let cut_off = files.write("cut-off.pem", "-----BEGIN CERTIFICATE-----\nAAAA\n");
    let nonsense = files
        .write("nonsense.pem", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
    let other_key = files.write("other.key", &authority.identity("other").key);
    let (certificate, key) = (files.path("server.pem"), files.path("server.key"));
    let with = |change: &dyn Fn(&mut ServerTlsFlags)| {
        let mut flags = right.clone();
        change(&mut flags);
        flags
    };
    let server = files.write("self-signed.pem", &Authority::self_signed_server().pem());
    for (flags, expected) in [
        (
            with(&|flags| flags.tls_cert = Some(missing.clone())),
            format!(
                "cannot read the --tls-cert file {}: check that it is there and that this user may read it",
                display(&missing)
            ),
        ),
        (
            with(&|flags| flags.tls_key = Some(missing.clone())),
            format!(
                "cannot read the --tls-key file {}: check that it is there and that this user may read it",
                display(&missing)
            ),
        ),
        (
            with(&|flags| flags.tls_client_ca = Some(text.clone())),
            format!(
                "the --tls-client-ca file {} has no certificate in PEM form: there must be a line -----BEGIN CERTIFICATE-----",
                display(&text)
            ),
        ),
        (
            with(&|flags| flags.tls_key = Some(certificate.clone())),
            format!(
                "the --tls-key file {} has no private key in PEM form: there must be a line -----BEGIN PRIVATE KEY-----",
                display(&certificate)
            ),
        ),
        (
            with(&|flags| flags.tls_cert = Some(cut_off.clone())),
            format!(
                "the --tls-cert file {} is not valid PEM: copy it again, it may be cut off",
                display(&cut_off)
            ),
        ),
        (
            with(&|flags| flags.tls_cert = Some(nonsense.clone())),
            format!("the --tls-cert file {} cannot be used", display(&nonsense)),
        ),
        (
            with(&|flags| flags.tls_client_ca = Some(nonsense.clone())),
            format!(
                "the --tls-client-ca file {} has a certificate that cannot be read (number 1)",
                display(&nonsense)
            ),
        ),
        (
            with(&|flags| flags.tls_client_ca = Some(server.clone())),
            format!(
                "the --tls-client-ca file {} has a certificate with server names (subjectAltName), number 1: name the authority that issues the clients' certificates, which must have none",
                display(&server)
            ),
        ),
        (
            with(&|flags| flags.tls_key = Some(other_key.clone())),
            format!(
                "the --tls-key file {} does not fit the first certificate of the --tls-cert file {}: give the key that this certificate was issued for",
                display(&other_key),
                display(&certificate)
            ),
        ),
    ] {
        assert_eq!(refusal("127.0.0.1:0", &flags).await, expected);
    }
    assert!(key.is_file());
}

#[test]
fn a_file_without_a_usable_authority_is_named_with_its_flag() {
    let files = Files::new();
    let load = |path| ServiceTlsFlags { services_ca: Some(path), ..Default::default() }.load();
    let text = files.write("text.pem", "hello");
    assert_eq!(
        load(text.clone()).expect_err("it will not do").to_string(),
        format!(
            "the --services-ca file {} has no certificate in PEM form: there must be a line -----BEGIN CERTIFICATE-----",
            display(&text)
        )
    );
}

/// The lines that this thread logs meanwhile.
fn logged(act: impl FnOnce()) -> String {
    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().expect("no panic").write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    let lines = Lines::default();
    let writer = lines.clone();
    let subscriber = tracing_subscriber::fmt().with_writer(move || writer.clone()).finish();
    tracing::subscriber::with_default(subscriber, act);
    let bytes = lines.0.lock().expect("no panic").clone();
    String::from_utf8(bytes).expect("text")
}

#[test]
fn a_certificate_that_has_expired_is_used_with_a_warning() {
    let (authority, files) = (Authority::new("authority"), Files::new());
    let flags = files.server(&authority.expired_identity("server"));
    let said = logged(|| assert!(flags.load().expect("it can be used").is_some()));
    assert!(said.contains("WARN") && said.contains("--tls-cert has expired"), "{said}");
    assert!(said.contains(&display(&files.path("server.pem"))), "{said}");

    let flags = files.server(&authority.identity("server"));
    let said = logged(|| assert!(flags.load().expect("it can be used").is_some()));
    assert_eq!(said, "");
}

#[tokio::test]
async fn an_address_for_other_machines_needs_tls_or_insecure() {
    let (authority, files) = (Authority::new("authority"), Files::new());
    let encrypted = files.server(&authority.identity("server"));
    let insecure = ServerTlsFlags { insecure: true, ..Default::default() };
    let neither = ServerTlsFlags::default();
    for beyond in ["0.0.0.0:0", "[::]:0"] {
        assert_eq!(
            refusal(beyond, &neither).await,
            format!(
                "cannot listen on {beyond} without TLS: other machines can reach it, and nothing would be encrypted; give --tls-cert and --tls-key, or permit it with --insecure if the network is private"
            )
        );
    }
    for (address, flags) in
        [("0.0.0.0:0", &encrypted), ("0.0.0.0:0", &insecure), ("127.0.0.1:0", &neither)]
    {
        let address = address.parse().expect("an address");
        Listener::bind_secured(address, "--listen", flags).await.expect("permitted");
    }
}

#[test]
fn certificate_and_key_must_be_given_together() {
    #[derive(Debug, Parser)]
    struct Flags {
        #[command(flatten)]
        _tls: ServerTlsFlags,
    }
    for wrong in [
        ["program", "--tls-cert=a"].as_slice(),
        &["program", "--tls-key=b"],
        &["program", "--tls-client-ca=c"],
    ] {
        let error = Flags::try_parse_from(wrong).expect_err("one is missing").to_string();
        assert!(error.contains("required arguments were not provided"), "{error}");
    }
    Flags::try_parse_from(["program", "--tls-cert=a", "--tls-key=b", "--tls-client-ca=c"])
        .expect("all are there");
}
