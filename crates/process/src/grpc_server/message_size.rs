//! The size limit of request messages, for all services in one place.
//!
//! Decision: docs/decisions/requests-are-counted-on-the-wire.md

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Frame, SizeHint};
use keeptrusts_webhooks_contracts::status::{self, Reason};
use tonic::Status;
use tonic::body::Body;

/// Before each message: whether it is compressed, and its length in four bytes.
/// <https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md#requests>
pub(super) const PREFIX_BYTES: usize = 5;

/// The body of a request. It fails when a message's prefix announces more than `max_bytes`.
///
/// tonic has such a limit for each generated server, but its error does not say who can change it.
/// The services switch it off ([`NO_DECODING_LIMIT`](super::limits::NO_DECODING_LIMIT)).
pub(super) struct MeasuredBody {
    body: Body,
    max_bytes: u32,
    state: ParserState,
}

/// What the next byte belongs to.
enum ParserState {
    Prefix { bytes: [u8; PREFIX_BYTES], filled: usize },
    Message { missing: usize },
}

impl MeasuredBody {
    pub(super) fn new(body: Body, max_bytes: u32) -> MeasuredBody {
        MeasuredBody { body, max_bytes, state: ParserState::prefix() }
    }

    fn measure(&mut self, mut bytes: &[u8]) -> Result<(), Status> {
        while !bytes.is_empty() {
            let taken = match &mut self.state {
                ParserState::Message { missing } => {
                    let taken = bytes.len().min(*missing);
                    *missing -= taken;
                    if *missing == 0 {
                        self.state = ParserState::prefix();
                    }
                    taken
                }
                ParserState::Prefix { bytes: prefix, filled } => {
                    let taken = bytes.len().min(PREFIX_BYTES - *filled);
                    prefix[*filled..*filled + taken].copy_from_slice(&bytes[..taken]);
                    *filled += taken;
                    if *filled == PREFIX_BYTES {
                        let [_, length @ ..] = *prefix;
                        self.state = self.message_begins(u32::from_be_bytes(length))?;
                    }
                    taken
                }
            };
            bytes = &bytes[taken..];
        }
        Ok(())
    }

    fn message_begins(&self, length: u32) -> Result<ParserState, Status> {
        if length > self.max_bytes {
            return Err(too_large(length, self.max_bytes));
        }
        Ok(match length {
            0 => ParserState::prefix(),
            _ => ParserState::Message { missing: length as usize },
        })
    }
}

impl ParserState {
    fn prefix() -> ParserState {
        ParserState::Prefix { bytes: [0; PREFIX_BYTES], filled: 0 }
    }
}

pub(super) fn too_large(length: u32, max_bytes: u32) -> Status {
    let message = format!(
        "the request has {length} bytes and may have {max_bytes}: send less at a time; operators can permit more with --max-request-bytes"
    );
    status::resource_exhausted(Reason::RequestTooLarge, message)
}

impl http_body::Body for MeasuredBody {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let polled = Pin::new(&mut self.body).poll_frame(context);
        if let Poll::Ready(Some(Ok(frame))) = &polled
            && let Some(data) = frame.data_ref()
            && let Err(status) = self.measure(data)
        {
            return Poll::Ready(Some(Err(status)));
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(length: u8) -> Vec<u8> {
        let mut message = vec![0, 0, 0, 0, length];
        message.extend(std::iter::repeat_n(0xff, usize::from(length)));
        message
    }

    #[test]
    fn every_message_of_a_body_is_measured_wherever_frames_are_cut() {
        let stream = [message(0), message(10), message(1), message(11)].concat();
        for size in 1..=stream.len() {
            let mut body = MeasuredBody::new(Body::empty(), 10);
            let measured: Result<Vec<()>, Status> =
                stream.chunks(size).map(|bytes| body.measure(bytes)).collect();
            let refused = measured.expect_err("the last one is too large");
            assert_eq!(
                refused.message(),
                "the request has 11 bytes and may have 10: send less at a time; operators can permit more with --max-request-bytes"
            );
            let mut body = MeasuredBody::new(Body::empty(), 11);
            for bytes in stream.chunks(size) {
                assert!(body.measure(bytes).is_ok(), "in pieces of {size}");
            }
        }
    }
}
