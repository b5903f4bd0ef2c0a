//! An SMTP server (RFC 5321) with STARTTLS (RFC 3207) and AUTH PLAIN (RFC 4954) that keeps the mail
//! that it accepts.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncWrite, AsyncWriteExt, BufStream};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::AbortHandle;
use tokio_rustls::TlsAcceptor;

use crate::receiver::{Authority, Certificate};

/// Recipients whose address begins with this are refused.
pub const REFUSED: &str = "refused";

/// An accepted mail.
#[derive(Clone, Debug)]
pub struct ReceivedMail {
    /// The sender of the envelope.
    pub from: String,
    /// The recipients of the envelope.
    pub to: Vec<String>,
    /// Headers and body, with `\n` as line end and without dot-stuffing.
    pub content: String,
    /// Whether it came over TLS.
    pub is_encrypted: bool,
    /// The authenticated user.
    pub user: Option<String>,
}

impl ReceivedMail {
    /// Unfolded.
    pub fn header(&self, name: &str) -> Option<String> {
        let (headers, _) = self.content.split_once("\n\n")?;
        let unfolded = headers.replace("\n ", " ").replace("\n\t", " ");
        unfolded.lines().find_map(|line| {
            let (known, value) = line.split_once(':')?;
            known.eq_ignore_ascii_case(name).then(|| value.trim().to_owned())
        })
    }
}

/// How the server behaves.
#[derive(Clone, Debug, Default)]
pub struct Behaviour {
    /// It does not offer STARTTLS.
    pub without_starttls: bool,
    /// It speaks TLS from the first byte (RFC 8314 section 3).
    pub implicit_tls: bool,
    /// It requires this user name and password.
    pub credentials: Option<(String, String)>,
}

/// A running server; it ends when it is dropped.
pub struct MailServer {
    address: SocketAddr,
    taken: Arc<Mailbox>,
    work: AbortHandle,
}

struct Mailbox {
    mails: Mutex<Vec<ReceivedMail>>,
    count: watch::Sender<usize>,
}

impl MailServer {
    /// Starts it on a free port of 127.0.0.1, with a certificate of this authority.
    pub async fn start(authority: &Authority, behaviour: Behaviour) -> Self {
        Self::start_with_certificate(Certificate::Valid, authority, behaviour).await
    }

    /// Starts it with another certificate of this authority.
    pub async fn start_with_certificate(
        certificate: Certificate,
        authority: &Authority,
        behaviour: Behaviour,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
        let address = listener.local_addr().expect("a listener has an address");
        let acceptor = TlsAcceptor::from(authority.server_config(certificate, true));
        let taken = Arc::new(Mailbox { mails: Mutex::default(), count: watch::Sender::new(0) });
        let work = tokio::spawn({
            let taken = Arc::clone(&taken);
            async move {
                while let Ok((stream, _)) = listener.accept().await {
                    let session = Session {
                        behaviour: behaviour.clone(),
                        taken: Arc::clone(&taken),
                        is_encrypted: false,
                        user: None,
                    };
                    let acceptor = acceptor.clone();
                    // An error means that the client has gone, which does not matter.
                    tokio::spawn(async move { _ = converse(session, stream, acceptor).await });
                }
            }
        });
        Self { address, taken, work: work.abort_handle() }
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The accepted mails so far.
    pub fn mails(&self) -> Vec<ReceivedMail> {
        self.taken.mails.lock().expect("not poisoned").clone()
    }

    /// Waits for at least `count` mails, and returns all. Panics if `within` passes.
    pub async fn wait_for(&self, count: usize, within: Duration) -> Vec<ReceivedMail> {
        let mut counted = self.taken.count.subscribe();
        let enough = counted.wait_for(|taken| *taken >= count);
        let waited = tokio::time::timeout(within, enough).await;
        let mails = self.mails();
        assert!(waited.is_ok(), "{within:?} passed; {} mails came, not {count}", mails.len());
        mails
    }
}

impl Drop for MailServer {
    fn drop(&mut self) {
        self.work.abort();
    }
}

struct Session {
    behaviour: Behaviour,
    taken: Arc<Mailbox>,
    is_encrypted: bool,
    user: Option<String>,
}

async fn converse(
    mut session: Session,
    stream: TcpStream,
    acceptor: TlsAcceptor,
) -> io::Result<()> {
    if session.behaviour.implicit_tls {
        session.is_encrypted = true;
        let mut stream = BufStream::new(acceptor.accept(stream).await?);
        reply(&mut stream, "220 localhost ESMTP").await?;
        session.run(&mut stream).await?;
        return Ok(());
    }
    let mut stream = BufStream::new(stream);
    reply(&mut stream, "220 localhost ESMTP").await?;
    if session.run(&mut stream).await? == End::StartTls {
        session.is_encrypted = true;
        let mut stream = BufStream::new(acceptor.accept(stream.into_inner()).await?);
        session.run(&mut stream).await?;
    }
    Ok(())
}

#[derive(PartialEq)]
enum End {
    Quit,
    StartTls,
}

impl Session {
    async fn run<S>(&mut self, stream: &mut BufStream<S>) -> io::Result<End>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let (mut from, mut to) = (None, Vec::new());
        loop {
            let line = read_line(stream).await?;
            let (verb, rest) = line.split_once(' ').unwrap_or((&line, ""));
            match verb.to_ascii_uppercase().as_str() {
                "EHLO" | "HELO" => self.greet(stream).await?,
                "STARTTLS" if self.offers_starttls() => {
                    reply(stream, "220 go ahead").await?;
                    return Ok(End::StartTls);
                }
                "AUTH" => self.authenticate(stream, rest).await?,
                "MAIL" if self.behaviour.credentials.is_some() && self.user.is_none() => {
                    reply(stream, "530 5.7.0 authentication required").await?;
                }
                "MAIL" => {
                    from = address(rest);
                    reply(stream, "250 ok").await?;
                }
                "RCPT" => {
                    let recipient = address(rest).unwrap_or_default();
                    if recipient.starts_with(REFUSED) {
                        reply(stream, "550 5.1.1 no such mailbox").await?;
                    } else {
                        to.push(recipient);
                        reply(stream, "250 ok").await?;
                    }
                }
                "DATA" => {
                    reply(stream, "354 go ahead").await?;
                    let content = read_content(stream).await?;
                    let from = from.take().unwrap_or_default();
                    self.take(from, std::mem::take(&mut to), content);
                    reply(stream, "250 taken").await?;
                }
                "RSET" => {
                    (from, to) = (None, Vec::new());
                    reply(stream, "250 ok").await?;
                }
                "NOOP" => reply(stream, "250 ok").await?,
                "QUIT" => {
                    reply(stream, "221 bye").await?;
                    return Ok(End::Quit);
                }
                _ => reply(stream, "502 not implemented").await?,
            }
        }
    }

    fn offers_starttls(&self) -> bool {
        !self.is_encrypted && !self.behaviour.without_starttls
    }

    async fn greet<S>(&self, stream: &mut BufStream<S>) -> io::Result<()>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let starttls = if self.offers_starttls() { "250-STARTTLS\r\n" } else { "" };
        // RFC 4954 section 4: PLAIN is not offered in the clear.
        let auth = if self.is_encrypted { "250-AUTH PLAIN\r\n" } else { "" };
        reply(stream, &format!("250-localhost\r\n{starttls}{auth}250 8BITMIME")).await
    }

    async fn authenticate<S>(&mut self, stream: &mut BufStream<S>, rest: &str) -> io::Result<()>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let given = match rest.split_once(' ') {
            Some((_, initial)) => initial.to_owned(),
            None => {
                reply(stream, "334 ").await?;
                read_line(stream).await?
            }
        };
        let decoded = BASE64_STANDARD.decode(given).unwrap_or_default();
        let mut parts = decoded.split(|byte| *byte == 0).skip(1);
        let mut text = || String::from_utf8_lossy(parts.next().unwrap_or_default()).into_owned();
        let (user, password) = (text(), text());
        if self.is_encrypted && self.behaviour.credentials == Some((user.clone(), password)) {
            self.user = Some(user);
            reply(stream, "235 2.7.0 welcome").await
        } else {
            reply(stream, "535 5.7.8 credentials invalid").await
        }
    }

    fn take(&self, from: String, to: Vec<String>, content: String) {
        let (is_encrypted, user) = (self.is_encrypted, self.user.clone());
        let mail = ReceivedMail { from, to, content, is_encrypted, user };
        let mut mails = self.taken.mails.lock().expect("not poisoned");
        mails.push(mail);
        self.taken.count.send_replace(mails.len());
    }
}

/// The address in the brackets of `FROM:<a@b>`.
fn address(rest: &str) -> Option<String> {
    let (_, after) = rest.split_once('<')?;
    after.split_once('>').map(|(address, _)| address.to_owned())
}

async fn reply<S>(stream: &mut BufStream<S>, text: &str) -> io::Result<()>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    stream.write_all(text.as_bytes()).await?;
    stream.write_all(b"\r\n").await?;
    stream.flush().await
}

async fn read_line<S>(stream: &mut BufStream<S>) -> io::Result<String>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut line = String::new();
    if stream.read_line(&mut line).await? == 0 {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(line.trim_end_matches(['\r', '\n']).to_owned())
}

/// RFC 5321 section 4.5.2: a line with one dot ends it, other leading dots are doubled.
async fn read_content<S>(stream: &mut BufStream<S>) -> io::Result<String>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut content = String::new();
    loop {
        let line = read_line(stream).await?;
        if line == "." {
            return Ok(content);
        }
        content.push_str(line.strip_prefix('.').unwrap_or(&line));
        content.push('\n');
    }
}
