//! From the socket to connections that are ready for HTTP/2: each is admitted or turned away,
//! and has its TLS handshake in a task of its own, so that slow ones hold up nobody.
//!
//! Decision: docs/decisions/connections-are-accepted-by-our-own-loop.md

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use keeptrusts_webhooks_trust::CertificateProblem;
use rustls::ServerConfig;
use tokio::net::TcpStream;
use tokio::sync::{Semaphore, mpsc};
use tokio::time::sleep;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

use super::connection::{Connection, Handshake};
use super::frames::FrameMeter;
use super::limits::LimitFlags;
use crate::connections::{Admission, Limit, Listener, Place};
use crate::tls::Reloadable;

/// Accepts until `shutdown` is cancelled, and closes the socket then.
pub(super) struct Accepting {
    listener: Listener,
    limits: LimitFlags,
    admission: Admission,
    handshakes: Arc<Semaphore>,
    server: mpsc::Sender<Connection>,
    shutdown: CancellationToken,
}

impl Accepting {
    pub(super) fn new(
        listener: Listener,
        limits: LimitFlags,
        server: mpsc::Sender<Connection>,
        shutdown: CancellationToken,
    ) -> Accepting {
        let max = Limit { number: limits.max_connections, flag: "--max-connections" };
        let max_per_peer =
            Limit { number: limits.max_connections_per_peer, flag: "--max-connections-per-peer" };
        Accepting {
            listener,
            admission: Admission::new(max, max_per_peer, Vec::new()),
            handshakes: Arc::new(Semaphore::new(limits.max_handshakes as usize)),
            limits,
            server,
            shutdown,
        }
    }

    pub(super) async fn run(self) {
        while let Some((stream, address, place)) =
            self.shutdown.run_until_cancelled(self.admission.accept(&self.listener)).await
        {
            let Some(handshake) = self.begin_handshake() else {
                Admission::turned_away(address, "--max-handshakes");
                continue;
            };
            let meter = FrameMeter::new(self.limits.max_control_frames);
            let admitted = (place, handshake);
            match self.listener.tls() {
                None => self.hand_over(Connection::plain(stream, address, admitted, meter)).await,
                Some(tls) => self.spawn_handshake(tls, stream, address, admitted, meter),
            }
        }
    }

    /// None: too many are in theirs.
    fn begin_handshake(&self) -> Option<Handshake> {
        let permit = Arc::clone(&self.handshakes).try_acquire_owned().ok()?;
        Some(Handshake { end: Box::pin(sleep(self.limits.handshake_timeout)), _permit: permit })
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
                        tell_failed_handshake(address, &error);
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

/// Who operates a client whose certificate is refused learns no more than that, and asks here. What
/// else strangers send is nobody's to mend.
fn tell_failed_handshake(peer: SocketAddr, error: &io::Error) {
    match CertificateProblem::find_in(error) {
        Some(problem) => tracing::info!(
            %peer,
            reason = problem.client_message(),
            "refused a client for its certificate, see --tls-client-ca"
        ),
        None => tracing::debug!(%peer, %error, "a TLS handshake failed"),
    }
}
