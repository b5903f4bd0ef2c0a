//! Evaluates the result of a request: success or failure, when to retry, what to remark. Pure.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use keeptrusts_webhooks_domain::Timestamp;
use keeptrusts_webhooks_domain::delivery::Verdict;
use keeptrusts_webhooks_domain::pause::Pause;
use keeptrusts_webhooks_domain::retry_after::RetryAfter;
use keeptrusts_webhooks_outbound::{Answer, Exchange as Exchanged, Remark};

use super::{request, response_text};
use crate::metrics::AttemptResult;

pub(crate) struct Evaluation {
    pub(crate) verdict: Verdict,
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
    pub(crate) fn of(exchanged: Exchanged, url: &str, now: Timestamp) -> Evaluation {
        let Exchanged { result, duration, remarks, was_sent } = exchanged;
        match result {
            Ok(Answer { status, headers, body, .. }) => {
                let mut of_answer = Vec::from_iter(response_text::remark(&headers, &body));
                let verdict = match status.is_success() {
                    true => Verdict::Succeeded,
                    false => failed_verdict(status, &headers, url, now, &mut of_answer),
                };
                Evaluation {
                    verdict,
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
            verdict: Verdict::Failed {
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
        if let Verdict::Failed { retry_after, endpoint_pause, .. } = &mut self.verdict {
            (*retry_after, *endpoint_pause) = (None, None);
        }
    }
}

/// The verdict on a response that is no success. Oddities of the response are added to the remarks.
fn failed_verdict(
    status: StatusCode,
    headers: &HeaderMap,
    url: &str,
    now: Timestamp,
    remarks: &mut Vec<String>,
) -> Verdict {
    let RetryAfter { wait: retry_after, is_unreadable } = request::retry_after(headers, now);
    if is_unreadable {
        remarks.push(response_text::UNREADABLE_RETRY_AFTER.to_owned());
    }
    Verdict::Failed {
        error: response_text::failure_text(status, headers, url),
        retry_after,
        endpoint_pause: Pause::after_answer(status.as_u16(), retry_after),
    }
}

fn joined(remarks: &[Remark], of_answer: Vec<String>) -> String {
    let remarks = remarks.iter().map(ToString::to_string).chain(of_answer);
    remarks.collect::<Vec<_>>().join("; ")
}
