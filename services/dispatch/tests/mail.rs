//! Mail through a real SMTP server: encryption, and which certificates are trusted.

use std::fs;

use keeptrusts_webhooks_dispatch_service::Mailer;
use keeptrusts_webhooks_dispatch_service::mail::{MailFailure, SmtpFlags, SmtpTls};
use keeptrusts_webhooks_notification_formats::email::Mail;
use keeptrusts_webhooks_testkit::mail::{Behaviour, MailServer, ReceivedMail};
use keeptrusts_webhooks_testkit::receiver::{Authority, Certificate};
use tempfile::TempDir;

/// Both kinds of encryption, with the servers that they need.
const ENCRYPTED: [SmtpTls; 2] = [SmtpTls::Starttls, SmtpTls::Implicit];

fn behaviour(tls: SmtpTls) -> Behaviour {
    Behaviour { implicit_tls: tls == SmtpTls::Implicit, ..Behaviour::default() }
}

/// Sends one mail to `server`, trusting the certificates in the PEM.
async fn send(server: &MailServer, tls: SmtpTls, pem: &str) -> Result<u16, MailFailure> {
    let folder = TempDir::new().expect("a folder");
    let ca = folder.path().join("ca.pem");
    fs::write(&ca, pem).expect("written");
    let flags = SmtpFlags {
        smtp_server: Some(server.address().to_string().parse().expect("host and port")),
        smtp_tls: tls,
        smtp_from: Some("webhooks@example.com".parse().expect("an address")),
        smtp_ca: (tls != SmtpTls::None).then_some(ca),
        ..SmtpFlags::default()
    };
    let mailer = flags.mailer().expect("the flags are right").expect("there is a server");
    let mail = Mail {
        recipients: vec!["ops@example.com".to_owned()],
        subject: "subject".to_owned(),
        text: "text\n".to_owned(),
        message_id: "ntf_1".to_owned(),
    };
    mailer.send(&mail).await
}

fn only(server: &MailServer) -> ReceivedMail {
    let mut mails = server.mails();
    assert_eq!(mails.len(), 1);
    mails.remove(0)
}

#[tokio::test]
async fn a_server_of_a_named_authority_is_trusted() {
    for tls in ENCRYPTED {
        let authority = Authority::new();
        let server = MailServer::start(&authority, behaviour(tls)).await;
        assert_eq!(send(&server, tls, authority.pem()).await, Ok(250));
        let mail = only(&server);
        assert!(mail.is_encrypted);
        assert_eq!(mail.to, ["ops@example.com"]);
        assert!(mail.content.contains("\n\ntext\n"), "{}", mail.content);
    }
}

#[tokio::test]
async fn a_self_signed_server_is_trusted_for_itself_if_it_is_named() {
    for tls in ENCRYPTED {
        let own = Authority::self_signed_server();
        let server = MailServer::start(&own, behaviour(tls)).await;
        assert_eq!(send(&server, tls, own.pem()).await, Ok(250));
        assert!(only(&server).is_encrypted);
    }
}

#[tokio::test]
async fn a_server_that_cannot_be_trusted_gets_no_mail_and_it_is_said_why() {
    for tls in ENCRYPTED {
        for (certificate, server, named, reason) in [
            (
                Certificate::Valid,
                Authority::self_signed_server(),
                Authority::new().pem().to_owned(),
                "self-signed",
            ),
            (Certificate::Expired, Authority::new(), String::new(), "it has expired"),
            (Certificate::WrongName, Authority::new(), String::new(), "not for the host name"),
            (
                Certificate::ValidFor("mail.example.com"),
                Authority::self_signed_server(),
                String::new(),
                "as a server and not as an authority",
            ),
        ] {
            let named = if named.is_empty() { server.pem().to_owned() } else { named };
            let server =
                MailServer::start_with_certificate(certificate, &server, behaviour(tls)).await;
            let failure = send(&server, tls, &named).await.expect_err("it is not trusted");
            assert_eq!(failure.status_code, None);
            let cause = failure.cause;
            assert!(cause.contains(reason), "{cause}");
            assert!(server.mails().is_empty());
        }
    }
}

#[tokio::test]
async fn a_server_without_starttls_gets_no_mail() {
    let authority = Authority::new();
    let behaviour = Behaviour { without_starttls: true, ..Behaviour::default() };
    let server = MailServer::start(&authority, behaviour).await;
    let failure = send(&server, SmtpTls::Starttls, authority.pem()).await.expect_err("not sent");
    assert!(failure.cause.contains("does not offer STARTTLS"), "{}", failure.cause);
    assert!(server.mails().is_empty());
}

#[tokio::test]
async fn a_server_on_the_same_machine_can_be_spoken_to_in_clear() {
    let authority = Authority::new();
    let server = MailServer::start(&authority, Behaviour::default()).await;
    assert_eq!(send(&server, SmtpTls::None, authority.pem()).await, Ok(250));
    assert!(!only(&server).is_encrypted);
}

#[test]
fn a_file_that_names_nobody_to_trust_is_refused_at_the_start() {
    let folder = TempDir::new().expect("a folder");
    let ca = folder.path().join("ca.pem");
    fs::write(&ca, "hello").expect("written");
    let flags = SmtpFlags {
        smtp_server: "mail.example.com:587".parse().ok(),
        smtp_from: "webhooks@example.com".parse().ok(),
        smtp_ca: Some(ca.clone()),
        ..SmtpFlags::default()
    };
    let Err(error) = flags.mailer() else { panic!("there is no certificate in it") };
    let expected = format!("the --smtp-ca file {} has no certificate", ca.display());
    assert!(error.to_string().starts_with(&expected), "{error}");
    let in_clear = SmtpFlags { smtp_tls: SmtpTls::None, ..flags };
    let Err(error) = in_clear.mailer() else { panic!("nobody would read it") };
    assert!(error.to_string().contains("--smtp-ca is of no use with --smtp-tls none"), "{error}");
}
