//! A client that writes HTTP/2 frames as bytes, to do what libraries do not permit.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout;

use crate::fixture::PATIENCE;

/// The preface and empty SETTINGS (RFC 9113 section 3.4).
const PREFACE_AND_SETTINGS: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
/// ENHANCE_YOUR_CALM (RFC 9113 section 7).
pub(crate) const ENHANCE_YOUR_CALM: u32 = 11;
/// GOAWAY without an error.
pub(crate) const NO_ERROR: u32 = 0;

/// Frame types (RFC 9113 section 6).
pub(crate) mod kind {
    pub(crate) const HEADERS: u8 = 1;
    pub(crate) const RST_STREAM: u8 = 3;
    pub(crate) const PING: u8 = 6;
    pub(crate) const GOAWAY: u8 = 7;
}

pub(crate) struct RawClient {
    stream: TcpStream,
}

/// The codes of the GOAWAYs with which the server has closed a connection.
pub(crate) type LastWords = Vec<u32>;

impl RawClient {
    /// Connects without sending anything.
    pub(crate) async fn silent(server: SocketAddr) -> RawClient {
        RawClient { stream: TcpStream::connect(server).await.expect("the server accepts") }
    }

    /// Connects and sends the preface.
    pub(crate) async fn begun(server: SocketAddr) -> RawClient {
        let mut client = RawClient::silent(server).await;
        client.send(PREFACE_AND_SETTINGS).await;
        client
    }

    /// Connects from another address of this machine, and sends the preface.
    pub(crate) async fn begun_from(address: &str, server: SocketAddr) -> RawClient {
        let socket = TcpSocket::new_v4().expect("a socket");
        socket.bind(address.parse().expect("an address")).expect("it is loopback's");
        let stream = socket.connect(server).await.expect("the server accepts");
        let mut client = RawClient { stream };
        client.send(PREFACE_AND_SETTINGS).await;
        client
    }

    /// Sends bytes. Errors are ignored: the server may have closed the connection.
    pub(crate) async fn send(&mut self, bytes: &[u8]) {
        _ = self.stream.write_all(bytes).await;
    }

    /// Reads without answering until the server closes the connection.
    pub(crate) async fn read_to_end(mut self) -> LastWords {
        let mut read = Vec::new();
        // A reset is an end as well.
        _ = timeout(PATIENCE, self.stream.read_to_end(&mut read)).await.expect("it is closed");
        goaways(&read)
    }

    /// Waits until the server closes the connection without a GOAWAY.
    pub(crate) async fn ends_without_a_word(self) {
        let last_words = self.read_to_end().await;
        assert!(last_words.is_empty(), "{last_words:?}");
    }

    /// Waits for the first bytes of the server, which prove that it has accepted the connection.
    pub(crate) async fn hears_something(&mut self) {
        let mut byte = [0];
        let heard = timeout(PATIENCE, self.stream.peek(&mut byte)).await;
        assert_eq!(heard.expect("in time").expect("no error"), 1);
    }
}

pub(crate) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("short").to_be_bytes();
    let head = [&length[1..], &[kind, flags], &stream.to_be_bytes()].concat();
    [&head, payload].concat()
}

pub(crate) fn ping() -> Vec<u8> {
    frame(kind::PING, 0, 0, &[0; 8])
}

/// HEADERS of a whole request, with indexes of HPACK's static table (RFC 7541 appendix A):
/// `:method POST`, `:scheme http`, and the path.
pub(crate) fn request(stream: u32, path: &str) -> Vec<u8> {
    let length = u8::try_from(path.len()).expect("short");
    headers(stream, &[&[0x83, 0x86, 0x04, length], path.as_bytes()].concat())
}

/// A request with `:status 200`, which only answers may have (RFC 9113 section 8.3.1).
pub(crate) fn malformed_request(stream: u32) -> Vec<u8> {
    headers(stream, &[0x83, 0x86, 0x84, 0x88])
}

fn headers(stream: u32, block: &[u8]) -> Vec<u8> {
    const END_STREAM_AND_HEADERS: u8 = 5;
    frame(kind::HEADERS, END_STREAM_AND_HEADERS, stream, block)
}

/// RST_STREAM with CANCEL.
pub(crate) fn reset(stream: u32) -> Vec<u8> {
    frame(kind::RST_STREAM, 0, stream, &[0, 0, 0, 8])
}

fn goaways(mut bytes: &[u8]) -> LastWords {
    let mut codes = Vec::new();
    while let Some((head, rest)) = bytes.split_first_chunk::<9>() {
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
        let (payload, rest) = rest.split_at(length.min(rest.len()));
        if head[3] == kind::GOAWAY
            && let [_, _, _, _, code @ ..] = payload
            && let Some(code) = code.first_chunk()
        {
            codes.push(u32::from_be_bytes(*code));
        }
        bytes = rest;
    }
    codes
}
