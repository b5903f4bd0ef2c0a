//! Why there is no payload.

/// The text says what to do, and may be shown to the endpoint's owner.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FormatError {
    /// The template cannot be compiled, or fails while it is rendered.
    #[error("the template fails in line {line}: {reason}")]
    Template {
        /// From 1.
        line: usize,
        reason: String,
    },
    /// The output is not JSON by the rules for published events
    /// ([`keeptrusts_webhooks_domain::json`]), or has more than
    /// [`keeptrusts_webhooks_domain::limits::MAX_PAYLOAD_DEPTH`] levels.
    #[error("what the template makes {reason}")]
    NotJson {
        /// What is wrong, where in the output, and the text before that place.
        reason: String,
    },
    #[error("the template makes more than {limit} bytes: leave something out")]
    TooLarge { limit: usize },
    /// The event was accepted by a version that was less strict than
    /// [`keeptrusts_webhooks_domain::json`].
    #[error("the event's data cannot be given to a template: {reason}")]
    Data { reason: String },
    /// The event's stored body does not have our format.
    #[error("the event's body cannot be read: {reason}")]
    Body { reason: String },
    #[error("the template was interrupted")]
    Interrupted,
    #[error("the endpoint has no PagerDuty routing key: set one")]
    NoRoutingKey,
}
