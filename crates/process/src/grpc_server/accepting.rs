//! From the socket to connections that are ready for HTTP/2: each is admitted or turned away,
//! and has its TLS handshake in a task of its own, so that slow ones hold up nobody.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use rustls::ServerConfig;
use tokio::net::TcpStream;
use tokio::sync::{Semaphore, mpsc};
use tokio::time::{Instant, sleep};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

use super::connection::{Connection, Handshake};
use super::frames::FrameMeter;
use super::limits::{LimitFlags, WARNING_INTERVAL};
use super::listener::Listener;
use super::places::{NoPlace, Place, Places};
use crate::tls::Reloadable;

/// Accepts until `shutdown` is cancelled, and closes the socket then.
pub(super) struct Accepting {
    pub(super) listener: Listener,
    pub(super) admission: Admission,
    pub(super) server: mpsc::Sender<Connection>,
    pub(super) shutdown: CancellationToken,
}

/// Who is let in.
pub(super) struct Admission {
    limits: LimitFlags,
    places: Arc<Places>,
    handshakes: Arc<Semaphore>,
    warned: Mutex<Option<Instant>>,
}

impl Accepting {
    pub(super) async fn run(self) {
        while let Some((stream, address)) =
            self.shutdown.run_until_cancelled(self.listener.accept()).await
        {
            let admitted = match self.admission.admit(address) {
                Ok(admitted) => admitted,
                Err(NoPlace(flag)) => {
                    self.admission.warn(address, flag);
                    continue;
                }
            };
            let meter = FrameMeter::new(self.admission.limits.max_control_frames);
            match self.listener.tls() {
                None => self.hand_over(Connection::plain(stream, address, admitted, meter)).await,
                Some(tls) => self.spawn_handshake(tls, stream, address, admitted, meter),
            }
        }
    }

    fn spawn_handshake(
        &self,
        tls: &Reloadable<ServerConfig>,
        stream: TcpStream,
        address: SocketAddr,
        (place, mut handshake): (Place, Handshake),
        meter: FrameMeter,
    ) {
        let accepted = TlsAcceptor::from(tls.current()).accept(stream);
        let server = self.server.clone();
        let shutdown = self.shutdown.clone();
        tokio::spawn(async move {
            let stream = tokio::select! {
                accepted = accepted => match accepted {
                    Ok(stream) => stream,
                    Err(error) => {
                        tracing::debug!(peer = %address, %error, "a TLS handshake failed");
                        return;
                    }
                },
                () = &mut handshake.end => {
                    tracing::debug!(peer = %address, "a TLS handshake was not over in time, see --handshake-timeout");
                    return;
                }
                () = shutdown.cancelled() => return,
            };
            let connection = Connection::tls(stream, address, (place, handshake), meter);
            // An error: the server has ended.
            _ = server.send(connection).await;
        });
    }

    async fn hand_over(&self, connection: Connection) {
        let handed_over = self.server.send(connection);
        // An error: the server has ended.
        _ = self.shutdown.run_until_cancelled(handed_over).await;
    }
}

impl Admission {
    pub(super) fn new(limits: LimitFlags) -> Admission {
        Admission {
            places: Places::new(limits.max_connections, limits.max_connections_per_peer),
            handshakes: Arc::new(Semaphore::new(limits.max_handshakes as usize)),
            warned: Mutex::default(),
            limits,
        }
    }

    fn admit(&self, address: SocketAddr) -> Result<(Place, Handshake), NoPlace> {
        let place = self.places.take(address.ip())?;
        let permit = Arc::clone(&self.handshakes).try_acquire_owned();
        let permit = permit.map_err(|_| NoPlace("--max-handshakes"))?;
        let end = Box::pin(sleep(self.limits.handshake_timeout));
        Ok((place, Handshake { end, _permit: permit }))
    }

    /// A line for each connection would let anybody fill the disk.
    fn warn(&self, address: SocketAddr, flag: &'static str) {
        tracing::debug!(peer = %address, "turned a connection away, see {flag}");
        let mut warned = self.warned.lock().unwrap_or_else(PoisonError::into_inner);
        if warned.is_none_or(|before| before.elapsed() >= WARNING_INTERVAL) {
            *warned = Some(Instant::now());
            tracing::warn!(peer = %address, "connections are turned away, see {flag}; this is said once in {WARNING_INTERVAL:?}");
        }
    }
}
