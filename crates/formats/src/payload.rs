//! What a receiver is sent.

use std::ops::Range;

/// What a receiver is sent, and how it is announced.
#[derive(Clone, PartialEq, Eq)]
pub struct Payload {
    /// The value of Content-Type.
    pub content_type: &'static str,
    /// The bytes, which are the ones to be signed.
    pub body: Vec<u8>,
    /// Where in them a secret is.
    secret: Option<Range<usize>>,
}

/// The content type of plain JSON.
pub(crate) const JSON: &str = "application/json";

impl Payload {
    pub(crate) fn new(content_type: &'static str, body: Vec<u8>) -> Payload {
        Payload { content_type, body, secret: None }
    }

    pub(crate) fn with_secret(body: Vec<u8>, secret: Range<usize>) -> Payload {
        Payload { content_type: JSON, body, secret: Some(secret) }
    }

    /// The bytes as they may be kept and shown: asterisks stand where a secret is.
    pub fn masked(&self) -> Vec<u8> {
        let mut body = self.body.clone();
        if let Some(secret) = self.secret.clone() {
            body[secret].fill(b'*');
        }
        body
    }
}

impl std::fmt::Debug for Payload {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Payload({}, {} bytes)", self.content_type, self.body.len())
    }
}
