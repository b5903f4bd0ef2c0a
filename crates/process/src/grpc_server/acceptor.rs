//! Accepts connections, and hands them to the server when they are ready for HTTP/2. Each TLS
//! handshake runs in a task of its own, so that slow clients do not delay others.
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
use crate::connections::{Admission, ConnectionPermit, Limit, Listener};
use crate::tls::Reloadable;

/// Accepts until `shutdown` is cancelled, and closes the socket then.
pub(super) struct Acceptor {
    listener: Listener,
    limits: LimitFlags,
    admission: Admission,
    handshakes: Arc<Semaphore>,
    server: mpsc::Sender<Connection>,
    shutdown: CancellationToken,
}

impl Acceptor {
    pub(super) fn new(
        listener: Listener,
        limits: LimitFlags,
        server: mpsc::Sender<Connection>,
        shutdown: CancellationToken,
    ) -> Acceptor {
        let max = Limit { number: limits.max_connections, flag: "--max-connections" };
        let max_per_peer =
            Limit { number: limits.max_connections_per_peer, flag: "--max-connections-per-peer" };
        Acceptor {
            listener,
            admission: Admission::new(max, max_per_peer, Vec::new()),
            handshakes: Arc::new(Semaphore::new(limits.max_handshakes as usize)),
            limits,
            server,
            shutdown,
        }
    }

    pub(super) async fn run(self) {
        while let Some((stream, address, permit)) =
            self.shutdown.run_until_cancelled(self.admission.accept(&self.listener)).await
        {
            let Some(handshake) = self.begin_handshake() else {
                Admission::log_refused(address, "--max-handshakes");
                continue;
            };
            let meter = FrameMeter::new(self.limits.max_control_frames);
            let admitted = (permit, handshake);
            match self.listener.tls() {
                None => self.hand_over(Connection::plain(stream, address, admitted, meter)).await,
                Some(tls) => self.spawn_handshake(tls, stream, address, admitted, meter),
            }
        }
    }

    /// None: too many handshakes are under way.
    fn begin_handshake(&self) -> Option<Handshake> {
        let permit = Arc::clone(&self.handshakes).try_acquire_owned().ok()?;
        Some(Handshake { end: Box::pin(sleep(self.limits.handshake_timeout)), _permit: permit })
    }

    fn spawn_handshake(
        &self,
        tls: &Reloadable<ServerConfig>,
        stream: TcpStream,
        address: SocketAddr,
        (permit, mut handshake): (ConnectionPermit, Handshake),
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
                        log_failed_handshake(address, &error);
                        return;
                    }
                },
                () = &mut handshake.end => {
                    tracing::debug!(peer = %address, "a TLS handshake was not over in time, see --handshake-timeout");
                    return;
                }
                () = shutdown.cancelled() => return,
            };
            let connection = Connection::tls(stream, address, (permit, handshake), meter);
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

/// A refused certificate is logged at info: its client is not told why, so its operator will ask
/// ours. Other failed handshakes come from strangers, and there is nothing to repair.
fn log_failed_handshake(peer: SocketAddr, error: &io::Error) {
    match CertificateProblem::find_in(error) {
        Some(problem) => tracing::info!(
            %peer,
            reason = problem.client_message(),
            "refused a client for its certificate, see --tls-client-ca"
        ),
        None => tracing::debug!(%peer, %error, "a TLS handshake failed"),
    }
}
