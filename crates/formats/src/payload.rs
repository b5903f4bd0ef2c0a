//! A rendered payload.

use std::ops::Range;

#[derive(Clone, PartialEq, Eq)]
pub struct Payload {
    pub content_type: &'static str,
    /// The bytes that are signed and sent.
    pub body: Vec<u8>,
    /// The position of a secret in the body.
    secret: Option<Range<usize>>,
}

pub(crate) const JSON: &str = "application/json";

impl Payload {
    pub(crate) fn new(content_type: &'static str, body: Vec<u8>) -> Payload {
        Payload { content_type, body, secret: None }
    }

    pub(crate) fn with_secret(body: Vec<u8>, secret: Range<usize>) -> Payload {
        Payload { content_type: JSON, body, secret: Some(secret) }
    }

    /// The body for storing and showing: with asterisks in place of a secret.
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
