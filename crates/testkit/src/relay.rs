//! A TCP relay that falls silent: what a firewall does that forgets a connection, or a machine that
//! is gone. Nobody is told.

use std::net::{Ipv4Addr, SocketAddr};

use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// A relay to a port of 127.0.0.1; ends when it is dropped.
#[derive(Debug)]
pub struct Relay {
    port: u16,
    /// How often it has fallen silent.
    silences: watch::Sender<u32>,
}

impl Relay {
    /// Starts a relay on a free port of 127.0.0.1.
    pub async fn start(server_port: u16) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a port is free");
        let port = listener.local_addr().expect("it is bound").port();
        let server = SocketAddr::from((Ipv4Addr::LOCALHOST, server_port));
        let silences = watch::Sender::new(0);
        let mut ended = silences.subscribe();
        tokio::spawn(async move {
            loop {
                let accepted = tokio::select! {
                    accepted = listener.accept() => accepted,
                    dropped = wait_for_end(&mut ended) => return dropped,
                };
                if let Ok((client, _)) = accepted {
                    tokio::spawn(pass_on(client, server, ended.clone()));
                }
            }
        });
        Self { port, silences }
    }

    /// The port that it listens on.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Passes nothing on any more, either way, on any connection that there is, and closes none.
    /// New ones work.
    pub fn fall_silent(&self) {
        self.silences.send_modify(|silences| *silences += 1);
    }
}

async fn wait_for_end(silences: &mut watch::Receiver<u32>) {
    while silences.changed().await.is_ok() {}
}

async fn pass_on(mut client: TcpStream, server: SocketAddr, mut silences: watch::Receiver<u32>) {
    silences.mark_unchanged();
    // A server that is not there ends the connection.
    let Ok(mut server) = TcpStream::connect(server).await else { return };
    tokio::select! {
        _ = copy_bidirectional(&mut client, &mut server) => {}
        _ = silences.changed() => wait_for_end(&mut silences).await,
    }
}
