//! Compression of messages, <https://github.com/grpc/grpc/blob/master/doc/compression.md>. Requests
//! are inflated before anything else, within the limits for uncompressed requests. Answers are
//! compressed if the client accepts it.
//!
//! One place for all services, so that no limit and no secret is forgotten. An answer that contains
//! a secret is never compressed: its length would reveal the secret to an attacker who sees the
//! connection and controls a part of the answer (CRIME, BREACH).
//!
//! Decision: docs/decisions/messages-are-inflated-in-one-place.md

use std::io::{self, Read, Write};

use bytes::{BufMut, Bytes, BytesMut};
use flate2::bufread::GzDecoder;
use flate2::write::GzEncoder;
use http::{HeaderMap, HeaderValue};
use keeptrusts_webhooks_contracts::status::{self, Reason};
use keeptrusts_webhooks_domain::limits::MAX_DATA_BYTES;
use keeptrusts_webhooks_domain::violation::Violation;
use tonic::Status;
use tonic::metadata::MetadataValue;
use zstd::zstd_safe;

use super::message_size::PREFIX_BYTES;
use super::request_pools::RequestMemory;

/// The header with the encoding of the messages.
pub(super) const ENCODING: &str = "grpc-encoding";
/// The header with the encodings that its sender can read.
pub(super) const ACCEPTED: &str = "grpc-accept-encoding";
const ALL_ACCEPTED: &str = "identity,gzip,zstd";
/// Bytes that are inflated, and charged to the sender, at a time.
const CHUNK_BYTES: usize = 16 * 1024;
/// How many times its compressed length a message may grow to, beyond [`RATIO_FREE_BYTES`]. A batch
/// of a thousand similar events reaches about 50.
const MAX_RATIO: usize = 200;
/// Up to this size any ratio is permitted: the text of one event may repeat itself a thousand times
/// without being an attack. Memory is charged in any case; the ratio limits the time that inflating
/// takes.
const RATIO_FREE_BYTES: usize = 1024 * 1024;
const _: () = assert!(RATIO_FREE_BYTES >= 2 * MAX_DATA_BYTES);
/// The largest zstd window (RFC 8878 section 3.1.1.1.2), unless messages may be larger.
const MAX_WINDOW_BYTES: u64 = 8 * 1024 * 1024;
/// Shorter messages are not compressed.
const MIN_COMPRESSED_BYTES: usize = 1024;
/// The next levels take twice the time and save a few percent.
const ZSTD_LEVEL: i32 = 1;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Encoding {
    Gzip,
    Zstd,
}

impl Encoding {
    /// The best one first.
    const ALL: [Encoding; 2] = [Encoding::Zstd, Encoding::Gzip];

    pub(super) const fn name(self) -> &'static str {
        match self {
            Encoding::Gzip => "gzip",
            Encoding::Zstd => "zstd",
        }
    }

    /// The encoding of a request. None: it is not compressed. UNIMPLEMENTED: an unknown encoding.
    pub(super) fn of_request(headers: &HeaderMap) -> Result<Option<Encoding>, Status> {
        let Some(name) = headers.get(ENCODING) else { return Ok(None) };
        if name == "identity" {
            return Ok(None);
        }
        match Encoding::ALL.into_iter().find(|encoding| name == encoding.name()) {
            Some(encoding) => Ok(Some(encoding)),
            None => {
                let message = format!("messages can be compressed by these only: {ALL_ACCEPTED}");
                let mut status = status::unimplemented(Reason::EncodingNotSupported, message);
                let accepted = MetadataValue::from_static(ALL_ACCEPTED);
                status.metadata_mut().insert(ACCEPTED, accepted);
                Err(status)
            }
        }
    }

    /// The best encoding that the client accepts. None: it accepts none.
    pub(super) fn for_answer(headers: &HeaderMap) -> Option<Encoding> {
        let accepted: Vec<&str> = headers
            .get_all(ACCEPTED)
            .iter()
            .filter_map(|value| value.to_str().ok())
            .flat_map(|names| names.split(','))
            .map(str::trim)
            .collect();
        Encoding::ALL.into_iter().find(|encoding| accepted.contains(&encoding.name()))
    }

    pub(super) fn header(self) -> HeaderValue {
        HeaderValue::from_static(self.name())
    }
}

/// The body of a request with its message inflated. Its memory is charged while it grows.
pub(super) fn inflated(
    body: Bytes,
    encoding: Option<Encoding>,
    max_bytes: u32,
    memory: &mut RequestMemory,
) -> Result<Bytes, Status> {
    let Some(([1, length @ ..], rest)) = body.split_first_chunk::<PREFIX_BYTES>() else {
        return Ok(body);
    };
    // gRPC's document demands INTERNAL for a compressed message without grpc-encoding. The mistake
    // is the client's, so it gets INVALID_ARGUMENT.
    let encoding = encoding.ok_or_else(|| unreadable("it is compressed and does not say how"))?;
    let length = u32::from_be_bytes(*length) as usize;
    // Happens for unknown methods only, whose framing is not checked. No service reads it.
    let Some(compressed) = rest.get(..length) else { return Ok(body) };
    let message = match encoding {
        Encoding::Gzip => {
            grow(GzDecoder::new(compressed), length, max_bytes, |bytes| memory.grow(bytes))?
        }
        Encoding::Zstd => {
            let window = window_of(compressed).ok_or_else(damaged)?;
            if window > MAX_WINDOW_BYTES.max(u64::from(max_bytes)) {
                return Err(unreadable("its zstd window is too large: 8 MiB are enough"));
            }
            let _window = memory.take_temporarily(window)?;
            let decoder = zstd::Decoder::with_buffer(compressed).and_then(|mut decoder| {
                decoder.window_log_max(window.next_power_of_two().ilog2().max(10))?;
                Ok(decoder)
            });
            let decoder = decoder.map_err(|_| unreadable("zstd cannot begin with it"))?;
            grow(decoder, length, max_bytes, |bytes| memory.grow(bytes))?
        }
    };
    Ok(message)
}

/// Inflates a message of `compressed` bytes, and puts its prefix before it.
fn grow(
    mut from: impl Read,
    compressed: usize,
    max_bytes: u32,
    mut charge: impl FnMut(usize) -> Result<(), Status>,
) -> Result<Bytes, Status> {
    let mut message = BytesMut::zeroed(PREFIX_BYTES);
    let mut chunk = [0; CHUNK_BYTES];
    loop {
        let read = match from.read(&mut chunk) {
            Ok(0) => break,
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(_) => return Err(damaged()),
        };
        let length = message.len() - PREFIX_BYTES + read;
        if length > max_bytes as usize {
            return Err(grows_too_much(&format!(
                "{max_bytes} bytes: send less at a time; operators can permit more with --max-request-bytes"
            )));
        }
        if length > RATIO_FREE_BYTES && length > compressed.saturating_mul(MAX_RATIO) {
            return Err(grows_too_much(&format!(
                "{MAX_RATIO} times its length, and {RATIO_FREE_BYTES} bytes: send it uncompressed, or less at a time"
            )));
        }
        charge(read)?;
        message.extend_from_slice(&chunk[..read]);
    }
    let length = (message.len() - PREFIX_BYTES) as u32;
    message[1..PREFIX_BYTES].copy_from_slice(&length.to_be_bytes());
    Ok(message.freeze())
}

/// The largest window of the zstd frames, in bytes: what inflating them needs besides the message.
/// None: these are not zstd frames.
fn window_of(mut frames: &[u8]) -> Option<u64> {
    let mut largest = 0;
    while !frames.is_empty() {
        largest = largest.max(window_of_frame(frames)?);
        frames = frames.get(zstd_safe::find_frame_compressed_size(frames).ok()?..)?;
    }
    Some(largest)
}

/// RFC 8878 section 3.1.1.1.
fn window_of_frame(frame: &[u8]) -> Option<u64> {
    const MAGIC: [u8; 4] = 0xfd2f_b528_u32.to_le_bytes();
    const SINGLE_SEGMENT: u8 = 0x20;
    let (magic, header) = frame.split_first_chunk::<4>()?;
    match header {
        // A skippable frame.
        _ if *magic != MAGIC => Some(0),
        [descriptor, ..] if descriptor & SINGLE_SEGMENT != 0 => {
            zstd_safe::get_frame_content_size(frame).ok().flatten()
        }
        [_, window, ..] => {
            let base = 1_u64 << (10 + (window >> 3));
            Some(base + base / 8 * u64::from(window & 7))
        }
        _ => None,
    }
}

fn damaged() -> Status {
    unreadable("its compressed bytes are damaged")
}

/// INVALID_ARGUMENT: the request is not valid gRPC.
pub(super) fn unreadable(why: &str) -> Status {
    status::invalid_argument(vec![Violation::invalid_format(
        "request",
        format!("cannot be read: {why}"),
    )])
}

fn grows_too_much(limit_and_remedy: &str) -> Status {
    let message = format!("the request inflates to more than {limit_and_remedy}");
    status::resource_exhausted(Reason::RequestTooLarge, message)
}

/// Compresses a message with its prefix, if that makes it shorter.
pub(super) fn compressed(message: Bytes, encoding: Encoding) -> Bytes {
    if message.len() < MIN_COMPRESSED_BYTES {
        return message;
    }
    let content = &message[PREFIX_BYTES..];
    let shorter = match encoding {
        Encoding::Gzip => {
            let mut encoder = GzEncoder::new(Vec::new(), flate2::Compression::fast());
            encoder.write_all(content).and_then(|()| encoder.finish())
        }
        Encoding::Zstd => zstd::encode_all(content, ZSTD_LEVEL),
    };
    match shorter {
        Ok(shorter) if shorter.len() < content.len() => {
            let mut framed = BytesMut::with_capacity(PREFIX_BYTES + shorter.len());
            framed.put_u8(1);
            framed.put_u32(shorter.len() as u32);
            framed.extend_from_slice(&shorter);
            framed.freeze()
        }
        _ => message,
    }
}

#[cfg(test)]
mod tests {
    use super::super::limits::LimitFlags;
    use super::super::request_pools::{Holder, RequestPools};
    use super::*;
    use crate::shares::Purpose;

    const MAX_BYTES: u32 = 2 * 1024 * 1024;

    fn squeezed(content: &[u8], encoding: Encoding) -> Vec<u8> {
        match encoding {
            Encoding::Gzip => {
                let mut encoder = GzEncoder::new(Vec::new(), flate2::Compression::best());
                encoder.write_all(content).expect("into memory");
                encoder.finish().expect("into memory")
            }
            Encoding::Zstd => zstd::encode_all(content, 19).expect("into memory"),
        }
    }

    /// The message or the status, and the number of bytes that were charged.
    fn inflate(bytes: &[u8], encoding: Encoding) -> (Result<Bytes, Status>, usize) {
        let mut charged = 0;
        let charge = |bytes| {
            charged += bytes;
            Ok(())
        };
        let message = match encoding {
            Encoding::Gzip => grow(GzDecoder::new(bytes), bytes.len(), MAX_BYTES, charge),
            Encoding::Zstd => {
                let decoder = zstd::Decoder::with_buffer(bytes).expect("it begins");
                grow(decoder, bytes.len(), MAX_BYTES, charge)
            }
        };
        (message, charged)
    }

    #[test]
    fn an_inflated_message_equals_the_original_and_is_charged_in_full() {
        let content: Vec<u8> = (0..100_000_u32).flat_map(u32::to_be_bytes).collect();
        for encoding in Encoding::ALL {
            let (message, charged) = inflate(&squeezed(&content, encoding), encoding);
            let message = message.expect("it is in order");
            assert_eq!(message[..PREFIX_BYTES], [0, 0, 6, 26, 128], "400,000 bytes, as they are");
            assert!(message[PREFIX_BYTES..] == content[..] && charged == content.len());
        }
    }

    #[test]
    fn inflating_stops_at_the_limits() {
        let bomb = vec![0; 100 * 1024 * 1024];
        let large: Vec<u8> = (0..MAX_BYTES / 3).flat_map(u32::to_be_bytes).collect();
        for encoding in Encoding::ALL {
            let (stopped, charged) = inflate(&squeezed(&bomb, encoding), encoding);
            let status = stopped.expect_err("a bomb");
            assert!(status.message().contains("inflates to more than"), "{status}");
            assert!(charged <= MAX_BYTES as usize, "{charged}");
            // The ratio is checked before the limit, and each message names its own remedy.
            let small = squeezed(&bomb[..RATIO_FREE_BYTES + 1], encoding);
            let (stopped, charged) = inflate(&small, encoding);
            let status = stopped.expect_err("200 times");
            assert!(status.message().contains("200 times its length"), "{status}");
            assert!(status.message().contains("send it uncompressed"), "{status}");
            assert!(!status.message().contains("--max-request-bytes"), "{status}");
            assert!(charged <= RATIO_FREE_BYTES.max(small.len() * MAX_RATIO), "{charged}");
            let (stopped, charged) = inflate(&squeezed(&large, encoding), encoding);
            let status = stopped.expect_err("large");
            assert!(status.message().contains("more than 2097152 bytes"), "{status}");
            assert!(status.message().contains("--max-request-bytes"), "{status}");
            assert!(charged <= MAX_BYTES as usize, "{charged}");
        }
    }

    #[test]
    fn the_largest_event_is_accepted_at_any_ratio() {
        let event = vec![b'a'; MAX_DATA_BYTES + 16 * 1024];
        for encoding in Encoding::ALL {
            let compressed = squeezed(&event, encoding);
            assert!(compressed.len() * MAX_RATIO < event.len(), "{}", compressed.len());
            let (message, charged) = inflate(&compressed, encoding);
            assert!(message.expect("an event")[PREFIX_BYTES..] == event[..]);
            assert_eq!(charged, event.len());
        }
    }

    /// A frame that does not say how long its content is.
    fn streamed(content: &[u8], window_log: u32) -> Vec<u8> {
        let mut encoder = zstd::Encoder::new(Vec::new(), 1).expect("it begins");
        encoder.window_log(window_log).expect("a window");
        encoder.write_all(content).expect("into memory");
        encoder.finish().expect("into memory")
    }

    #[test]
    fn the_window_of_zstd_is_charged_meanwhile_and_limited() {
        const WINDOW_LOG: u32 = 20;
        let content: Vec<u8> = (0..2_000_u32).flat_map(u32::to_be_bytes).collect();
        let limits = |max_request_memory| LimitFlags {
            max_request_bytes: 128 * 1024,
            max_request_memory,
            ..LimitFlags::default()
        };
        let inflate = |frames: &[u8], memory: &mut RequestMemory| {
            let mut body = vec![1];
            body.extend_from_slice(&(frames.len() as u32).to_be_bytes());
            body.extend_from_slice(frames);
            inflated(body.into(), Some(Encoding::Zstd), MAX_BYTES, memory)
        };
        let memory = |bytes| {
            RequestPools::new(&limits(bytes)).memory(Holder::Address(None), Purpose::Publishing)
        };

        // One holder gets half of it, which is less than twenty windows.
        let mut few = memory(4 << WINDOW_LOG);
        for _ in 0..20 {
            let message =
                inflate(&streamed(&content, WINDOW_LOG), &mut few).expect("there is room");
            assert!(message[PREFIX_BYTES..] == content[..]);
        }
        let refused = inflate(&streamed(&content, 23), &mut few).expect_err("8 MiB are too many");
        assert_eq!(refused.code(), tonic::Code::ResourceExhausted, "{refused}");
        // Also in a later frame, and after a skippable one.
        let mut frames = [&[0x50, 0x2a, 0x4d, 0x18, 3, 0, 0, 0][..], b"skp"].concat();
        frames.extend(streamed(b"short", 10));
        assert_eq!(window_of(&frames), Some(1 << 10));
        assert_eq!(inflate(&frames, &mut few).expect("there is room")[PREFIX_BYTES..], *b"short");
        frames.extend(streamed(&content, 23));
        assert_eq!(window_of(&frames), Some(1 << 23));
        let refused = inflate(&frames, &mut few).expect_err("8 MiB are too many");
        assert_eq!(refused.code(), tonic::Code::ResourceExhausted, "{refused}");

        let mut much = memory(1 << 30);
        assert!(inflate(&frames, &mut much).is_ok());
        let refused = inflate(&streamed(&content, 24), &mut much).expect_err("nobody needs that");
        assert!(refused.message().contains("window is too large"), "{refused}");
    }

    #[test]
    fn damaged_bytes_are_answered_invalid_argument() {
        for encoding in Encoding::ALL {
            let mut bytes = squeezed(&[7; 5_000], encoding);
            bytes.truncate(bytes.len() - 3);
            let (refused, _) = inflate(&bytes, encoding);
            assert_eq!(refused.expect_err("cut").code(), tonic::Code::InvalidArgument);
        }
    }

    #[test]
    fn the_best_encoding_that_the_client_accepts_is_chosen() {
        let headers = |name: &'static str, value: &'static str| {
            HeaderMap::from_iter([(
                http::HeaderName::from_static(name),
                HeaderValue::from_static(value),
            )])
        };
        let answer = |accepted| Encoding::for_answer(&headers(ACCEPTED, accepted));
        assert_eq!(answer("identity,deflate,gzip"), Some(Encoding::Gzip));
        assert_eq!(answer("gzip, zstd"), Some(Encoding::Zstd));
        assert_eq!(answer("identity"), None);
        assert_eq!(Encoding::for_answer(&HeaderMap::new()), None);
        let request = |name| Encoding::of_request(&headers(ENCODING, name));
        assert_eq!(request("gzip").expect("known"), Some(Encoding::Gzip));
        assert_eq!(request("identity").expect("known"), None);
        let refused = request("deflate").expect_err("not known");
        assert_eq!(refused.code(), tonic::Code::Unimplemented);
        assert_eq!(refused.metadata().get(ACCEPTED).expect("says which"), ALL_ACCEPTED);
    }
}
