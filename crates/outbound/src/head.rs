//! Reads the heads of HTTP/1.1 answers in parallel with hyper.
//!
//! The final status line decides the result of a request, and nothing after it changes that. hyper
//! reports a head as a whole or not at all, so the part that has arrived is kept here as well. Heads
//! are also limited here: in bytes, however they were split into packets, and in number.
//!
//! Decision: docs/decisions/the-final-status-line-decides.md

use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};

use crate::limits::{MAX_INFORMATIONAL_ANSWERS, MAX_READ_HEAD};

/// Reads the heads of the answer to one request: informational ones, and the final one.
#[derive(Default)]
pub(crate) struct HeadReader {
    /// The current head, from its status line on.
    head: Vec<u8>,
    /// Bytes of empty lines before it, which count but are not kept.
    skipped: usize,
    informational_answers: usize,
    status: Option<StatusCode>,
    is_complete: bool,
}

/// Why reading an answer is stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum HeadProblem {
    #[error("the head of the answer is too large")]
    TooLarge,
    #[error("too many informational answers")]
    TooManyInformationalAnswers,
}

impl HeadReader {
    /// Takes what has arrived. Ignores the body.
    pub(crate) fn read(&mut self, mut bytes: &[u8]) -> Result<(), HeadProblem> {
        while !self.is_complete && !bytes.is_empty() {
            if self.head.is_empty() {
                // RFC 9112 section 2.2 lets a reader skip empty lines before a message.
                let empty = bytes.iter().take_while(|byte| matches!(byte, b'\r' | b'\n')).count();
                self.skipped += empty;
                bytes = &bytes[empty..];
            }
            let already_read = self.head.len();
            let room = (MAX_READ_HEAD + 1).saturating_sub(self.skipped + already_read);
            self.head.extend_from_slice(&bytes[..bytes.len().min(room)]);
            let end = end_of_head(&self.head, already_read);
            let size = end.unwrap_or(self.head.len());
            self.head.truncate(size);
            self.status = final_status(&self.head);
            if self.skipped + size > MAX_READ_HEAD {
                return Err(HeadProblem::TooLarge);
            }
            bytes = &bytes[size - already_read..];
            if end.is_some() {
                self.end_head()?;
            }
        }
        Ok(())
    }

    fn end_head(&mut self) -> Result<(), HeadProblem> {
        if !is_informational(&self.head) {
            self.is_complete = true;
            return Ok(());
        }
        self.informational_answers += 1;
        if self.informational_answers > MAX_INFORMATIONAL_ANSWERS {
            return Err(HeadProblem::TooManyInformationalAnswers);
        }
        self.head.clear();
        self.skipped = 0;
        Ok(())
    }

    /// The final status, once its line has arrived.
    pub(crate) fn status(&self) -> Option<StatusCode> {
        self.status
    }

    /// The complete headers after the final status line. Leaves out lines that are no header, and
    /// joins a line that continues on the next one (RFC 9112 section 5.2).
    pub(crate) fn headers(&self) -> HeaderMap {
        let complete = self.head.iter().rposition(|byte| *byte == b'\n').unwrap_or_default();
        let mut fields: Vec<Vec<u8>> = Vec::new();
        for line in self.head[..complete].split(|byte| *byte == b'\n').skip(1) {
            match (line.first(), fields.last_mut()) {
                (Some(b' ' | b'\t'), Some(field)) => {
                    field.push(b' ');
                    field.extend_from_slice(line.trim_ascii());
                }
                _ => fields.push(line.trim_ascii_end().to_vec()),
            }
        }
        fields.iter().filter_map(|field| header(field)).fold(
            HeaderMap::new(),
            |mut headers, (name, value)| {
                headers.append(name, value);
                headers
            },
        )
    }
}

fn header(field: &[u8]) -> Option<(HeaderName, HeaderValue)> {
    let colon = field.iter().position(|byte| *byte == b':')?;
    let name = HeaderName::from_bytes(field[..colon].trim_ascii_end()).ok()?;
    let value = HeaderValue::from_bytes(field[colon + 1..].trim_ascii()).ok()?;
    Some((name, value))
}

/// Where the head ends: after its first empty line. The first `already_searched` bytes have none.
fn end_of_head(head: &[u8], already_searched: usize) -> Option<usize> {
    // The end may start in the bytes that were searched before.
    let from = already_searched.saturating_sub(3);
    head[from..].iter().enumerate().find_map(|(offset, byte)| {
        let rest = &head[from + offset + 1..];
        match byte {
            b'\n' if rest.starts_with(b"\n") => Some(from + offset + 2),
            b'\n' if rest.starts_with(b"\r\n") => Some(from + offset + 3),
            _ => None,
        }
    })
}

/// The status of a head whose status line has arrived, unless another answer follows it.
fn final_status(head: &[u8]) -> Option<StatusCode> {
    let line_end = head.iter().position(|byte| *byte == b'\n')?;
    let status = status(&head[..line_end])?;
    // What follows 101 is no longer HTTP (RFC 9110 section 15.2.2).
    (!status.is_informational() || status == StatusCode::SWITCHING_PROTOCOLS).then_some(status)
}

fn is_informational(head: &[u8]) -> bool {
    final_status(head).is_none() && status(head).is_some()
}

/// The status in a line such as `HTTP/1.1 200 OK`.
fn status(line: &[u8]) -> Option<StatusCode> {
    let rest = line.strip_prefix(b"HTTP/1.")?;
    let [b'0' | b'1', b' ', digits @ ..] = rest else { return None };
    let (code, after) = digits.split_at_checked(3)?;
    let ends = after.first().is_none_or(|byte| matches!(byte, b' ' | b'\r' | b'\n'));
    if !ends {
        return None;
    }
    StatusCode::from_bytes(code).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads bytes that arrive in pieces of `size`.
    fn read(bytes: &[u8], size: usize) -> (HeadReader, Result<(), HeadProblem>) {
        let mut reader = HeadReader::default();
        let result = bytes.chunks(size).try_for_each(|piece| reader.read(piece));
        (reader, result)
    }

    fn head_of(size: usize) -> Vec<u8> {
        let around = b"HTTP/1.1 200 OK\r\nx-large: \r\n\r\n".len();
        let value = "v".repeat(size - around);
        format!("HTTP/1.1 200 OK\r\nx-large: {value}\r\n\r\n").into_bytes()
    }

    #[test]
    fn what_is_too_large_does_not_depend_on_how_it_is_cut() {
        let cases = [
            (head_of(MAX_READ_HEAD), Ok(())),
            (head_of(MAX_READ_HEAD + 1), Err(HeadProblem::TooLarge)),
            ([b"\r\n".to_vec(), head_of(MAX_READ_HEAD - 2)].concat(), Ok(())),
            ([b"\r\n".to_vec(), head_of(MAX_READ_HEAD - 1)].concat(), Err(HeadProblem::TooLarge)),
            (b"\r\n".repeat(MAX_READ_HEAD), Err(HeadProblem::TooLarge)),
        ];
        for (bytes, expected) in cases {
            for size in [1, 2, 3, 1000, 1460, 16 * 1024, MAX_READ_HEAD, bytes.len()] {
                assert_eq!(read(&bytes, size).1, expected, "{} by {size}", bytes.len());
            }
        }
    }

    #[test]
    fn the_body_is_not_read() {
        let mut bytes = head_of(1000);
        bytes.extend(b"x".repeat(2 * MAX_READ_HEAD));
        for size in [1, 999, 1000, 1001, bytes.len()] {
            let (reader, result) = read(&bytes, size);
            assert_eq!(result, Ok(()));
            assert_eq!(reader.status(), Some(StatusCode::OK));
            assert_eq!(reader.head.len(), 1000);
        }
    }

    #[test]
    fn the_status_is_known_as_soon_as_its_line_has_ended() {
        for (bytes, expected) in [
            ("HTTP/1.1 204", None),
            ("HTTP/1.1 204\r\n", Some(204)),
            ("HTTP/1.0 200 Fine, thanks\n", Some(200)),
            ("HTTP/1.1 200 OK\r\nx: un", Some(200)),
            ("\r\n\nHTTP/1.1 503 Busy\r\n", Some(503)),
            ("HTTP/1.1 101 Switching\r\n", Some(101)),
            ("HTTP/1.1 100 Continue\r\n", None),
            ("HTTP/1.1 103 Early\r\nlink: x\r\n\r\nHTTP/1.1 201 Created\r\n", Some(201)),
            ("HTTP/1.1 2000 OK\r\n", None),
            ("HTTP/2.0 200 OK\r\n", None),
            ("ICY 200 OK\r\n", None),
            ("220 smtp.example ESMTP\r\n", None),
        ] {
            for size in [1, 5, 1000] {
                let (reader, result) = read(bytes.as_bytes(), size);
                assert_eq!(result, Ok(()));
                assert_eq!(reader.status().map(|s| s.as_u16()), expected, "{bytes:?} by {size}");
            }
        }
    }

    #[test]
    fn informational_answers_are_limited_in_number() {
        let continues = "HTTP/1.1 100 Continue\r\n\r\n";
        let enough = continues.repeat(MAX_INFORMATIONAL_ANSWERS) + "HTTP/1.1 200 OK\r\n\r\n";
        let too_many = continues.repeat(MAX_INFORMATIONAL_ANSWERS + 1);
        for size in [1, 24, 25, 26, 10_000] {
            let (reader, result) = read(enough.as_bytes(), size);
            assert_eq!((reader.status(), result), (Some(StatusCode::OK), Ok(())));
            let (reader, result) = read(too_many.as_bytes(), size);
            assert_eq!(result, Err(HeadProblem::TooManyInformationalAnswers));
            assert_eq!(reader.status(), None);
        }
    }

    #[test]
    fn headers_that_have_arrived_whole_are_kept() {
        let bytes = b"HTTP/1.1 429 Slow down\r\nRetry-After : 20\r\nno header\r\n\
            x-folded: one\r\n  two\r\nx-twice: 1\r\nx-twice: 2\r\nx-bad\x01name: x\r\nx-part: ia";
        let (reader, _) = read(bytes, 7);
        let headers = reader.headers();
        assert_eq!(headers["retry-after"], "20");
        assert_eq!(headers["x-folded"], "one two");
        assert_eq!(headers.get_all("x-twice").iter().count(), 2);
        assert_eq!(headers.len(), 4, "{headers:?}");
    }
}
