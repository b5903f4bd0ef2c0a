//! How large an answer may be.

use prost::Message;

/// What clients read of one answer unless somebody has told them otherwise, and so what no answer
/// exceeds, whatever is stored: 4 MiB, the default of grpc-go (grpcurl with it), grpc-java, Python,
/// C++ and tonic.
pub const MAX_RESPONSE_BYTES: usize = 4 * 1024 * 1024;

/// Room for what an answer has beside the messages that are counted: a page's token, the length
/// and the tag of what holds them.
const RESERVED_BYTES: usize = 4 * 1024;
/// The tag of a field numbered below 2,048.
const MAX_TAG_BYTES: usize = 2;

/// The room that is left in an answer for messages of a repeated field.
#[derive(Debug)]
pub struct ResponseBudget {
    left: usize,
}

impl ResponseBudget {
    /// The room of an answer that has nothing in it yet.
    pub fn new() -> ResponseBudget {
        ResponseBudget { left: MAX_RESPONSE_BYTES - RESERVED_BYTES }
    }

    /// Bytes.
    pub fn left(&self) -> usize {
        self.left
    }

    /// Takes the room that a message needs; false, and nothing is taken, if it does not fit.
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
    fn what_fits_fits_with_its_tag_and_length() {
        let mut room = filled(20_000);
        assert!(room.take(&v1::Endpoint::default()), "there is room for what is smaller");
        // There are so many that tags and lengths are more than what is reserved.
        filled(10);
    }

    /// The room that is left after as many endpoints as it has taken, which fit.
    fn filled(description_bytes: usize) -> ResponseBudget {
        let description = "d".repeat(description_bytes);
        let endpoint = v1::Endpoint { description, ..Default::default() };
        let mut answer =
            v1::ListEndpointsResponse { next_page_token: "t".repeat(1_000), ..Default::default() };
        let mut room = ResponseBudget::new();
        while room.take(&endpoint) {
            answer.endpoints.push(endpoint.clone());
        }
        let bytes = answer.encoded_len();
        assert!(bytes <= MAX_RESPONSE_BYTES, "{bytes}");
        // The field's number is small, and its tag one byte less than what is counted.
        let left = MAX_RESPONSE_BYTES - RESERVED_BYTES - answer.endpoints.len();
        assert!(bytes + endpoint.encoded_len() + MAX_TAG_BYTES > left, "{bytes}");
        room
    }
}
