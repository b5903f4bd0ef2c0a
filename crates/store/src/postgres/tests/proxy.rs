//! Stands between a store and its server, and loses the answer of a commit.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt, copy};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;

/// What the proxy does when it sees a COMMIT.
#[derive(Default)]
pub(super) struct Mischief {
    /// Passes the COMMIT on, then cuts the connection before the answer.
    pub(super) lose_answer: AtomicBool,
    /// Cuts the connection without passing the COMMIT on.
    pub(super) lose_commit: AtomicBool,
}

/// Starts a proxy in front of a port of 127.0.0.1; answers with its own port.
pub(super) async fn start(server_port: u16, mischief: Arc<Mischief>) -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a port is free");
    let port = listener.local_addr().expect("it is bound").port();
    let server_address = SocketAddr::from((Ipv4Addr::LOCALHOST, server_port));
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            let server = TcpStream::connect(server_address).await.expect("the server is there");
            tokio::spawn(stand_between(client, server, Arc::clone(&mischief)));
        }
    });
    port
}

async fn stand_between(client: TcpStream, server: TcpStream, mischief: Arc<Mischief>) {
    let (client_reader, mut client_writer) = client.into_split();
    let (mut server_reader, server_writer) = server.into_split();
    let cut = Arc::new(Notify::new());
    let questions = pass_questions(client_reader, server_writer, mischief, Arc::clone(&cut));
    let answers = async {
        tokio::select! {
            _ = copy(&mut server_reader, &mut client_writer) => {}
            () = cut.notified() => {
                // The server ends the session when it has done what it was told.
                drop(client_writer);
                let mut rest = Vec::new();
                let _ = server_reader.read_to_end(&mut rest).await;
            }
        }
    };
    tokio::join!(questions, answers);
}

async fn pass_questions(
    mut client: OwnedReadHalf,
    mut server: OwnedWriteHalf,
    mischief: Arc<Mischief>,
    cut: Arc<Notify>,
) {
    let mut buffer = vec![0; 64 * 1024];
    while let Ok(length @ 1..) = client.read(&mut buffer).await {
        let question = &buffer[..length];
        let is_commit = question.windows(7).any(|bytes| bytes == b"COMMIT\0");
        if is_commit && mischief.lose_commit.load(Ordering::SeqCst) {
            return cut.notify_one();
        }
        if is_commit && mischief.lose_answer.load(Ordering::SeqCst) {
            cut.notify_one();
        }
        if server.write_all(question).await.is_err() {
            return;
        }
        if is_commit && mischief.lose_answer.load(Ordering::SeqCst) {
            return;
        }
    }
}
