//! One connection, as the server reads and writes it.

use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, DuplexStream, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Sleep;
use tokio_rustls::server::TlsStream;
use tonic::transport::server::Connected;

use super::frames::{Flood, FrameMeter};
use super::peer::Peer;
use crate::connections::Place;
use crate::tls::ClientCertificate;

/// A connection that is ready for HTTP/2.
#[derive(Debug)]
pub(super) struct Connection {
    transport: Transport,
    peer: Peer,
    /// None: from within the process.
    watch: Option<Watch>,
}

#[derive(Debug)]
enum Transport {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
    InProcess(DuplexStream),
}

/// What is held against a client that misbehaves.
#[derive(Debug)]
struct Watch {
    meter: FrameMeter,
    /// Until HTTP/2 has begun.
    handshake: Option<Handshake>,
    _place: Place,
}

/// The time that a client has left for its handshakes, and its place among those that are in
/// them.
#[derive(Debug)]
pub(super) struct Handshake {
    pub(super) end: Pin<Box<Sleep>>,
    pub(super) _permit: OwnedSemaphorePermit,
}

impl Connection {
    pub(super) fn plain(
        stream: TcpStream,
        address: SocketAddr,
        admitted: (Place, Handshake),
        meter: FrameMeter,
    ) -> Connection {
        let peer = Peer { address: Some(address), certificate: None };
        Connection { transport: Transport::Plain(stream), peer, watch: watch(admitted, meter) }
    }

    pub(super) fn tls(
        stream: TlsStream<TcpStream>,
        address: SocketAddr,
        admitted: (Place, Handshake),
        meter: FrameMeter,
    ) -> Connection {
        let (_, session) = stream.get_ref();
        // rustls has verified it, or there would be no connection.
        let certificate = session.peer_certificates().and_then(|chain| chain.first());
        let certificate = certificate.and_then(ClientCertificate::of);
        let peer = Peer { address: Some(address), certificate };
        let transport = Transport::Tls(Box::new(stream));
        Connection { transport, peer, watch: watch(admitted, meter) }
    }

    pub(super) fn in_process(stream: DuplexStream) -> Connection {
        let peer = Peer { address: None, certificate: None };
        Connection { transport: Transport::InProcess(stream), peer, watch: None }
    }
}

fn watch((place, handshake): (Place, Handshake), meter: FrameMeter) -> Option<Watch> {
    Some(Watch { meter, handshake: Some(handshake), _place: place })
}

impl Watch {
    fn received(&mut self, bytes: &[u8], peer: &Peer) -> io::Result<()> {
        self.meter.received(bytes).map_err(|Flood| {
            tracing::warn!(%peer, "closed a connection that floods us with frames that carry nothing, see --max-control-frames");
            io::Error::other("too many frames that carry nothing")
        })?;
        if self.meter.has_begun() {
            self.handshake = None;
        }
        Ok(())
    }

    /// Nothing has come. Ready when it should have.
    fn poll_waiting(&mut self, context: &mut Context<'_>, peer: &Peer) -> Poll<io::Error> {
        let Some(handshake) = &mut self.handshake else { return Poll::Pending };
        handshake.end.as_mut().poll(context).map(|()| {
            tracing::debug!(%peer, "closed a connection that has not begun HTTP/2 in time, see --handshake-timeout");
            io::Error::from(io::ErrorKind::TimedOut)
        })
    }
}

impl Connected for Connection {
    type ConnectInfo = Peer;

    fn connect_info(&self) -> Peer {
        self.peer.clone()
    }
}

/// The method of whatever stream it is.
macro_rules! on_stream {
    ($transport:expr, $method:ident $(, $argument:expr)*) => {
        match $transport {
            Transport::Plain(stream) => Pin::new(stream).$method($($argument),*),
            Transport::Tls(stream) => Pin::new(stream).$method($($argument),*),
            Transport::InProcess(stream) => Pin::new(stream).$method($($argument),*),
        }
    };
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let Connection { transport, peer, watch } = &mut *self;
        let before = buffer.filled().len();
        let read = on_stream!(transport, poll_read, context, buffer);
        match (read, watch) {
            (Poll::Ready(Ok(())), Some(watch)) => {
                Poll::Ready(watch.received(&buffer.filled()[before..], peer))
            }
            (Poll::Pending, Some(watch)) => watch.poll_waiting(context, peer).map(Err),
            (read, _) => read,
        }
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        on_stream!(&mut self.transport, poll_write, context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        on_stream!(&mut self.transport, poll_flush, context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        on_stream!(&mut self.transport, poll_shutdown, context)
    }

    fn is_write_vectored(&self) -> bool {
        match &self.transport {
            Transport::Plain(stream) => stream.is_write_vectored(),
            Transport::Tls(stream) => stream.is_write_vectored(),
            Transport::InProcess(stream) => stream.is_write_vectored(),
        }
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        on_stream!(&mut self.transport, poll_write_vectored, context, slices)
    }
}
