//! A proxy between a store and its server that loses a commit or the answer to it.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt, copy};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;

/// What the proxy does when it sees a COMMIT.
#[derive(Default)]
pub(super) struct Fault {
    /// A statement that was prepared before commits itself: that it is executed is the COMMIT.
    pub(super) is_one_statement: AtomicBool,
    /// Passes the COMMIT on, then cuts the connection before the answer.
    pub(super) lose_answer: AtomicBool,
    /// Cuts the connection without passing the COMMIT on.
    pub(super) lose_commit: AtomicBool,
}

/// Starts a proxy for a port of 127.0.0.1. Returns the proxy's port.
pub(super) async fn start(server_port: u16, fault: Arc<Fault>) -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a port is free");
    let port = listener.local_addr().expect("it is bound").port();
    let server_address = SocketAddr::from((Ipv4Addr::LOCALHOST, server_port));
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            let server = TcpStream::connect(server_address).await.expect("the server is there");
            tokio::spawn(forward(client, server, Arc::clone(&fault)));
        }
    });
    port
}

async fn forward(client: TcpStream, server: TcpStream, fault: Arc<Fault>) {
    let (client_reader, mut client_writer) = client.into_split();
    let (mut server_reader, server_writer) = server.into_split();
    let cut = Arc::new(Notify::new());
    let requests = forward_requests(client_reader, server_writer, fault, Arc::clone(&cut));
    let answers = async {
        tokio::select! {
            _ = copy(&mut server_reader, &mut client_writer) => {}
            () = cut.notified() => {
                // The server ends the session after the last statement.
                drop(client_writer);
                let mut rest = Vec::new();
                let _ = server_reader.read_to_end(&mut rest).await;
            }
        }
    };
    tokio::join!(requests, answers);
}

async fn forward_requests(
    mut client: OwnedReadHalf,
    mut server: OwnedWriteHalf,
    fault: Arc<Fault>,
    cut: Arc<Notify>,
) {
    let mut buffer = vec![0; 64 * 1024];
    while let Ok(length @ 1..) = client.read(&mut buffer).await {
        let request = &buffer[..length];
        const BIND: u8 = b'B';
        let is_commit = match fault.is_one_statement.load(Ordering::SeqCst) {
            false => request.windows(7).any(|bytes| bytes == b"COMMIT\0"),
            true => request[0] == BIND,
        };
        if is_commit && fault.lose_commit.load(Ordering::SeqCst) {
            return cut.notify_one();
        }
        if is_commit && fault.lose_answer.load(Ordering::SeqCst) {
            cut.notify_one();
        }
        if server.write_all(request).await.is_err() {
            return;
        }
        if is_commit && fault.lose_answer.load(Ordering::SeqCst) {
            return;
        }
    }
}
