//! A TCP relay that can stop forwarding without closing connections, like a firewall that forgets a
//! connection, or a machine that is gone.

use std::net::{Ipv4Addr, SocketAddr};

use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// A relay to a port of 127.0.0.1; it ends when it is dropped.
#[derive(Debug)]
pub struct Relay {
    port: u16,
    /// How often it has stopped forwarding.
    cuts: watch::Sender<u32>,
}

impl Relay {
    /// Starts a relay on a free port of 127.0.0.1.
    pub async fn start(server_port: u16) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a port is free");
        let port = listener.local_addr().expect("it is bound").port();
        let server = SocketAddr::from((Ipv4Addr::LOCALHOST, server_port));
        let cuts = watch::Sender::new(0);
        let mut ended = cuts.subscribe();
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
        Self { port, cuts }
    }

    /// The relay's own port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Stops forwarding in both directions on all current connections, and closes none. New ones
    /// work.
    pub fn stop_forwarding(&self) {
        self.cuts.send_modify(|cuts| *cuts += 1);
    }
}

async fn wait_for_end(cuts: &mut watch::Receiver<u32>) {
    while cuts.changed().await.is_ok() {}
}

async fn pass_on(mut client: TcpStream, server: SocketAddr, mut cuts: watch::Receiver<u32>) {
    cuts.mark_unchanged();
    // Without a server the connection ends.
    let Ok(mut server) = TcpStream::connect(server).await else { return };
    tokio::select! {
        _ = copy_bidirectional(&mut client, &mut server) => {}
        _ = cuts.changed() => wait_for_end(&mut cuts).await,
    }
}
