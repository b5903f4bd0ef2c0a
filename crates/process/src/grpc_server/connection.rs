//! One connection to the gRPC server: plain TCP, TLS, or within the process.

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
use crate::connections::ConnectionPermit;
use crate::tls::ClientCertificate;

/// A connection that is ready for HTTP/2.
#[derive(Debug)]
pub(super) struct Connection {
    transport: Transport,
    peer: Peer,
    /// None: the client is this process.
    monitor: Option<ClientMonitor>,
}

#[derive(Debug)]
enum Transport {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
    InProcess(DuplexStream),
}

/// Closes the connection of a client that is too slow in its handshakes, or floods the server with
/// frames.
#[derive(Debug)]
struct ClientMonitor {
    meter: FrameMeter,
    /// None: HTTP/2 has begun.
    handshake: Option<Handshake>,
    _permit: ConnectionPermit,
}

#[derive(Debug)]
pub(super) struct Handshake {
    /// The time limit of all handshakes together (TLS, HTTP/2).
    pub(super) end: Pin<Box<Sleep>>,
    pub(super) _permit: OwnedSemaphorePermit,
}

impl Connection {
    pub(super) fn plain(
        stream: TcpStream,
        address: SocketAddr,
        admitted: (ConnectionPermit, Handshake),
        meter: FrameMeter,
    ) -> Connection {
        let peer = Peer { address: Some(address), certificate: None };
        let monitor = Some(ClientMonitor::new(admitted, meter));
        Connection { transport: Transport::Plain(stream), peer, monitor }
    }

    pub(super) fn tls(
        stream: TlsStream<TcpStream>,
        address: SocketAddr,
        admitted: (ConnectionPermit, Handshake),
        meter: FrameMeter,
    ) -> Connection {
        let (_, session) = stream.get_ref();
        // rustls has verified it: otherwise the handshake would have failed.
        let certificate = session.peer_certificates().and_then(|chain| chain.first());
        let certificate = certificate.and_then(ClientCertificate::of);
        let peer = Peer { address: Some(address), certificate };
        let transport = Transport::Tls(Box::new(stream));
        Connection { transport, peer, monitor: Some(ClientMonitor::new(admitted, meter)) }
    }

    pub(super) fn in_process(stream: DuplexStream) -> Connection {
        let peer = Peer { address: None, certificate: None };
        Connection { transport: Transport::InProcess(stream), peer, monitor: None }
    }
}

impl ClientMonitor {
    fn new((permit, handshake): (ConnectionPermit, Handshake), meter: FrameMeter) -> ClientMonitor {
        ClientMonitor { meter, handshake: Some(handshake), _permit: permit }
    }

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

    /// Ready with an error when the handshakes have taken too long.
    fn poll_handshake_timeout(
        &mut self,
        context: &mut Context<'_>,
        peer: &Peer,
    ) -> Poll<io::Error> {
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

/// Calls a method of the stream within a [`Transport`].
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
        let Connection { transport, peer, monitor } = &mut *self;
        let before = buffer.filled().len();
        let read = on_stream!(transport, poll_read, context, buffer);
        match (read, monitor) {
            (Poll::Ready(Ok(())), Some(monitor)) => {
                Poll::Ready(monitor.received(&buffer.filled()[before..], peer))
            }
            (Poll::Pending, Some(monitor)) => {
                monitor.poll_handshake_timeout(context, peer).map(Err)
            }
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
