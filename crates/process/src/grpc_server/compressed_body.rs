//! Compresses the messages of a streaming answer.
//!
//! Decision: docs/decisions/answers-take-memory-until-they-are-written.md

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes, BytesMut};
use http_body::Frame;
use tonic::Status;
use tonic::body::Body;

use super::compression::{Encoding, compressed};
use super::message_size::PREFIX_BYTES;

/// Compresses each message as soon as it is complete.
pub(super) struct CompressedBody {
    body: Body,
    encoding: Encoding,
    /// The beginning of an incomplete message.
    incomplete: BytesMut,
}

impl CompressedBody {
    pub(super) fn new(body: Body, encoding: Encoding) -> CompressedBody {
        CompressedBody { body, encoding, incomplete: BytesMut::new() }
    }

    /// The messages that are complete with these bytes, compressed. Empty: none is.
    fn compress(&mut self, data: &[u8]) -> Bytes {
        self.incomplete.extend_from_slice(data);
        let mut messages = BytesMut::new();
        while let Some([_, length @ ..]) = self.incomplete.first_chunk::<PREFIX_BYTES>() {
            let length = PREFIX_BYTES + u32::from_be_bytes(*length) as usize;
            if self.incomplete.len() < length {
                break;
            }
            let message = self.incomplete.split_to(length).freeze();
            messages.extend_from_slice(compressed(message, self.encoding).chunk());
        }
        messages.freeze()
    }
}

impl http_body::Body for CompressedBody {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        loop {
            let polled = ready!(Pin::new(&mut self.body).poll_frame(context));
            let Some(Ok(frame)) = polled else { return Poll::Ready(polled) };
            match frame.into_data() {
                Ok(data) => {
                    let messages = self.compress(&data);
                    if !messages.is_empty() {
                        return Poll::Ready(Some(Ok(Frame::data(messages))));
                    }
                }
                Err(trailers) => return Poll::Ready(Some(Ok(trailers))),
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_compressed_wherever_frames_are_cut_except_short_ones() {
        let message = |length: u16| {
            let [high, low] = length.to_be_bytes();
            let mut message = vec![0, 0, 0, high, low];
            message.extend(std::iter::repeat_n(b'x', usize::from(length)));
            message
        };
        let stream = [message(3), message(5_000), message(0)].concat();
        for (encoding, size) in [(Encoding::Gzip, 1), (Encoding::Zstd, 7), (Encoding::Gzip, 9_000)]
        {
            let mut body = CompressedBody::new(Body::empty(), encoding);
            let passed: Vec<u8> =
                stream.chunks(size).flat_map(|data| body.compress(data)).collect();
            assert_eq!(passed[..8], message(3));
            assert_eq!(passed[8], 1, "compressed");
            assert!(passed.len() < 200, "{}", passed.len());
            assert_eq!(passed[passed.len() - 5..], message(0));
            assert!(body.incomplete.is_empty());
        }
    }
}
