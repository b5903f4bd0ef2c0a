//! Sends mail through the operator's SMTP server, or a simulated one.

mod failure_text;
mod smtp_server;
mod transport;

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use clap::{Args, ValueEnum};
use keeptrusts_webhooks_notification_formats::email::Mail;
use keeptrusts_webhooks_trust::{TrustStore, UnusableCertificates};
use lettre::Address;
use lettre::message::header::{ContentType, HeaderName, HeaderValue};
use lettre::message::{Mailbox, Message};
use lettre::transport::smtp::authentication::Credentials;
use rustls::pki_types::ServerName;
use tokio_rustls::TlsConnector;

use self::smtp_server::CA_FLAG;
pub use self::smtp_server::SmtpServer;
use self::transport::{Encryption, SmtpTransport, Tls};

/// Sends mail, within limits of its own.
#[async_trait]
pub trait Mailer: Send + Sync + 'static {
    /// Hands a mail to the server. Returns the server's reply code.
    async fn send(&self, mail: &Mail) -> Result<u16, MailFailure>;
}

/// Why a mail was not accepted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{problem}")]
pub struct MailFailure {
    /// The server's reply code (RFC 5321 section 4.2). None: it did not reply.
    pub status_code: Option<u16>,
    /// For the channel's owner: our text, never the server's.
    pub problem: String,
    /// For operators, with the server's text. Shows no password.
    pub cause: String,
}

/// How connections to the SMTP server are encrypted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum SmtpTls {
    /// STARTTLS, which the server must offer.
    #[default]
    Starttls,
    /// TLS from the first byte, as on port 465.
    Implicit,
    /// Not at all: for a server on the same machine.
    None,
}

/// Its Debug shows nothing.
#[derive(Clone)]
pub struct SmtpPassword(String);

impl From<String> for SmtpPassword {
    fn from(text: String) -> SmtpPassword {
        SmtpPassword(text)
    }
}

impl fmt::Debug for SmtpPassword {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SmtpPassword")
    }
}

/// The SMTP server that notifications by e-mail go through.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "E-mail")]
pub struct SmtpFlags {
    /// The SMTP server for notifications by e-mail, as HOST:PORT. Without it, e-mail channels
    /// cannot be created.
    #[arg(long, value_name = "HOST:PORT", requires = "smtp_from")]
    pub smtp_server: Option<SmtpServer>,

    /// How the connection to it is encrypted. `starttls` demands it; `none` is for a server on the
    /// same machine.
    #[arg(long, value_name = "HOW", value_enum, default_value_t, requires = "smtp_server")]
    pub smtp_tls: SmtpTls,

    /// The user name for it.
    #[arg(long, value_name = "NAME", requires = "smtp_server")]
    pub smtp_username: Option<String>,

    /// The password for it. Other users of the machine may see flags: prefer the variable, or
    /// --smtp-password-file.
    #[arg(
        long,
        value_name = "PASSWORD",
        hide_env_values = true,
        requires = "smtp_username",
        conflicts_with = "smtp_password_file"
    )]
    pub smtp_password: Option<SmtpPassword>,

    /// A file with the password for it.
    #[arg(long, value_name = "FILE", requires = "smtp_username")]
    pub smtp_password_file: Option<PathBuf>,

    /// Who notifications by e-mail are from, for example webhooks@example.com.
    #[arg(long, value_name = "ADDRESS", requires = "smtp_server")]
    pub smtp_from: Option<Address>,

    /// A PEM file with certificates to trust for it besides the system's: of an authority, or of
    /// the server itself.
    #[arg(long, value_name = "FILE", requires = "smtp_server")]
    pub smtp_ca: Option<PathBuf>,
}

/// Why mail cannot be sent.
#[derive(Debug, thiserror::Error)]
pub enum MailSetupError {
    #[error("cannot read the {flag} file {path}")]
    Unreadable { flag: &'static str, path: PathBuf, source: std::io::Error },
    #[error("{0}")]
    Flags(&'static str),
    #[error("the {CA_FLAG} file {path} {reason}")]
    Untrustworthy { path: PathBuf, reason: UnusableCertificates },
    #[error("the host of --smtp-server is not a name or an address: {0}")]
    ServerName(String),
    /// A defect of ours: rustls and its provider do not fit.
    #[error("cannot set up TLS for --smtp-server")]
    Tls(#[source] rustls::Error),
}

impl SmtpFlags {
    /// Whether mail can be sent.
    pub fn sends_mail(&self) -> bool {
        self.smtp_server.is_some()
    }

    /// None: no server is given.
    pub fn mailer(&self) -> Result<Option<SmtpMailer>, MailSetupError> {
        let (Some(server), Some(from)) = (&self.smtp_server, &self.smtp_from) else {
            return Ok(None);
        };
        if self.smtp_ca.is_some() && self.smtp_tls == SmtpTls::None {
            return Err(MailSetupError::Flags(
                "--smtp-ca is of no use with --smtp-tls none, which shows no certificate: leave one of them out",
            ));
        }
        let encryption = match self.smtp_tls {
            SmtpTls::None => Encryption::None,
            SmtpTls::Starttls => Encryption::StartTls(self.tls(server)?),
            SmtpTls::Implicit => Encryption::Implicit(self.tls(server)?),
        };
        let credentials = self.credentials()?;
        if credentials.is_some() && self.smtp_tls == SmtpTls::None {
            return Err(MailSetupError::Flags(
                "--smtp-tls none would send the password of --smtp-username in the clear: leave one of them out",
            ));
        }
        let transport = SmtpTransport::new(server.clone(), encryption, credentials);
        Ok(Some(SmtpMailer { transport, from: from.clone() }))
    }

    fn tls(&self, server: &SmtpServer) -> Result<Tls, MailSetupError> {
        let mut trust = TrustStore::from_system();
        if let Some(path) = &self.smtp_ca {
            let pem = read(CA_FLAG, path)?;
            let refused = |reason| MailSetupError::Untrustworthy { path: path.clone(), reason };
            trust.add_pem(CA_FLAG, &pem).map_err(refused)?;
        }
        let config = trust.client_config().map_err(MailSetupError::Tls)?.with_no_client_auth();
        let server_name = ServerName::try_from(server.host.clone())
            .map_err(|_| MailSetupError::ServerName(server.host.clone()))?;
        Ok(Tls { connector: TlsConnector::from(Arc::new(config)), server_name })
    }

    fn credentials(&self) -> Result<Option<Credentials>, MailSetupError> {
        let Some(username) = &self.smtp_username else { return Ok(None) };
        let password = match (&self.smtp_password, &self.smtp_password_file) {
            (Some(SmtpPassword(text)), _) => text.clone(),
            (None, Some(path)) => {
                let bytes = read("--smtp-password-file", path)?;
                String::from_utf8_lossy(&bytes).trim_end_matches(['\r', '\n']).to_owned()
            }
            (None, None) => {
                return Err(MailSetupError::Flags(
                    "--smtp-username needs a password: give --smtp-password-file as well",
                ));
            }
        };
        Ok(Some(Credentials::new(username.clone(), password)))
    }
}

fn read(flag: &'static str, path: &PathBuf) -> Result<Vec<u8>, MailSetupError> {
    std::fs::read(path).map_err(|source| MailSetupError::Unreadable {
        flag,
        path: path.clone(),
        source,
    })
}

pub struct SmtpMailer {
    transport: SmtpTransport,
    from: Address,
}

#[async_trait]
impl Mailer for SmtpMailer {
    async fn send(&self, mail: &Mail) -> Result<u16, MailFailure> {
        let message = message(mail, &self.from).map_err(|problem| MailFailure {
            status_code: None,
            cause: problem.clone(),
            problem,
        })?;
        self.transport.send(&message).await.map_err(|error| {
            let (message_id, cause) = (&mail.message_id, failure_text::for_operators(&error));
            tracing::warn!(%message_id, error = cause, "the mail server did not take a mail");
            let problem = failure_text::for_customers(&error).to_owned();
            MailFailure { status_code: error.status(), problem, cause }
        })
    }
}

/// The mail as it is sent. lettre encodes what is not ASCII or too long; the addresses were checked
/// when the channel was created, and are parsed again here.
fn message(mail: &Mail, from: &Address) -> Result<Message, String> {
    let id = format!("<{}@{}>", mail.message_id, from.domain());
    let mut builder = Message::builder()
        .from(Mailbox::new(Some("Keeptrusts Webhooks".to_owned()), from.clone()))
        .subject(&mail.subject)
        .message_id(Some(id))
        .raw_header(HeaderValue::new(
            // RFC 3834 section 5: prevents automatic replies.
            HeaderName::new_from_ascii_str("Auto-Submitted"),
            "auto-generated".to_owned(),
        ))
        .header(ContentType::TEXT_PLAIN);
    for recipient in &mail.recipients {
        let address: Address =
            recipient.parse().map_err(|error| format!("{recipient} is no address: {error}"))?;
        builder = builder.to(Mailbox::new(None, address));
    }
    builder.body(mail.text.clone()).map_err(|error| format!("the mail cannot be made: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wire(subject: &str) -> String {
        let mail = Mail {
            recipients: vec!["a@example.com".to_owned(), "b@example.com".to_owned()],
            subject: subject.to_owned(),
            text: "Grüße\n.\nend\n".to_owned(),
            message_id: "ntf_1".to_owned(),
        };
        let from = "webhooks@example.org".parse().expect("an address");
        let bytes = message(&mail, &from).expect("made").formatted();
        String::from_utf8(bytes).expect("ASCII")
    }

    #[test]
    fn a_mail_says_that_it_is_automatic_and_which_one_it_is() {
        let wire = wire("[Keeptrusts Webhooks] ü");
        for header in [
            "Auto-Submitted: auto-generated\r\n",
            "Message-ID: <ntf_1@example.org>\r\n",
            "To: a@example.com, b@example.com\r\n",
            "Content-Type: text/plain; charset=utf-8\r\n",
        ] {
            assert!(wire.contains(header), "{header:?} in {wire}");
        }
        assert!(wire.is_ascii());
    }

    #[test]
    fn no_header_can_be_injected_into_a_mail() {
        let wire = wire("a\r\nBcc: everybody@example.com\r\n\r\nother text");
        let (headers, _) = wire.split_once("\r\n\r\n").expect("headers and a body");
        assert!(!headers.lines().any(|line| line.starts_with("Bcc:")), "{headers}");
    }

    #[test]
    fn a_server_is_a_host_and_a_port() {
        for right in ["smtp.example.com:587", "[::1]:25", "10.0.0.1:2525"] {
            assert!(right.parse::<SmtpServer>().is_ok(), "{right}");
        }
        for wrong in ["smtp.example.com", ":587", "smtp.example.com:0", "smtp.example.com:x"] {
            assert!(wrong.parse::<SmtpServer>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn mail_flags_are_refused_without_a_server() {
        #[derive(Debug, clap::Parser)]
        struct Flags {
            #[command(flatten)]
            _smtp: SmtpFlags,
        }
        let parsed = |flags: &[&str]| {
            let flags = ["program"].iter().chain(flags);
            <Flags as clap::Parser>::try_parse_from(flags).map_err(|error| error.to_string())
        };
        for flag in [
            "--smtp-from=a@example.com",
            "--smtp-tls=implicit",
            "--smtp-username=us",
            "--smtp-ca=ca.pem",
        ] {
            let refused = parsed(&[flag]).expect_err(flag);
            assert!(refused.contains("--smtp-server"), "{flag}: {refused}");
            let from = match flag.starts_with("--smtp-from") {
                true => &[][..],
                false => &["--smtp-from=b@example.com"],
            };
            assert!(parsed(&[&["--smtp-server=mail:587", flag], from].concat()).is_ok(), "{flag}");
        }
        assert!(parsed(&[]).is_ok());
    }

    #[test]
    fn a_password_is_never_sent_in_the_clear_nor_shown() {
        let flags = SmtpFlags {
            smtp_server: "127.0.0.1:25".parse().ok(),
            smtp_from: "a@example.com".parse().ok(),
            smtp_tls: SmtpTls::None,
            smtp_username: Some("us".to_owned()),
            smtp_password: Some("correct horse".to_owned().into()),
            ..SmtpFlags::default()
        };
        assert!(matches!(flags.mailer(), Err(MailSetupError::Flags(_))));
        assert!(!format!("{flags:?}").contains("horse"));
    }
}
