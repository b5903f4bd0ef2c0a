//! The server's side of HTTP/2 (RFC 9113), frame by frame, for what no library would send.

use std::io;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

const PREFACE: usize = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".len();
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const CONTINUATION: u8 = 9;
/// The largest payload of a frame, unless the client allows more (section 6.5.2).
const MAX_FRAME: usize = 16_384;
const END_STREAM: u8 = 1;
const ACK: u8 = 1;
const END_HEADERS: u8 = 4;

/// `SETTINGS_MAX_CONCURRENT_STREAMS` (section 6.5.2).
pub const MAX_CONCURRENT_STREAMS: u16 = 3;
/// `SETTINGS_INITIAL_WINDOW_SIZE` (section 6.5.2).
pub const INITIAL_WINDOW_SIZE: u16 = 4;
/// The error code of a graceful shutdown (section 7).
pub const NO_ERROR: u32 = 0;
/// The error code of an internal error (section 7).
pub const INTERNAL_ERROR: u32 = 2;
/// The error code of a request that was not processed (section 7).
pub const REFUSED_STREAM: u32 = 7;
/// The error code that requires HTTP/1.1, for a request or for all (section 7).
pub const HTTP_1_1_REQUIRED: u32 = 13;

/// One connection, after the client's preface.
pub struct Connection<Stream> {
    stream: Stream,
    /// True by default, as the protocol requires.
    pub answers_pings: bool,
}

impl<Stream: AsyncRead + AsyncWrite + Unpin> Connection<Stream> {
    /// Reads the client's preface and sends ours, with these settings.
    pub async fn begin(mut stream: Stream, settings: &[(u16, u32)]) -> io::Result<Self> {
        stream.read_exact(&mut [0; PREFACE]).await?;
        let mut connection = Self { stream, answers_pings: true };
        let payload: Vec<u8> = settings
            .iter()
            .flat_map(|(id, value)| [&id.to_be_bytes()[..], &value.to_be_bytes()].concat())
            .collect();
        connection.write(SETTINGS, 0, 0, &payload).await?;
        Ok(connection)
    }

    /// The stream of the next request, once it is complete. An error if there is none.
    pub async fn request(&mut self) -> io::Result<u32> {
        self.request_until(END_STREAM).await
    }

    /// The stream of the next request, once its head has arrived.
    pub async fn request_head(&mut self) -> io::Result<u32> {
        self.request_until(END_HEADERS).await
    }

    async fn request_until(&mut self, end: u8) -> io::Result<u32> {
        loop {
            let mut head = [0; 9];
            self.stream.read_exact(&mut head).await?;
            let [a, b, c, kind, flags, id @ ..] = head;
            let mut payload = vec![0; u32::from_be_bytes([0, a, b, c]) as usize];
            self.stream.read_exact(&mut payload).await?;
            match kind {
                HEADERS | DATA if flags & end != 0 => return Ok(u32::from_be_bytes(id)),
                SETTINGS if flags & ACK == 0 => self.write(SETTINGS, ACK, 0, &[]).await?,
                PING if flags & ACK == 0 && self.answers_pings => {
                    self.write(PING, ACK, 0, &payload).await?;
                }
                _ => {}
            }
        }
    }

    /// Sends the head of an answer, which ends the stream if there is no body.
    pub async fn answer(&mut self, stream: u32, status: u16, has_body: bool) -> io::Result<()> {
        let end = if has_body { 0 } else { END_STREAM };
        // A literal field whose name is entry 8 of the static table, `:status` (RFC 7541).
        let field = [&[0x08, 3], status.to_string().as_bytes()].concat();
        self.write(HEADERS, END_HEADERS | end, stream, &field).await
    }

    /// Sends a head of these bytes, in as many frames as it takes, and ends the stream.
    pub async fn head(&mut self, stream: u32, fields: &[u8]) -> io::Result<()> {
        let count = fields.chunks(MAX_FRAME).count();
        for (index, piece) in fields.chunks(MAX_FRAME).enumerate() {
            let (kind, end) = match index {
                0 => (HEADERS, END_STREAM),
                _ => (CONTINUATION, 0),
            };
            let end_of_head = if index + 1 == count { END_HEADERS } else { 0 };
            self.write(kind, end | end_of_head, stream, piece).await?;
        }
        Ok(())
    }

    /// Sends a head that is shorter than announced.
    pub async fn part_of_head(
        &mut self,
        stream: u32,
        fields: &[u8],
        missing: u8,
    ) -> io::Result<()> {
        let size = fields.len() as u8 + missing;
        let mut frame = vec![0, 0, size, HEADERS, END_HEADERS];
        frame.extend(stream.to_be_bytes());
        frame.extend(fields);
        self.stream.write_all(&frame).await?;
        self.stream.flush().await
    }

    pub async fn body(&mut self, stream: u32, data: &[u8], is_last: bool) -> io::Result<()> {
        self.write(DATA, if is_last { END_STREAM } else { 0 }, stream, data).await
    }

    pub async fn reset(&mut self, stream: u32, error: u32) -> io::Result<()> {
        self.write(RST_STREAM, 0, stream, &error.to_be_bytes()).await
    }

    /// Sends PINGs in one go, and does not read the answers.
    pub async fn pings(&mut self, count: usize) -> io::Result<()> {
        let mut frame = vec![0, 0, 8, PING, 0];
        frame.extend([0; 4 + 8]);
        self.stream.write_all(&frame.repeat(count)).await?;
        self.stream.flush().await
    }

    /// Says that requests after `last_stream` are not processed.
    pub async fn go_away(&mut self, last_stream: u32, error: u32) -> io::Result<()> {
        let payload = [last_stream.to_be_bytes(), error.to_be_bytes()].concat();
        self.write(GOAWAY, 0, 0, &payload).await
    }

    /// Reads until the client closes the connection, so that no data is lost by a reset.
    pub async fn end(mut self) {
        let _ = self.stream.shutdown().await;
        let _ = tokio::io::copy(&mut self.stream, &mut tokio::io::sink()).await;
    }

    async fn write(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) -> io::Result<()> {
        let [_, a, b, c] = (payload.len() as u32).to_be_bytes();
        let mut frame = vec![a, b, c, kind, flags];
        frame.extend(stream.to_be_bytes());
        frame.extend(payload);
        self.stream.write_all(&frame).await?;
        self.stream.flush().await
    }
}
