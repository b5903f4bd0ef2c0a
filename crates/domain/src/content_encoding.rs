//! The content codings of an HTTP response, for people to read.

use std::fmt;

/// The content codings of an answer (RFC 9110 section 8.4).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContentEncoding {
    /// In the order in which they were applied.
    names: Vec<&'static str>,
}

impl ContentEncoding {
    /// Reads `Content-Encoding` fields. None: the body is not encoded. Only registered names are
    /// shown, because any other would be the receiver's own text.
    pub fn of<'a>(fields: impl IntoIterator<Item = &'a [u8]>) -> Option<ContentEncoding> {
        let members = fields.into_iter().flat_map(|field| field.split(|byte| *byte == b','));
        let names: Vec<_> = members.filter_map(|member| name(member.trim_ascii())).collect();
        (!names.is_empty()).then_some(ContentEncoding { names })
    }
}

/// The coding's registered name. None: the member means no coding.
fn name(member: &[u8]) -> Option<&'static str> {
    let name = member.to_ascii_lowercase();
    match name.as_slice() {
        b"" | b"identity" => None,
        b"gzip" | b"x-gzip" => Some("gzip"),
        b"deflate" => Some("deflate"),
        b"br" => Some("br"),
        b"zstd" => Some("zstd"),
        b"compress" | b"x-compress" => Some("compress"),
        _ => Some("a coding that is not registered"),
    }
}

/// The codings that are shown; further ones are left out.
const MAX_SHOWN: usize = 3;

impl fmt::Display for ContentEncoding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.names[..self.names.len().min(MAX_SHOWN)].join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(fields: &[&str]) -> Option<String> {
        let fields = fields.iter().map(|field| field.as_bytes());
        ContentEncoding::of(fields).map(|encoding| encoding.to_string())
    }

    #[test]
    fn codings_are_shown_by_their_registered_names() {
        for (fields, expected) in [
            (&["gzip"][..], "gzip"),
            (&["X-GZIP"], "gzip"),
            (&["deflate, br"], "deflate, br"),
            (&["deflate", " zstd "], "deflate, zstd"),
            (&["<b>"], "a coding that is not registered"),
            (&["gzip,gzip,gzip,gzip"], "gzip, gzip, gzip"),
        ] {
            assert_eq!(shown(fields).as_deref(), Some(expected), "{fields:?}");
        }
        for plain in [&[][..], &[""], &["identity"], &["identity, "]] {
            assert_eq!(shown(plain), None, "{plain:?}");
        }
    }
}
