//! Counts the HTTP/2 frames without content that a client sends. They are cheap for the client, but
//! cost the server time, and h2 answers them for ever.

use std::time::Duration;

use tokio::time::Instant;

/// Bytes of the preface, `PRI * HTTP/2.0…` (RFC 9113 section 3.4).
const PREFACE_BYTES: usize = 24;
/// Bytes of a frame's header: length, type, flags and stream (RFC 9113 section 4.1).
const HEAD_BYTES: usize = 9;
/// Frame types (RFC 9113 section 6).
const DATA: u8 = 0;
const HEADERS: u8 = 1;
/// Without this flag an empty DATA frame has no effect.
const END_STREAM: u8 = 1;
const WINDOW: Duration = Duration::from_secs(1);

/// Parses only where frames begin. Whether they are valid is left to h2.
#[derive(Debug)]
pub(super) struct FrameMeter {
    state: ParserState,
    max_per_window: u32,
    in_window: u32,
    window_begin: Instant,
}

/// What the next byte belongs to.
#[derive(Debug)]
enum ParserState {
    Preface { missing: usize },
    Head { bytes: [u8; HEAD_BYTES], filled: usize },
    Payload { missing: usize },
}

/// The client has sent too many frames without content.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Flood;

impl FrameMeter {
    pub(super) fn new(max_per_second: u32) -> FrameMeter {
        FrameMeter {
            state: ParserState::Preface { missing: PREFACE_BYTES },
            max_per_window: max_per_second,
            in_window: 0,
            window_begin: Instant::now(),
        }
    }

    /// Whether the client has sent HTTP/2's preface. From then on keep-alive watches it.
    pub(super) fn has_begun(&self) -> bool {
        !matches!(self.state, ParserState::Preface { .. })
    }

    /// Takes the next bytes from the client. They may begin and end anywhere in a frame.
    pub(super) fn received(&mut self, mut bytes: &[u8]) -> Result<(), Flood> {
        while !bytes.is_empty() {
            let taken = match &mut self.state {
                ParserState::Preface { missing } | ParserState::Payload { missing } => {
                    let taken = bytes.len().min(*missing);
                    *missing -= taken;
                    if *missing == 0 {
                        self.state = ParserState::head();
                    }
                    taken
                }
                ParserState::Head { bytes: head, filled } => {
                    let taken = bytes.len().min(HEAD_BYTES - *filled);
                    head[*filled..*filled + taken].copy_from_slice(&bytes[..taken]);
                    *filled += taken;
                    if *filled == HEAD_BYTES {
                        let head = *head;
                        self.frame_begins(head)?;
                    }
                    taken
                }
            };
            bytes = &bytes[taken..];
        }
        Ok(())
    }

    fn frame_begins(&mut self, head: [u8; HEAD_BYTES]) -> Result<(), Flood> {
        let [length_high, length_mid, length_low, kind, flags, ..] = head;
        let length = u32::from_be_bytes([0, length_high, length_mid, length_low]);
        self.state = match length {
            0 => ParserState::head(),
            _ => ParserState::Payload { missing: length as usize },
        };
        let has_content =
            kind == HEADERS || kind == DATA && (length > 0 || flags & END_STREAM != 0);
        match has_content {
            true => Ok(()),
            false => self.count(),
        }
    }

    fn count(&mut self) -> Result<(), Flood> {
        let now = Instant::now();
        if now.duration_since(self.window_begin) >= WINDOW {
            self.window_begin = now;
            self.in_window = 0;
        }
        self.in_window += 1;
        if self.in_window > self.max_per_window { Err(Flood) } else { Ok(()) }
    }
}

impl ParserState {
    fn head() -> ParserState {
        ParserState::Head { bytes: [0; HEAD_BYTES], filled: 0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PREFACE: &[u8; PREFACE_BYTES] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    const PING: u8 = 6;

    fn frame(kind: u8, flags: u8, length: u8) -> Vec<u8> {
        let mut frame = vec![0, 0, length, kind, flags, 0, 0, 0, 1];
        // A payload that looks like the head of a frame.
        frame.extend(std::iter::repeat_n(0, usize::from(length)));
        frame
    }

    fn begun(max_per_second: u32) -> FrameMeter {
        let mut meter = FrameMeter::new(max_per_second);
        assert_eq!(meter.received(PREFACE), Ok(()));
        meter
    }

    #[tokio::test(start_paused = true)]
    async fn frames_without_content_are_limited_per_second() {
        let mut meter = begun(3);
        let ping = frame(PING, 0, 8);
        for _ in 0..3 {
            assert_eq!(meter.received(&ping), Ok(()));
        }
        assert_eq!(meter.received(&ping), Err(Flood));
        tokio::time::advance(WINDOW).await;
        assert_eq!(meter.received(&ping), Ok(()));
    }

    #[tokio::test(start_paused = true)]
    async fn requests_and_their_data_are_not_limited() {
        let mut meter = begun(1);
        for _ in 0..1_000 {
            assert_eq!(meter.received(&frame(HEADERS, 0, 20)), Ok(()));
            assert_eq!(meter.received(&frame(DATA, 0, 200)), Ok(()));
            assert_eq!(meter.received(&frame(DATA, END_STREAM, 0)), Ok(()));
        }
        assert_eq!(meter.received(&frame(DATA, 0, 0)), Ok(()));
        assert_eq!(meter.received(&frame(DATA, 0, 0)), Err(Flood), "empty and not the last");
    }

    #[tokio::test(start_paused = true)]
    async fn frames_are_counted_wherever_reads_are_cut() {
        let stream =
            [PREFACE.as_slice(), &frame(PING, 0, 8), &frame(DATA, 0, 50), &frame(PING, 0, 8)]
                .concat();
        for size in 1..stream.len() {
            let mut meter = FrameMeter::new(2);
            for bytes in stream.chunks(size) {
                assert_eq!(meter.received(bytes), Ok(()), "in reads of {size}");
            }
            assert_eq!(meter.in_window, 2, "in reads of {size}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn http2_has_begun_after_the_whole_preface() {
        let mut meter = FrameMeter::new(1);
        assert_eq!(meter.received(&PREFACE[..PREFACE_BYTES - 1]), Ok(()));
        assert!(!meter.has_begun());
        assert_eq!(meter.received(&PREFACE[PREFACE_BYTES - 1..]), Ok(()));
        assert!(meter.has_begun());
    }
}
