//! Why there is no payload.

/// Why there is no payload. The text says what to do, and may be shown to the endpoint's owner.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FormatError {
    /// The template cannot be compiled, or does not get to its end.
    #[error("the template fails in line {line}: {reason}")]
    Template {
        /// Where, from 1.
        line: usize,
        /// What is wrong there.
        reason: String,
    },
    /// What the template makes is not JSON as receivers agree on it: what publishing an event
    /// refuses ([`keeptrusts_webhooks_domain::json`]), or more than
    /// [`keeptrusts_webhooks_domain::limits::MAX_PAYLOAD_DEPTH`] levels.
    #[error("what the template makes {reason}")]
    NotJson {
        /// What is wrong, where in the result, and what is before it.
        reason: String,
    },
    /// What the template makes is too large.
    #[error("the template makes more than {limit} bytes: leave something out")]
    TooLarge {
        /// The limit, in bytes.
        limit: usize,
    },
    /// The event's data cannot be read by a template: it was accepted by a version that was less
    /// strict than [`keeptrusts_webhooks_domain::json`].
    #[error("the event's data cannot be given to a template: {reason}")]
    Data {
        /// Why.
        reason: String,
    },
    /// The event's stored body is not one of ours.
    #[error("the event's body cannot be read: {reason}")]
    Body {
        /// Why.
        reason: String,
    },
    /// The rendering was interrupted.
    #[error("the template was interrupted")]
    Interrupted,
    /// PagerDuty is sent nothing without a key.
    #[error("the endpoint has no PagerDuty routing key: set one")]
    NoRoutingKey,
}
