//! Evaluates the result of a request: success or failure, when to retry, what to remark. Pure.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use keeptrusts_webhooks_domain::Timestamp;
use keeptrusts_webhooks_domain::delivery::RequestResult;
use keeptrusts_webhooks_domain::pause::Pause;
use keeptrusts_webhooks_domain::retry_after::RetryAfter;
use keeptrusts_webhooks_outbound::{HttpExchange, HttpResponse, Remark};

use super::{request, response_text};
use crate::metrics::AttemptResult;

pub(crate) struct Evaluation {
    pub(crate) request_result: RequestResult,
    pub(crate) result: AttemptResult,
    pub(crate) duration: Duration,
    pub(crate) status_code: Option<u16>,
    pub(crate) response_headers: HeaderMap,
    pub(crate) response_body: Bytes,
    /// Anything unusual, in one text; usually empty.
    pub(crate) remark: String,
    /// Whether anything of the request went to the receiver, as far as is known.
    pub(crate) was_sent: bool,
}

impl Evaluation {
    /// Evaluates a request to `url` that ended at `now`. Any 2xx is a success, nothing else is.
    pub(crate) fn of(exchange: HttpExchange, url: &str, now: Timestamp) -> Evaluation {
        let HttpExchange { result, duration, remarks, was_sent } = exchange;
        match result {
            Ok(HttpResponse { status, headers, body, .. }) => {
                let mut of_answer = Vec::from_iter(response_text::remark(&headers, &body));
                let request_result = match status.is_success() {
                    true => RequestResult::Succeeded,
                    false => failed_request(status, &headers, url, now, &mut of_answer),
                };
                Evaluation {
                    request_result,
                    result: AttemptResult::Answered(status.as_u16()),
                    duration,
                    status_code: Some(status.as_u16()),
                    remark: joined(&remarks, of_answer),
                    response_headers: headers,
                    response_body: body,
                    was_sent,
                }
            }
            Err(failure) => Evaluation {
                result: AttemptResult::Failed(failure.kind()),
                duration,
                remark: joined(&remarks, Vec::new()),
                was_sent,
                ..Evaluation::never_sent(&failure.to_string())
            },
        }
    }

    /// Nothing could be sent.
    pub(crate) fn never_sent(reason: &str) -> Evaluation {
        Evaluation {
            request_result: RequestResult::Failed {
                error: reason.to_owned(),
                retry_after: None,
                endpoint_pause: None,
            },
            result: AttemptResult::NotSent,
            duration: Duration::ZERO,
            status_code: None,
            response_headers: HeaderMap::new(),
            response_body: Bytes::new(),
            remark: String::new(),
            was_sent: false,
        }
    }

    /// The endpoint's URL has changed, so the receiver that answered is not the next one.
    pub(crate) fn ignore_retry_after(&mut self) {
        if let RequestResult::Failed { retry_after, endpoint_pause, .. } = &mut self.request_result
        {
            (*retry_after, *endpoint_pause) = (None, None);
        }
    }
}

/// The verdict on a response that is no success. Oddities of the response are added to the remarks.
fn failed_request(
    status: StatusCode,
    headers: &HeaderMap,
    url: &str,
    now: Timestamp,
    remarks: &mut Vec<String>,
) -> RequestResult {
    let RetryAfter { wait: retry_after, is_unreadable } = request::retry_after(headers, now);
    if is_unreadable {
        remarks.push(response_text::UNREADABLE_RETRY_AFTER.to_owned());
    }
    RequestResult::Failed {
        error: response_text::failure_text(status, headers, url),
        retry_after,
        endpoint_pause: Pause::after_answer(status.as_u16(), retry_after),
    }
}

fn joined(remarks: &[Remark], of_answer: Vec<String>) -> String {
    let remarks = remarks.iter().map(ToString::to_string).chain(of_answer);
    remarks.collect::<Vec<_>>().join("; ")
}
