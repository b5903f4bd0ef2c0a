//! Reads the frames of an HTTP/2 connection in parallel with h2.
//!
//! The final status decides the result of a request, and nothing after it changes that. h2 reports
//! an answer's head as a whole or not at all: with one malformed field, or one too many, the status
//! is lost. So the status is read here as well.
//!
//! `:status` is the first field of a head (RFC 9113 section 8.3). Each head can be read by itself,
//! because our connections have no dynamic table (their `SETTINGS_HEADER_TABLE_SIZE` is 0). The
//! other fields are not read here: they take a whole decoder, and h2's has refused them.
//!
//! Decision: docs/decisions/the-final-status-line-decides.md

use std::collections::BTreeMap;

use http::StatusCode;

use crate::limits::MAX_STREAMS;

/// The size of a frame's header, in bytes (RFC 9113 section 4.1).
const FRAME_HEAD: usize = 9;

/// How many bytes of a head are kept: enough for its first field, which takes five, and for updates
/// of the table's size before it.
const KEPT_HEAD: usize = 32;

/// The most streams whose status is remembered: all that may be open, and as many that were given
/// up. Then the oldest are forgotten.
const KNOWN_STREAMS: usize = 2 * MAX_STREAMS;

const HEADERS: u8 = 1;
const SETTINGS: u8 = 4;
const CONTINUATION: u8 = 9;
const ACK: u8 = 0x1;
const PADDED: u8 = 0x8;
const PRIORITY: u8 = 0x20;

/// What the receiver started the connection with (RFC 9113 section 3.4).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum ServerPreface {
    /// Too few bytes to tell.
    #[default]
    Incomplete,
    /// A complete SETTINGS frame.
    Settings,
    Http1,
    /// Something else, or a part of a SETTINGS frame.
    Other,
}

/// A final status, and how much of its head has arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ReceivedStatus {
    pub(crate) status: StatusCode,
    /// In bytes, compressed.
    pub(crate) head_size: usize,
}

#[derive(Default)]
pub(crate) struct FrameReader {
    server_preface: ServerPreface,
    /// The header of the current frame, as far as it has arrived.
    frame_head: Vec<u8>,
    /// How many bytes of its payload have not arrived.
    left: usize,
    /// How many bytes of these precede the fields: the padding's length and a priority.
    before_fields: usize,
    /// The beginning of the current head, from HEADERS and CONTINUATION.
    head: Vec<u8>,
    head_size: usize,
    /// By stream, once a head has begun to arrive. `None`: its final status has not arrived.
    statuses: BTreeMap<u32, Option<ReceivedStatus>>,
}

impl FrameReader {
    pub(crate) fn server_preface(&self) -> ServerPreface {
        self.server_preface
    }

    /// Whether a head has begun to arrive on a stream.
    pub(crate) fn has_begun(&self, stream: u32) -> bool {
        self.statuses.contains_key(&stream)
    }

    /// The final status of the answer on a stream, if it has arrived. Forgets the stream.
    pub(crate) fn take_status(&mut self, stream: u32) -> Option<ReceivedStatus> {
        self.statuses.remove(&stream).flatten()
    }

    pub(crate) fn read(&mut self, mut bytes: &[u8]) {
        // HTTP/1 has no frames, and h2 reads no further either.
        while !bytes.is_empty() && self.server_preface != ServerPreface::Http1 {
            let missing = FRAME_HEAD - self.frame_head.len();
            if missing > 0 {
                let (now, rest) = bytes.split_at(missing.min(bytes.len()));
                self.frame_head.extend_from_slice(now);
                bytes = rest;
                if self.frame_head.len() == FRAME_HEAD {
                    self.begin_frame();
                }
            } else {
                let (now, rest) = bytes.split_at(self.left.min(bytes.len()));
                self.left -= now.len();
                bytes = rest;
                self.read_payload(now);
            }
            if self.frame_head.len() == FRAME_HEAD && self.left == 0 {
                self.end_frame();
            }
        }
    }

    /// The kind, flags and stream of the current frame.
    fn frame(&self) -> (u8, u8, u32) {
        match self.frame_head[..] {
            // The first bit is reserved, and ignored.
            [_, _, _, kind, flags, a, b, c, d] => {
                (kind, flags, u32::from_be_bytes([a, b, c, d]) & 0x7fff_ffff)
            }
            _ => (0, 0, 0),
        }
    }

    fn begin_frame(&mut self) {
        if self.server_preface == ServerPreface::Incomplete {
            self.server_preface = match self.frame_head.starts_with(b"HTTP/1.") {
                true => ServerPreface::Http1,
                false => ServerPreface::Other,
            };
        }
        let [a, b, c, ..] = self.frame_head[..] else { return };
        self.left = u32::from_be_bytes([0, a, b, c]) as usize;
        let (kind, flags, stream) = self.frame();
        if kind == HEADERS {
            self.statuses.entry(stream).or_default();
            if self.statuses.len() > KNOWN_STREAMS {
                self.statuses.pop_first();
            }
            // RFC 9113 section 6.2.
            let padding = usize::from(flags & PADDED != 0);
            let priority = if flags & PRIORITY != 0 { 5 } else { 0 };
            self.before_fields = padding + priority;
            self.head.clear();
            self.head_size = 0;
        }
    }

    fn read_payload(&mut self, payload: &[u8]) {
        let (kind, _, stream) = self.frame();
        if !matches!(kind, HEADERS | CONTINUATION) {
            return;
        }
        let (before, fields) = payload.split_at(self.before_fields.min(payload.len()));
        self.before_fields -= before.len();
        self.head_size += fields.len();
        if let Some(Some(received)) = self.statuses.get_mut(&stream) {
            received.head_size = self.head_size;
            return;
        }
        let room = KEPT_HEAD - self.head.len();
        self.head.extend_from_slice(&fields[..fields.len().min(room)]);
        // A CONTINUATION without HEADERS is left to h2, which refuses it.
        if let Some(status) = first_status(&self.head)
            && !status.is_informational()
            && let Some(received) = self.statuses.get_mut(&stream)
        {
            *received = Some(ReceivedStatus { status, head_size: self.head_size });
        }
    }

    fn end_frame(&mut self) {
        let (kind, flags, _) = self.frame();
        if self.server_preface == ServerPreface::Other && kind == SETTINGS && flags & ACK == 0 {
            self.server_preface = ServerPreface::Settings;
        }
        self.frame_head.clear();
    }
}

/// `:status` as a literal name (RFC 7541 section 5.2), plain and in Huffman code.
const STATUS_NAMES: [&[u8]; 2] = [b"\x07:status", b"\x85\xb8\x84\x8d\x36\xa3"];

/// The status in a head's first field, if it has arrived (RFC 7541 section 6).
fn first_status(head: &[u8]) -> Option<StatusCode> {
    match *without_size_updates(head)? {
        // Indexed: the static table has seven statuses, from entry 8 on (appendix A).
        [entry @ 0x88..=0x8e, ..] => {
            let statuses = [200, 204, 206, 304, 400, 404, 500];
            StatusCode::from_u16(statuses[usize::from(entry - 0x88)]).ok()
        }
        // Literal: with indexing, without indexing, never indexed.
        [0x48..=0x4e | 0x08..=0x0e | 0x18..=0x1e, ref value @ ..] => literal_status(value),
        // The same with the name written out, although the table has it.
        [0x40 | 0x00 | 0x10, ref field @ ..] => {
            let value = STATUS_NAMES.iter().find_map(|name| field.strip_prefix(*name))?;
            literal_status(value)
        }
        _ => None,
    }
}

/// The head without the updates of the table's size at its start (RFC 7541 section 6.3).
fn without_size_updates(mut head: &[u8]) -> Option<&[u8]> {
    while let [0x20..=0x3f, rest @ ..] = head {
        // An integer of more than five bits goes on as long as the first bit is set (section 5.1).
        let size = match head[0] {
            0x3f => rest.iter().position(|byte| byte & 0x80 == 0)? + 1,
            _ => 0,
        };
        head = &rest[size..];
    }
    Some(head)
}

/// A string of three digits (RFC 7541 section 5.2).
fn literal_status(string: &[u8]) -> Option<StatusCode> {
    let (&length, value) = string.split_first()?;
    match length {
        3 => StatusCode::from_bytes(value.get(..3)?).ok(),
        0x82 | 0x83 => huffman_status(value.get(..usize::from(length & 0x7f))?),
        _ => None,
    }
}

/// Three digits by the Huffman code of RFC 7541 appendix B: 0 to 2 have five bits, the others six.
fn huffman_status(coded: &[u8]) -> Option<StatusCode> {
    let mut bits = coded.iter().flat_map(|byte| (0..8).rev().map(move |bit| byte >> bit & 1));
    let mut digits = [0; 3];
    for digit in &mut digits {
        let five = (0..5).try_fold(0, |code, _| Some(code << 1 | bits.next()?))?;
        *digit = match five {
            0b00000..=0b00010 => b'0' + five,
            _ => match five << 1 | bits.next()? {
                six @ 0b011001..=0b011111 => b'3' + six - 0b011001,
                _ => return None,
            },
        };
    }
    StatusCode::from_bytes(&digits).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(kind: u8, flags: u8, stream: u8, payload: &[u8]) -> Vec<u8> {
        let [a, b] = (payload.len() as u16).to_be_bytes();
        [&[0, a, b, kind, flags, 0, 0, 0, stream], payload].concat()
    }

    /// Reads bytes that arrive in chunks of `size`.
    fn read(bytes: &[u8], size: usize) -> FrameReader {
        let mut reader = FrameReader::default();
        bytes.chunks(size).for_each(|piece| reader.read(piece));
        reader
    }

    fn status_of(head: &[u8]) -> Option<u16> {
        first_status(head).map(|status| status.as_u16())
    }

    #[test]
    fn the_status_is_read_as_it_may_be_written() {
        for (head, status) in [
            (&[0x88][..], 200),
            (&[0x8e], 500),
            // RFC 7541 appendix C.5.1, C.6.1 and C.6.2.
            (b"\x48\x03302", 302),
            (&[0x48, 0x82, 0x64, 0x02, 0x58], 302),
            (&[0x48, 0x83, 0x64, 0x0e, 0xff], 307),
            (b"\x08\x03201\x0f", 201),
            (b"\x18\x03599", 599),
            (b"\x00\x07:status\x03202", 202),
            (b"\x10\x07:status\x82\x64\x02", 302),
            (b"\x40\x85\xb8\x84\x8d\x36\xa3\x03201", 201),
            (&[0x20, 0x88], 200),
            (&[0x3f, 0xe1, 0x1f, 0x20, 0x89], 204),
        ] {
            assert_eq!(status_of(head), Some(status), "{head:x?}");
            for arrived in 0..head.len() {
                let part = status_of(&head[..arrived]);
                assert!(part.is_none() || part == Some(status), "{head:x?}");
            }
        }
        for none in [
            &[][..],
            &[0x20],
            &[0x3f],
            &[0x3f, 0xff, 0xff],
            &[0x87],
            &[0xbe],
            b"\x48\x04200 ",
            b"\x48\x032x0",
            &[0x48, 0x82, 0xff, 0xff],
            b"\x40\x0bx-not-first\x01x",
        ] {
            assert_eq!(status_of(none), None, "{none:x?}");
        }
    }

    #[test]
    fn every_status_is_read_in_huffman_code() {
        for code in 100..1000u16 {
            let digits = [code / 100, code / 10 % 10, code % 10];
            let (coded, length) =
                digits.iter().fold((0u32, 0), |(coded, length), digit| match u32::from(*digit) {
                    digit @ 0..=2 => (coded << 5 | digit, length + 5),
                    digit => (coded << 6 | (digit - 3 + 0b011001), length + 6),
                });
            // Filled up with ones to whole bytes.
            let filling = (8 - length % 8) % 8;
            let coded = (coded << filling | ((1 << filling) - 1)).to_be_bytes();
            let coded = &coded[4 - (length + filling) / 8..];
            assert_eq!(huffman_status(coded).map(|status| status.as_u16()), Some(code));
        }
    }

    #[test]
    fn statuses_are_found_among_frames_however_those_are_cut() {
        let bytes = [
            frame(SETTINGS, 0, 0, &[0, 3, 0, 0, 0, 9]),
            frame(SETTINGS, ACK, 0, &[]),
            frame(HEADERS, 4, 1, b"\x08\x03103"),
            frame(HEADERS, 4 | PADDED | PRIORITY, 1, b"\x02\0\0\0\0\0\x88\0\0"),
            frame(0, 0, 1, b"\x48\x03500"),
            // The trailers are none of its status.
            frame(HEADERS, 5, 1, b"\x48\x03500"),
            frame(HEADERS, 0, 3, b""),
            frame(CONTINUATION, 0, 3, b"\x48\x03"),
            frame(CONTINUATION, 4, 3, b"429\x40\x01x\x01y"),
        ]
        .concat();
        for size in [1, 2, 9, 10, 13, bytes.len()] {
            let mut reader = read(&bytes, size);
            assert_eq!(reader.server_preface(), ServerPreface::Settings);
            assert_eq!(reader.take_status(1).map(|received| received.status), Some(StatusCode::OK));
            let received = ReceivedStatus { status: StatusCode::TOO_MANY_REQUESTS, head_size: 10 };
            assert_eq!(reader.take_status(3), Some(received));
            assert_eq!(reader.take_status(3), None, "it is forgotten");
        }
    }

    #[test]
    fn the_status_is_known_before_its_head_has_ended() {
        let bytes = frame(HEADERS, 4, 1, b"\x48\x03201\x40\x01x\x01y");
        let status = |arrived: usize| read(&bytes[..arrived], 1).take_status(1).map(|it| it.status);
        assert_eq!(status(FRAME_HEAD + 4), None);
        assert_eq!(status(FRAME_HEAD + 5), Some(StatusCode::CREATED));
    }

    #[test]
    fn the_server_preface_is_recognised() {
        let settings = frame(SETTINGS, 0, 0, &[0, 4, 0, 0, 0, 0]);
        for size in [1, 100] {
            let server_preface = |bytes: &[u8]| read(bytes, size).server_preface();
            assert_eq!(server_preface(b"HTTP/1.1"), ServerPreface::Incomplete);
            assert_eq!(server_preface(b"HTTP/1.1 400 Bad Request\r\n\r\n"), ServerPreface::Http1);
            assert_eq!(server_preface(b"220 smtp.example ESMTP\r\n"), ServerPreface::Other);
            assert_eq!(server_preface(&settings[..10]), ServerPreface::Other);
            assert_eq!(server_preface(&settings), ServerPreface::Settings);
            assert_eq!(server_preface(&frame(SETTINGS, ACK, 0, &[])), ServerPreface::Other);
        }
    }

    #[test]
    fn no_more_streams_are_remembered_than_there_can_be() {
        let bytes: Vec<u8> =
            (0..=u8::MAX).flat_map(|stream| frame(HEADERS, 4, stream, &[0x88])).collect();
        let mut reader = read(&bytes, bytes.len());
        assert_eq!(reader.statuses.len(), KNOWN_STREAMS);
        assert!(reader.take_status(u8::MAX.into()).is_some());
    }
}
