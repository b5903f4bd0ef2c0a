//! Why bytes are not read as a record.

/// Why bytes cannot be decoded as a record.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// The bytes are not the expected protobuf message.
    #[error("is not a protobuf message of the log: {0}")]
    Malformed(#[from] prost::DecodeError),
    /// The message has a fact that this version does not know.
    #[error("holds a fact that this version does not know; was it written by a newer one?")]
    UnknownFact,
    /// The fact belongs to another kind of stream.
    #[error("holds a fact that does not belong into its stream")]
    WrongStream,
    /// A field has a value that was never allowed.
    #[error("{field} {problem}")]
    Field {
        /// The field's name in the message.
        field: &'static str,
        /// What is wrong with it.
        problem: String,
    },
}
