//! Why bytes are not read as a record.

/// Bytes that are not a record.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// They are not the protobuf message that they should be.
    #[error("is not a protobuf message of the log: {0}")]
    Malformed(#[from] prost::DecodeError),
    /// They say something that this version has no word for.
    #[error("holds a fact that this version does not know; was it written by a newer one?")]
    UnknownFact,
    /// They stand in the history of another kind of thing.
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
