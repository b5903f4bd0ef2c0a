//! A receiver whose connections the test serves itself, byte by byte.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::{self, JoinHandle};

use tempfile::TempPath;
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::{Authority, Certificate};

/// A running receiver; it closes its connections and its port when it is dropped.
pub struct RawReceiver {
    address: SocketAddr,
    ca_file: TempPath,
    connections: Arc<AtomicU64>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl RawReceiver {
    /// Starts a receiver on a free port of 127.0.0.1. `serve` gets each connection after its TLS
    /// handshake, with its number, from 1.
    pub fn start<Serve, Serving>(certificate: Certificate, http1_only: bool, serve: Serve) -> Self
    where
        Serve: Fn(TlsStream<TcpStream>, u64) -> Serving + Clone + Send + 'static,
        Serving: Future<Output = ()> + Send + 'static,
    {
        let authority = Authority::new();
        let acceptor = TlsAcceptor::from(authority.server_config(certificate, http1_only));
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port is free");
        listener.set_nonblocking(true).expect("a listener can be made non-blocking");
        let address = listener.local_addr().expect("a listener has an address");
        let ca_file = authority.write_file();

        let connections = Arc::new(AtomicU64::new(0));
        let (stop, stopped) = oneshot::channel();
        let thread = thread::spawn({
            let connections = Arc::clone(&connections);
            move || run(listener, acceptor, connections, serve, stopped)
        });
        Self { address, ca_file, connections, stop: Some(stop), thread: Some(thread) }
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The https URL of a path (beginning with `/`), with the address as host.
    pub fn url(&self, path: &str) -> String {
        format!("https://{}{path}", self.address)
    }

    /// A file with the certificate to trust, for `--trust-ca`. It is removed with the receiver.
    pub fn ca_file(&self) -> &Path {
        &self.ca_file
    }

    /// The number of accepted TCP connections.
    pub fn connection_count(&self) -> u64 {
        self.connections.load(Ordering::Relaxed)
    }
}

impl Drop for RawReceiver {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // A panic there has been printed by its thread.
            let _ = thread.join();
        }
    }
}

fn run<Serve, Serving>(
    listener: TcpListener,
    acceptor: TlsAcceptor,
    connections: Arc<AtomicU64>,
    serve: Serve,
    stopped: oneshot::Receiver<()>,
) where
    Serve: Fn(TlsStream<TcpStream>, u64) -> Serving + Clone + Send + 'static,
    Serving: Future<Output = ()> + Send + 'static,
{
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime can be made");
    runtime.block_on(async {
        let listener = tokio::net::TcpListener::from_std(listener).expect("the listener is fit");
        let accepting = async {
            loop {
                let Ok((stream, _)) = listener.accept().await else { continue };
                let number = connections.fetch_add(1, Ordering::Relaxed) + 1;
                let (acceptor, serve) = (acceptor.clone(), serve.clone());
                tokio::spawn(async move {
                    let _ = stream.set_nodelay(true);
                    if let Ok(stream) = acceptor.accept(stream).await {
                        serve(stream, number).await;
                    }
                });
            }
        };
        tokio::select! {
            () = accepting => {}
            _ = stopped => {}
        }
    });
}
