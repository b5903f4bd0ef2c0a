//! What comes of one request on one connection.

use std::time::Duration;

use http::{HeaderMap, StatusCode};

use crate::failure::SendFailure;
use crate::limits::MAX_IDLE_TIME;
use crate::remark::Remark;
use crate::response::{HttpResponse, KeptBody, kept_headers};

/// What came of a request on a connection.
pub(crate) enum SendOutcome {
    /// The receiver has answered.
    Answered(ReceivedAnswer),
    /// It has not, and the receiver may have got the request.
    Failed(SendFailure),
    /// It has not when the time was over, and may have got the request.
    TimedOut,
    /// The connection was closed before anything of the request was sent.
    NotSent,
    /// The receiver says that it has not processed the request (RFC 9113 section 8.7).
    NotProcessed,
    /// The same, and that it wants HTTP/1.1 (RFC 9113 section 7).
    Http1Wanted,
    /// A connection that had been used before broke without one byte of an answer: the receiver
    /// may have given it up just when the request was sent (RFC 9110 section 9.2.2).
    ReusedConnectionClosed(SendFailure),
}

impl SendOutcome {
    /// What it is if the receiver had asked for a client certificate: with TLS 1.3 its verdict on
    /// our having none comes after the handshake, and some servers answer with an error.
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
    /// Whether the connection can take the next request.
    pub(crate) is_reusable: bool,
    /// How long it can wait for that.
    pub(crate) idle_time: Duration,
}

/// How reading an answer's body has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BodyEnd {
    /// With the body.
    Whole,
    /// At the limit: no more is read.
    Cut,
    /// Before its end.
    Early,
    /// With the time.
    TimedOut,
}

impl ReceivedAnswer {
    /// An answer whose head is there.
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

    /// An answer of whose head only the beginning is there.
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
