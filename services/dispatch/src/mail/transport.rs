//! Hands a mail to the operator's SMTP server (RFC 5321).
//!
//! lettre speaks SMTP. The connection and its TLS are ours: lettre trusts further certificates only
//! as authorities, and so would trust a server's own certificate for every other host as well.
//!
//! Decision: docs/decisions/a-named-certificate-is-no-authority.md

use std::error::Error;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use keeptrusts_webhooks_trust::CertificateProblem;
use lettre::Message;
use lettre::transport::smtp::authentication::{Credentials, DEFAULT_MECHANISMS};
use lettre::transport::smtp::client::{AsyncSmtpConnection, AsyncTokioStream};
use lettre::transport::smtp::commands::Starttls;
use lettre::transport::smtp::extension::ClientId;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::smtp_server::{CA_FLAG, SmtpServer};

/// Covers TCP, TLS and the server's greetings.
const CONNECTING_LIMIT: Duration = Duration::from_secs(10);
/// How long the server may take for a mail. It may inspect the content before accepting it; the
/// minutes that RFC 5321 section 4.5.3.2 grants are for unknown servers.
const SENDING_LIMIT: Duration = Duration::from_secs(60);
/// For the reply to QUIT, which changes nothing.
const QUIT_LIMIT: Duration = Duration::from_secs(1);
/// The number of notifications that can be under way at once in a shard.
const MAX_CONNECTIONS: usize = 16;

/// Connects to the server anew for each mail: there are few.
pub(super) struct SmtpTransport {
    server: SmtpServer,
    encryption: Encryption,
    credentials: Option<Credentials>,
    connections: Semaphore,
}

pub(super) enum Encryption {
    /// STARTTLS, which the server must offer (RFC 3207).
    StartTls(Tls),
    /// From the first byte (RFC 8314 section 3).
    Implicit(Tls),
    None,
}

/// What a handshake needs.
pub(super) struct Tls {
    pub(super) connector: TlsConnector,
    pub(super) server_name: ServerName<'static>,
}

#[derive(Debug, thiserror::Error)]
pub(super) enum SmtpFailure {
    #[error("it cannot be connected to")]
    NotConnected(#[source] io::Error),
    #[error("it did not take the connection within {CONNECTING_LIMIT:?}")]
    ConnectingTimedOut,
    #[error("it does not offer STARTTLS (another --smtp-tls may be right)")]
    NoStartTls,
    #[error("its certificate was rejected: {}", .0.with_advice(CA_FLAG))]
    NotTrusted(CertificateProblem),
    #[error("TLS failed")]
    Tls(#[source] io::Error),
    #[error(transparent)]
    Smtp(#[from] lettre::transport::smtp::Error),
    #[error("it did not take the mail within {SENDING_LIMIT:?}")]
    SendingTimedOut,
}

impl SmtpFailure {
    /// The server's reply code (RFC 5321 section 4.2). None: it did not reply.
    pub(super) fn status(&self) -> Option<u16> {
        match self {
            Self::Smtp(error) => error.status().map(Into::into),
            _ => None,
        }
    }
}

impl SmtpTransport {
    pub(super) fn new(
        server: SmtpServer,
        encryption: Encryption,
        credentials: Option<Credentials>,
    ) -> Self {
        Self { server, encryption, credentials, connections: Semaphore::new(MAX_CONNECTIONS) }
    }

    /// Hands a mail to the server. Returns the reply code.
    pub(super) async fn send(&self, message: &Message) -> Result<u16, SmtpFailure> {
        // The semaphore is never closed.
        let _place = self.connections.acquire().await;
        let mut connection = timeout(CONNECTING_LIMIT, self.connect())
            .await
            .map_err(|_| SmtpFailure::ConnectingTimedOut)??;
        let sending = async {
            if let Some(credentials) = &self.credentials {
                connection.auth(DEFAULT_MECHANISMS, credentials).await?;
            }
            connection.send(message.envelope(), &message.formatted()).await
        };
        let sent = timeout(SENDING_LIMIT, sending).await;
        let response = sent.map_err(|_| SmtpFailure::SendingTimedOut)??;
        // The server has accepted the mail, whatever happens to the connection.
        _ = timeout(QUIT_LIMIT, connection.quit()).await;
        Ok(response.code().into())
    }

    async fn connect(&self) -> Result<AsyncSmtpConnection, SmtpFailure> {
        let SmtpServer { host, port } = &self.server;
        let tcp = TcpStream::connect((host.as_str(), *port)).await;
        let tcp = tcp.map_err(SmtpFailure::NotConnected)?;
        match &self.encryption {
            Encryption::None => greeted(tcp).await,
            Encryption::Implicit(tls) => greeted(Encrypted::by(tls, tcp).await?).await,
            Encryption::StartTls(tls) => {
                let (in_clear, tcp) = two_handles(tcp).map_err(SmtpFailure::NotConnected)?;
                let mut in_clear = greeted(in_clear).await?;
                if !in_clear.can_starttls() {
                    return Err(SmtpFailure::NoStartTls);
                }
                in_clear.command(Starttls).await?;
                // This discards everything that was read unencrypted, including what an attacker
                // may have appended to the reply (RFC 3207 section 6).
                drop(in_clear);
                greeted(Encrypted::by(tls, tcp).await?.after_starttls()).await
            }
        }
    }
}

/// A connection after the server's greeting and EHLO.
async fn greeted(
    stream: impl AsyncTokioStream + 'static,
) -> Result<AsyncSmtpConnection, SmtpFailure> {
    let client = ClientId::default();
    Ok(AsyncSmtpConnection::connect_with_transport(Box::new(stream), &client).await?)
}

/// Two handles on the same connection, since lettre does not give the stream back.
fn two_handles(tcp: TcpStream) -> io::Result<(TcpStream, TcpStream)> {
    let tcp = tcp.into_std()?;
    Ok((TcpStream::from_std(tcp.try_clone()?)?, TcpStream::from_std(tcp)?))
}

#[derive(Debug)]
struct Encrypted {
    /// Read before what the server sends.
    greeting: &'static [u8],
    stream: TlsStream<TcpStream>,
}

impl Encrypted {
    async fn by(tls: &Tls, tcp: TcpStream) -> Result<Self, SmtpFailure> {
        let shaken = tls.connector.connect(tls.server_name.clone(), tcp).await;
        let stream = shaken.map_err(|error| {
            let cause: &(dyn Error + 'static) = &error;
            match CertificateProblem::find_in(cause) {
                Some(problem) => SmtpFailure::NotTrusted(problem),
                None => SmtpFailure::Tls(error),
            }
        })?;
        Ok(Self { greeting: b"", stream })
    }

    /// lettre begins every connection by reading a greeting. After STARTTLS the server sends none,
    /// and the client speaks first (RFC 3207 section 4.2).
    fn after_starttls(self) -> Self {
        Self { greeting: b"220 STARTTLS\r\n", ..self }
    }
}

impl AsyncTokioStream for Encrypted {
    fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.stream.get_ref().0.peer_addr()
    }
}

impl AsyncRead for Encrypted {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.greeting.is_empty() {
            true => Pin::new(&mut self.stream).poll_read(context, buffer),
            false => Pin::new(&mut self.greeting).poll_read(context, buffer),
        }
    }
}

impl AsyncWrite for Encrypted {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
