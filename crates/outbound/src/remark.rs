//! What was out of the ordinary about a request that is not the reason of its end.

use std::fmt;

use crate::limits::MAX_READ_HEAD;

/// Something about a request that whoever looks after the receiver should know, whatever came of
/// the request. The texts are our own and hold nothing that the receiver sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Remark {
    /// The body of the answer was shorter than announced, or its end never came. The status had
    /// arrived, and counts.
    BodyEndedEarly,
    /// The body of the answer had not ended when the time for the request was over. The status
    /// had arrived, and counts.
    BodyTookTooLong,
    /// The connection was closed within the answer's headers. The status had arrived, and counts.
    HeadersEndedEarly,
    /// The answer's headers had not ended when the time for the request was over. The status had
    /// arrived, and counts.
    HeadersTookTooLong,
    /// The answer's headers are larger than we read. The status had arrived, and counts.
    HeadersTooLarge,
    /// The answer's headers cannot be read as HTTP. The status had arrived, and counts.
    HeadersUnreadable,
    /// The receiver closed the connection while it was sent the request, and had answered before.
    AnsweredWhileSending,
    /// HTTP/2 receivers say of some requests that they have not processed them (RFC 9113 section
    /// 8.7); such a request was sent again at once.
    SentAgainNotProcessed,
    /// A connection that had been used before was closed without an answer, and the request was
    /// sent again on a new one. The receiver may have processed it twice.
    SentAgainMaybeProcessed,
    /// A connection that had been used before was closed without an answer, and no new one could be
    /// opened. The receiver may have processed the request.
    MaybeProcessed,
    /// The receiver wants HTTP/1.1 although it offers HTTP/2 (RFC 9113 section 7), and the request
    /// was sent again so.
    SentAgainByHttp1,
    /// Addresses of the receiver's name failed before the request was sent (TCP, TLS, HTTP/2's
    /// beginning), and another one did not.
    AddressesPassedOver {
        /// How many were passed over.
        passed_over: usize,
        /// How many the name has, of those that are permitted.
        of: usize,
    },
    /// The receiver asked for a client certificate in the handshake, went on without, and answered
    /// with a status other than 2xx.
    AskedForCertificate,
}

impl fmt::Display for Remark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Remark::BodyEndedEarly => "the answer's body ended early",
            Remark::BodyTookTooLong => "the answer's body had not ended when the time was over",
            Remark::HeadersEndedEarly => "the answer's headers ended early",
            Remark::HeadersTookTooLong => {
                "the answer's headers had not ended when the time was over"
            }
            Remark::HeadersTooLarge => {
                return write!(
                    f,
                    "the answer's headers are too large: no more than their first {} KiB count",
                    MAX_READ_HEAD / 1024
                );
            }
            Remark::HeadersUnreadable => {
                "the answer's headers are not valid HTTP: only what could be read is shown"
            }
            Remark::AnsweredWhileSending => {
                "the receiver answered and closed the connection before it had read the whole request"
            }
            Remark::SentAgainNotProcessed => {
                "the receiver gave the request back unprocessed (HTTP/2 GOAWAY or REFUSED_STREAM), and it was sent again on another connection"
            }
            Remark::SentAgainByHttp1 => {
                "the receiver offers HTTP/2 but asked for HTTP/1.1 (HTTP_1_1_REQUIRED), and the request was sent again so"
            }
            Remark::AddressesPassedOver { passed_over, of } => {
                let verb = if *passed_over == 1 { "was" } else { "were" };
                return write!(
                    f,
                    "{passed_over} of the {of} addresses of the URL's host name failed before the request was sent and {verb} passed over"
                );
            }
            Remark::MaybeProcessed => {
                "a kept connection was closed without an answer: the receiver may have got the request"
            }
            Remark::AskedForCertificate => {
                "the receiver asked for a client certificate, which deliveries do not have"
            }
            Remark::SentAgainMaybeProcessed => {
                "a kept connection was closed without an answer, and the request was sent again on a new one: the receiver may have got it twice"
            }
        })
    }
}
