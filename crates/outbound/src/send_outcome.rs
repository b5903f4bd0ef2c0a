//! The outcome of one request on one connection.

use std::time::Duration;

use http::{HeaderMap, StatusCode};

use crate::failure::SendFailure;
use crate::limits::MAX_IDLE_TIME;
use crate::remark::Remark;
use crate::response::{HttpResponse, KeptBody, kept_headers};

/// The outcome of one request on one connection.
pub(crate) enum SendOutcome {
    Answered(ReceivedAnswer),
    /// There is no answer, and the receiver may have got the request.
    Failed(SendFailure),
    /// There is no answer within the time limit, and the receiver may have got the request.
    TimedOut,
    /// The connection was closed before anything of the request was sent.
    NotSent,
    /// The receiver says that it did not process the request (RFC 9113 section 8.7).
    NotProcessed,
    /// The same, and it wants HTTP/1.1 (RFC 9113 section 7).
    Http1Wanted,
    /// A connection that was used before broke without one byte of an answer: the receiver may have
    /// closed it just when the request was sent (RFC 9110 section 9.2.2).
    ReusedConnectionClosed(SendFailure),
}

impl SendOutcome {
    /// The outcome given that the receiver requested a client certificate. With TLS 1.3 it rejects
    /// our having none only after the handshake, and some servers answer with an error.
    pub(crate) fn after_certificate_request(self) -> Self {
        match self {
            Self::Answered(mut answered) => {
                if !answered.answer.status.is_success() {
                    answered.remark = answered.remark.or(Some(Remark::AskedForCertificate));
                }
                Self::Answered(answered)
            }
            Self::Failed(failure) => Self::Failed(failure.after_certificate_request()),
            Self::ReusedConnectionClosed(failure) => {
                Self::ReusedConnectionClosed(failure.after_certificate_request())
            }
            Self::TimedOut | Self::NotSent | Self::NotProcessed | Self::Http1Wanted => self,
        }
    }
}

pub(crate) struct ReceivedAnswer {
    pub(crate) answer: HttpResponse,
    pub(crate) remark: Option<Remark>,
    pub(crate) is_reusable: bool,
    /// How long the connection may wait for the next request.
    pub(crate) idle_time: Duration,
}

/// How reading an answer's body ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BodyEnd {
    Whole,
    /// At the limit: the rest is not read.
    Cut,
    /// The connection ended first.
    Early,
    TimedOut,
}

impl ReceivedAnswer {
    /// An answer whose head is complete.
    pub(crate) fn new(
        status: StatusCode,
        headers: HeaderMap,
        body: KeptBody,
        body_end: BodyEnd,
    ) -> Self {
        let remark = match body_end {
            BodyEnd::Whole | BodyEnd::Cut => None,
            BodyEnd::Early => Some(Remark::BodyEndedEarly),
            BodyEnd::TimedOut => Some(Remark::BodyTookTooLong),
        };
        Self {
            answer: answer(status, headers, body),
            remark,
            is_reusable: body_end == BodyEnd::Whole,
            idle_time: MAX_IDLE_TIME,
        }
    }

    /// An answer of which only the beginning of the head arrived.
    pub(crate) fn with_part_of_head(
        status: StatusCode,
        headers: HeaderMap,
        remark: Remark,
    ) -> Self {
        let answer = answer(status, headers, KeptBody::default());
        Self { answer, remark: Some(remark), is_reusable: false, idle_time: Duration::ZERO }
    }
}

fn answer(status: StatusCode, headers: HeaderMap, body: KeptBody) -> HttpResponse {
    let body_truncated = body.is_truncated();
    HttpResponse { status, headers: kept_headers(headers), body: body.into_bytes(), body_truncated }
}
