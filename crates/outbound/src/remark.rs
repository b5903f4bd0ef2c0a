//! Unusual things about a request, apart from its result.

use std::fmt;

use crate::limits::MAX_READ_HEAD;

/// Something that the receiver's administrator should know, whatever the request's result is. The
/// texts hold nothing that the receiver sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Remark {
    /// The status arrived, and counts.
    BodyEndedEarly,
    /// The status arrived, and counts.
    BodyTookTooLong,
    /// The status arrived, and counts.
    HeadersEndedEarly,
    /// The status arrived, and counts.
    HeadersTookTooLong,
    /// The status arrived, and counts.
    HeadersTooLarge,
    /// The status arrived, and counts.
    HeadersUnreadable,
    AnsweredWhileSending,
    /// The receiver said that it did not process the request (RFC 9113 section 8.7).
    SentAgainNotProcessed,
    SentAgainMaybeProcessed,
    /// And no new connection could be opened.
    MaybeProcessed,
    /// RFC 9113 section 7.
    SentAgainByHttp1,
    /// They failed at TCP, at TLS, or at the start of HTTP/2.
    AddressesPassedOver {
        passed_over: usize,
        /// How many permitted addresses the name has.
        of: usize,
    },
    /// It continued without one, and answered with a status other than 2xx.
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
