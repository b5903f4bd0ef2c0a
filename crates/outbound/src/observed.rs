//! What passes between an HTTP library and the TLS stream below it, observed.
//!
//! * A write that fails does not end the conversation: the receiver may have answered before it
//!   stopped to read (RFC 9112 section 9.5 tells clients to look for that), so what is written
//!   from then on is thrown away, and reading goes on until the receiver's side ends as well.
//! * An end of the connection without TLS' `close_notify` is an ordinary end. Whoever cuts a
//!   connection can shorten an answer that has no length, but not its head; and no more than the
//!   status is made of it (RFC 9112 section 9.8).
//! * The heads of HTTP/1.1 answers are read along, see [`HeadReader`].

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Instant;

use crate::classify::tls_failure_within;
use crate::failure::SendFailure;
use crate::head::{HeadProblem, HeadReader};

/// What has been observed on one connection.
pub(crate) struct Observer {
    was_asked_for_certificate: bool,
    observed: Mutex<Observed>,
}

pub(crate) struct Observed {
    /// The answer that is being read; none if its library needs no help.
    pub(crate) answer: Option<HeadReader>,
    /// Why no more of it is read.
    pub(crate) problem: Option<HeadProblem>,
    /// Whether anything has come in since the request began.
    pub(crate) has_read: bool,
    /// When anything has come in.
    pub(crate) last_read: Instant,
    /// Whether what was written has been thrown away.
    pub(crate) write_failed: bool,
    /// What TLS had to say about the receiver's end of the handshake, which with TLS 1.3 comes
    /// after ours (RFC 8446 section 4.4.2.4).
    pub(crate) tls_failure: Option<SendFailure>,
}

impl Observer {
    pub(crate) fn new(was_asked_for_certificate: bool) -> Arc<Self> {
        let observed = Mutex::new(Observed {
            answer: None,
            problem: None,
            has_read: false,
            last_read: Instant::now(),
            write_failed: false,
            tls_failure: None,
        });
        Arc::new(Self { was_asked_for_certificate, observed })
    }

    /// Whether the receiver asked for a client certificate in the handshake.
    pub(crate) fn was_asked_for_certificate(&self) -> bool {
        self.was_asked_for_certificate
    }

    /// Begins with the answer to a new request by HTTP/1.1.
    pub(crate) fn begin_answer(&self) {
        let mut observed = self.observed();
        observed.answer = Some(HeadReader::default());
        observed.has_read = false;
    }

    pub(crate) fn observed(&self) -> MutexGuard<'_, Observed> {
        self.observed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Observed {
    fn read(&mut self, bytes: &[u8]) -> io::Result<()> {
        if bytes.is_empty() {
            return Ok(());
        }
        self.has_read = true;
        self.last_read = Instant::now();
        let Some(answer) = &mut self.answer else { return Ok(()) };
        answer.read(bytes).map_err(|problem| {
            self.problem = Some(problem);
            io::Error::other(problem)
        })
    }
}

/// A stream that is observed.
pub(crate) struct ObservedStream<Stream> {
    stream: Stream,
    observer: Arc<Observer>,
}

impl<Stream> ObservedStream<Stream> {
    pub(crate) fn new(stream: Stream, observer: Arc<Observer>) -> Self {
        Self { stream, observer }
    }

    /// What to say of a write. If it has failed, nothing more is written.
    fn written<T>(&self, result: io::Result<T>, if_failed: T) -> io::Result<T> {
        result.or_else(|_| {
            self.observer.observed().write_failed = true;
            Ok(if_failed)
        })
    }

    fn throws_away(&self) -> bool {
        self.observer.observed().write_failed
    }
}

impl<Stream: AsyncRead + Unpin> AsyncRead for ObservedStream<Stream> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let filled_before = buffer.filled().len();
        let result = ready!(Pin::new(&mut self.stream).poll_read(context, buffer));
        let mut observed = self.observer.observed();
        Poll::Ready(match result {
            Ok(()) => observed.read(&buffer.filled()[filled_before..]),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(()),
            Err(error) => {
                observed.tls_failure = tls_failure_within(&error);
                Err(error)
            }
        })
    }
}

impl<Stream: AsyncWrite + Unpin> AsyncWrite for ObservedStream<Stream> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        if self.throws_away() {
            return Poll::Ready(Ok(bytes.len()));
        }
        let result = ready!(Pin::new(&mut self.stream).poll_write(context, bytes));
        Poll::Ready(self.written(result, bytes.len()))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let size = pieces.iter().map(|piece| piece.len()).sum();
        if self.throws_away() {
            return Poll::Ready(Ok(size));
        }
        let result = ready!(Pin::new(&mut self.stream).poll_write_vectored(context, pieces));
        Poll::Ready(self.written(result, size))
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.throws_away() {
            return Poll::Ready(Ok(()));
        }
        let result = ready!(Pin::new(&mut self.stream).poll_flush(context));
        Poll::Ready(self.written(result, ()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.throws_away() {
            return Poll::Ready(Ok(()));
        }
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
