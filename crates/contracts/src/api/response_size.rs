//! The limit on the size of a response.

use prost::Message;

/// The most bytes of a response, whatever is stored: 4 MiB. Clients read no more by default: grpc-go
/// (and grpcurl with it), grpc-java, Python, C++ and tonic.
pub const MAX_RESPONSE_BYTES: usize = 4 * 1024 * 1024;

/// Reserved for the rest of the response beside the counted messages: a page token, and the tag and
/// the length of the message around them.
const RESERVED_BYTES: usize = 4 * 1024;
/// The tag of a field numbered below 2,048.
const MAX_TAG_BYTES: usize = 2;

/// The bytes that are left in a response for the messages of a repeated field.
#[derive(Debug)]
pub struct ResponseBudget {
    left: usize,
}

impl ResponseBudget {
    /// The budget of an empty response.
    pub fn new() -> ResponseBudget {
        ResponseBudget { left: MAX_RESPONSE_BYTES - RESERVED_BYTES }
    }

    /// The bytes that are left.
    pub fn left(&self) -> usize {
        self.left
    }

    /// Takes the bytes of a message with its tag and length. False, and nothing is taken, if the message
    /// does not fit.
    pub fn take(&mut self, message: &impl Message) -> bool {
        let bytes = message.encoded_len();
        let all = MAX_TAG_BYTES + prost::length_delimiter_len(bytes) + bytes;
        match self.left.checked_sub(all) {
            Some(left) => {
                self.left = left;
                true
            }
            None => false,
        }
    }
}

impl ResponseBudget {
    /// Takes the bytes of the next item of a page. The first item always fits, so that a list goes on
    /// however large it is; if it is too large, nothing else does.
    pub(super) fn take_item(&mut self, item: &impl Message, is_first: bool) -> bool {
        let fits = self.take(item);
        if is_first && !fits {
            self.left = 0;
        }
        fits || is_first
    }
}

impl Default for ResponseBudget {
    fn default() -> ResponseBudget {
        ResponseBudget::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::v1;

    #[test]
    fn tags_and_lengths_count() {
        let mut budget = filled(20_000);
        assert!(budget.take(&v1::Endpoint::default()), "a smaller message still fits");
        // So many messages that their tags and lengths exceed the reserve.
        filled(10);
    }

    /// Fills a response with endpoints, checks its size, and returns what is left.
    fn filled(description_bytes: usize) -> ResponseBudget {
        let description = "d".repeat(description_bytes);
        let endpoint = v1::Endpoint { description, ..Default::default() };
        let mut answer =
            v1::ListEndpointsResponse { next_page_token: "t".repeat(1_000), ..Default::default() };
        let mut budget = ResponseBudget::new();
        while budget.take(&endpoint) {
            answer.endpoints.push(endpoint.clone());
        }
        let bytes = answer.encoded_len();
        assert!(bytes <= MAX_RESPONSE_BYTES, "{bytes}");
        // The field's number is small, so its tag is one byte shorter than what is counted.
        let left = MAX_RESPONSE_BYTES - RESERVED_BYTES - answer.endpoints.len();
        assert!(bytes + endpoint.encoded_len() + MAX_TAG_BYTES > left, "{bytes}");
        budget
    }
}
