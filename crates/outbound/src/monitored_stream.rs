//! A stream between an HTTP library and TLS that records what passes.
//!
//! * A failed write does not end the exchange: the receiver may have answered before it stopped
//!   reading (RFC 9112 section 9.5 tells clients to look for that). Later writes are discarded, and
//!   reading continues until the receiver's side ends as well.
//! * The end of the connection without TLS' `close_notify` is an ordinary end. An attacker who cuts
//!   a connection can shorten an answer without a length, but not its head, and only the status
//!   decides the result (RFC 9112 section 9.8).
//! * The heads of HTTP/1.1 answers are read here too, see [`HeadReader`], and so are the frames of
//!   HTTP/2, see [`FrameReader`].

use std::io::{self, Read};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Instant;

use crate::classify::tls_failure_within;
use crate::failure::SendFailure;
use crate::frames::FrameReader;
use crate::head::{HeadProblem, HeadReader};
use crate::limits::{HTTP2_ANSWER_ALLOWANCE, HTTP2_CONNECTION_ALLOWANCE};
use crate::tls::TlsStream;

/// Records what passes on one connection.
pub(crate) struct StreamMonitor {
    certificate_was_requested: bool,
    state: Mutex<StreamState>,
}

pub(crate) struct StreamState {
    /// The current answer, with HTTP/1.1.
    pub(crate) answer: Option<HeadReader>,
    /// The frames, with HTTP/2.
    pub(crate) frames: FrameReader,
    /// Why reading the current answer stopped.
    pub(crate) problem: Option<HeadProblem>,
    /// Whether anything has come in since the current request.
    pub(crate) has_read: bool,
    /// When something last came in.
    pub(crate) last_read: Instant,
    /// How many more bytes may come in. `None`: only the answer's own limits apply (HTTP/1.1).
    allowance: Option<usize>,
    /// Whether more came in than that.
    pub(crate) is_flooded: bool,
    /// Whether a write failed, so that later ones are discarded.
    pub(crate) write_failed: bool,
    /// The receiver's rejection of the handshake, which with TLS 1.3 comes after our end of it
    /// (RFC 8446 section 4.4.2.4).
    pub(crate) tls_failure: Option<SendFailure>,
}

impl StreamMonitor {
    pub(crate) fn new(certificate_was_requested: bool) -> Arc<Self> {
        let state = Mutex::new(StreamState {
            answer: None,
            frames: FrameReader::default(),
            problem: None,
            has_read: false,
            last_read: Instant::now(),
            allowance: None,
            is_flooded: false,
            write_failed: false,
            tls_failure: None,
        });
        Arc::new(Self { certificate_was_requested, state })
    }

    pub(crate) fn certificate_was_requested(&self) -> bool {
        self.certificate_was_requested
    }

    /// Starts the answer to a new request, with HTTP/1.1.
    pub(crate) fn begin_answer(&self) {
        let mut state = self.state();
        state.answer = Some(HeadReader::default());
        state.has_read = false;
    }

    /// Starts HTTP/2, where frames without content may come at any time.
    pub(crate) fn begin_http2(&self) {
        self.state().allowance = Some(HTTP2_CONNECTION_ALLOWANCE);
    }

    /// Starts the answer to a new request, with HTTP/2. `in_flight` includes it. The allowance that
    /// earlier answers left unused does not accumulate.
    pub(crate) fn begin_http2_answer(&self, in_flight: usize) {
        let most = HTTP2_CONNECTION_ALLOWANCE + in_flight * HTTP2_ANSWER_ALLOWANCE;
        let mut state = self.state();
        let left = state.allowance.unwrap_or_default();
        state.allowance = Some((left + HTTP2_ANSWER_ALLOWANCE).min(most));
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, StreamState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl StreamState {
    fn read(&mut self, bytes: &[u8]) -> io::Result<()> {
        if bytes.is_empty() {
            return Ok(());
        }
        self.has_read = true;
        self.last_read = Instant::now();
        if let Some(allowance) = &mut self.allowance {
            self.frames.read(bytes);
            let Some(left) = allowance.checked_sub(bytes.len()) else {
                self.is_flooded = true;
                return Err(io::Error::other("the receiver sends more than its answers can have"));
            };
            *allowance = left;
        }
        let Some(answer) = &mut self.answer else { return Ok(()) };
        answer.read(bytes).map_err(|problem| {
            self.problem = Some(problem);
            io::Error::other(problem)
        })
    }
}

/// A stream that may hold data that it had read before a read failed.
pub(crate) trait Buffering {
    /// Takes the data out, as far as there is room.
    fn take_buffered(&mut self, buffer: &mut ReadBuf<'_>);
}

impl Buffering for TlsStream {
    fn take_buffered(&mut self, buffer: &mut ReadBuf<'_>) {
        let (_, session) = self.get_mut();
        let size = session.reader().read(buffer.initialize_unfilled()).unwrap_or(0);
        buffer.advance(size);
    }
}

pub(crate) struct MonitoredStream<Stream> {
    stream: Stream,
    monitor: Arc<StreamMonitor>,
    /// The error of a read, reported after the data that came before it.
    read_error: Option<io::Error>,
}

impl<Stream> MonitoredStream<Stream> {
    pub(crate) fn new(stream: Stream, monitor: Arc<StreamMonitor>) -> Self {
        Self { stream, monitor, read_error: None }
    }

    /// The result to report for a write. A failure is only recorded.
    fn written<T>(&self, result: io::Result<T>, if_failed: T) -> io::Result<T> {
        result.or_else(|_| {
            self.monitor.state().write_failed = true;
            Ok(if_failed)
        })
    }

    fn discards_writes(&self) -> bool {
        self.monitor.state().write_failed
    }
}

impl<Stream: AsyncRead + Buffering + Unpin> AsyncRead for MonitoredStream<Stream> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let filled_before = buffer.filled().len();
        let mut result = match self.read_error.take() {
            Some(error) => Err(error),
            None => ready!(Pin::new(&mut self.stream).poll_read(context, buffer)),
        };
        // A record that TLS cannot read does not invalidate those before it, which may have come in
        // the same packet.
        if result.is_err() {
            self.stream.take_buffered(buffer);
            if buffer.filled().len() > filled_before {
                self.read_error = std::mem::replace(&mut result, Ok(())).err();
            }
        }
        let mut state = self.monitor.state();
        Poll::Ready(match result {
            Ok(()) => state.read(&buffer.filled()[filled_before..]),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(()),
            Err(error) => {
                state.tls_failure = tls_failure_within(&error);
                Err(error)
            }
        })
    }
}

impl<Stream: AsyncWrite + Unpin> AsyncWrite for MonitoredStream<Stream> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        if self.discards_writes() {
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
        if self.discards_writes() {
            return Poll::Ready(Ok(size));
        }
        let result = ready!(Pin::new(&mut self.stream).poll_write_vectored(context, pieces));
        Poll::Ready(self.written(result, size))
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.discards_writes() {
            return Poll::Ready(Ok(()));
        }
        let result = ready!(Pin::new(&mut self.stream).poll_flush(context));
        Poll::Ready(self.written(result, ()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.discards_writes() {
            return Poll::Ready(Ok(()));
        }
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use bytes::Bytes;
    use http::{Request, StatusCode};
    use http_body_util::{BodyExt, Full};
    use hyper::client::conn::http1;
    use hyper_util::rt::TokioIo;

    use super::*;

    /// A stream whose other side has answered, and reads no more.
    struct AnsweredAndClosed {
        answer: &'static [u8],
        /// How reading ends after that.
        end: fn() -> io::Result<()>,
        accepted: usize,
        reader: Option<Waker>,
    }

    impl Buffering for AnsweredAndClosed {
        fn take_buffered(&mut self, _: &mut ReadBuf<'_>) {}
    }

    impl AsyncRead for AnsweredAndClosed {
        fn poll_read(
            mut self: Pin<&mut Self>,
            context: &mut Context<'_>,
            buffer: &mut ReadBuf<'_>,
        ) -> Poll<io::Result<()>> {
            // The answer comes only once sending has failed.
            if self.accepted > 0 {
                self.reader = Some(context.waker().clone());
                return Poll::Pending;
            }
            if self.answer.is_empty() {
                return Poll::Ready((self.end)());
            }
            buffer.put_slice(self.answer);
            self.answer = b"";
            Poll::Ready(Ok(()))
        }
    }

    impl AsyncWrite for AnsweredAndClosed {
        fn poll_write(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
            bytes: &[u8],
        ) -> Poll<io::Result<usize>> {
            let accepted = self.accepted.min(bytes.len());
            self.accepted -= accepted;
            if self.accepted == 0
                && let Some(reader) = self.reader.take()
            {
                reader.wake();
            }
            Poll::Ready(match accepted {
                0 => Err(io::ErrorKind::BrokenPipe.into()),
                _ => Ok(accepted),
            })
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    /// hyper's result, and whether writing failed.
    async fn exchange(
        answer: &'static [u8],
        end: fn() -> io::Result<()>,
    ) -> (Result<(StatusCode, Bytes), hyper::Error>, bool) {
        let monitor = StreamMonitor::new(false);
        monitor.begin_answer();
        let stream = AnsweredAndClosed { answer, end, accepted: 100, reader: None };
        let stream = TokioIo::new(MonitoredStream::new(stream, Arc::clone(&monitor)));
        let (mut requests, connection) = http1::handshake(stream).await.expect("no bytes yet");
        tokio::spawn(connection);
        let body = Full::new(Bytes::from(vec![b'x'; 100_000]));
        let answering = async {
            let answer = requests.send_request(Request::post("/").body(body).expect("one")).await?;
            let status = answer.status();
            Ok((status, answer.into_body().collect().await?.to_bytes()))
        };
        (answering.await, monitor.state().write_failed)
    }

    #[tokio::test]
    async fn an_answer_that_was_there_before_writing_failed_is_read() {
        for answer in [
            &b"HTTP/1.1 413 Content Too Large\r\ncontent-length: 4\r\n\r\nlong"[..],
            b"HTTP/1.1 413 Content Too Large\r\n\r\nlong",
        ] {
            let (answered, write_failed) = exchange(answer, || Ok(())).await;
            let expected = (StatusCode::PAYLOAD_TOO_LARGE, Bytes::from_static(b"long"));
            assert_eq!(answered.expect("an answer"), expected);
            assert!(write_failed);
        }
    }

    #[tokio::test]
    async fn an_end_without_close_notify_is_an_ordinary_end() {
        let end = || Err(io::ErrorKind::UnexpectedEof.into());
        let (answered, _) = exchange(b"HTTP/1.1 200 OK\r\n\r\nall of it", end).await;
        let expected = (StatusCode::OK, Bytes::from_static(b"all of it"));
        assert_eq!(answered.expect("an answer"), expected);
    }

    #[tokio::test]
    async fn without_an_answer_the_failed_write_is_recorded() {
        let (answered, write_failed) =
            exchange(b"", || Err(io::ErrorKind::ConnectionReset.into())).await;
        assert!(answered.is_err() && write_failed);
    }
}
