//! What was out of the ordinary about a request that is not the reason of its end.

use std::fmt;

/// Something about a request that whoever looks after the receiver should know, whatever came of
/// the request. The texts are our own and hold nothing that the receiver sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Remark {
    /// The body of the answer was shorter than announced, or its end never came. The status had
    /// arrived, and counts.
    BodyEndedEarly,
}

impl fmt::Display for Remark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Remark::BodyEndedEarly => "the answer's body ended early",
        })
    }
}
