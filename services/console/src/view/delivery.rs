//! Deliveries and attempts.

use askama::Template;
use keeptrusts_webhooks_contracts::v1;

use super::Badge;
use super::time::{Moment, duration_of};

/// What an attempt meant for its delivery.
pub(crate) fn outcome(outcome: v1::attempt::Outcome) -> Badge {
    match outcome {
        v1::attempt::Outcome::Delivered => Badge { word: "Delivered", class: "good" },
        v1::attempt::Outcome::Retrying => Badge { word: "Retrying", class: "wait" },
        v1::attempt::Outcome::Failed => Badge { word: "Failed", class: "bad" },
        v1::attempt::Outcome::Unspecified => Badge { word: "Unknown", class: "neutral" },
    }
}

pub(crate) fn state(state: v1::delivery::State) -> Badge {
    match state {
        v1::delivery::State::Scheduled => Badge { word: "Scheduled", class: "neutral" },
        v1::delivery::State::Retrying => Badge { word: "Retrying", class: "wait" },
        v1::delivery::State::Paused => Badge { word: "Paused", class: "neutral" },
        v1::delivery::State::Delivered => Badge { word: "Delivered", class: "good" },
        v1::delivery::State::Failed => Badge { word: "Failed", class: "bad" },
        v1::delivery::State::Cancelled => Badge { word: "Cancelled", class: "neutral" },
        v1::delivery::State::Unspecified => Badge { word: "Unknown", class: "neutral" },
    }
}

fn special_trigger(trigger: v1::attempt::Trigger) -> Option<&'static str> {
    match trigger {
        v1::attempt::Trigger::Manual => Some("Manual retry"),
        v1::attempt::Trigger::Test => Some("Test"),
        v1::attempt::Trigger::Automatic | v1::attempt::Trigger::Unspecified => None,
    }
}

/// The response in short: its status, or that there was none.
fn status(code: i32) -> String {
    match code {
        0 => "No answer".to_owned(),
        code => code.to_string(),
    }
}

/// An entry of the delivery log.
#[derive(Debug, Clone, Template)]
#[template(path = "parts/attempt_row.html")]
pub(crate) struct AttemptRow {
    pub(crate) id: String,
    pub(crate) delivery_id: String,
    pub(crate) number: i32,
    pub(crate) start_time: Option<Moment>,
    pub(crate) event_type: String,
    /// What caused it, if not the schedule.
    pub(crate) special_trigger: Option<&'static str>,
    pub(crate) status: String,
    pub(crate) error: String,
    /// Anything unusual about it, whatever its outcome.
    pub(crate) remark: String,
    pub(crate) duration: String,
    pub(crate) outcome: Badge,
    /// Whether this visitor is offered another attempt.
    pub(crate) can_retry: bool,
}

impl AttemptRow {
    /// `may_send`: the visitor may retry deliveries.
    pub(crate) fn of(attempt: &v1::Attempt, may_send: bool) -> AttemptRow {
        let can_retry = may_send
            && attempt.outcome() != v1::attempt::Outcome::Delivered
            && attempt.trigger() != v1::attempt::Trigger::Test;
        AttemptRow {
            id: attempt.id.clone(),
            delivery_id: attempt.delivery_id.clone(),
            number: attempt.number,
            start_time: Moment::of(attempt.start_time.as_ref()),
            event_type: attempt.event_type.clone(),
            special_trigger: special_trigger(attempt.trigger()),
            status: status(attempt.status_code),
            error: attempt.error.clone(),
            remark: attempt.remark.clone(),
            duration: duration_of(attempt.duration.as_ref()).unwrap_or_default(),
            outcome: outcome(attempt.outcome()),
            can_retry,
        }
    }
}

/// A delivery in a list.
#[derive(Debug, Clone, Template)]
#[template(path = "parts/delivery_row.html")]
pub(crate) struct DeliveryRow {
    pub(crate) id: String,
    pub(crate) event_type: String,
    pub(crate) create_time: Option<Moment>,
    pub(crate) state: Badge,
    /// The response to the newest attempt; empty before there is one.
    pub(crate) status: String,
    pub(crate) attempt_count: i32,
    pub(crate) next_attempt_time: Option<Moment>,
}

impl DeliveryRow {
    pub(crate) fn of(delivery: &v1::Delivery, newest: Option<&v1::Attempt>) -> DeliveryRow {
        DeliveryRow {
            id: delivery.id.clone(),
            event_type: delivery.event_type.clone(),
            create_time: Moment::of(delivery.create_time.as_ref()),
            state: state(delivery.state()),
            status: newest.map(|attempt| status(attempt.status_code)).unwrap_or_default(),
            attempt_count: delivery.attempt_count,
            next_attempt_time: next_attempt(delivery),
        }
    }
}

/// When a delivery that waits for a retry gets it.
pub(crate) fn next_attempt(delivery: &v1::Delivery) -> Option<Moment> {
    let waits = delivery.state() == v1::delivery::State::Retrying;
    Moment::of(delivery.next_attempt_time.as_ref()).filter(|_| waits)
}

/// One attempt in full.
pub(crate) struct AttemptView {
    pub(crate) row: AttemptRow,
    pub(crate) request_headers: Vec<v1::Header>,
    pub(crate) response_headers: Vec<v1::Header>,
    pub(crate) request: BodyText,
    pub(crate) response: BodyText,
}

impl AttemptView {
    pub(crate) fn of(attempt: &v1::Attempt) -> AttemptView {
        let whole = |part: &str| {
            format!("/deliveries/{}/{part}?attempt={}&", attempt.delivery_id, attempt.number)
        };
        AttemptView {
            // The button is elsewhere on the page.
            row: AttemptRow::of(attempt, false),
            request_headers: attempt.request_headers.clone(),
            response_headers: attempt.response_headers.clone(),
            request: BodyText::of(&attempt.request_body, whole("request")),
            response: BodyText::of(&attempt.response_body, whole("response")),
        }
    }

    /// Whether something was sent and is still stored.
    pub(crate) fn has_request(&self) -> bool {
        !self.request_headers.is_empty() || !self.request.is_empty()
    }
}

/// A body as text: as it is, and indented if it is JSON.
pub(crate) struct BodyText {
    pub(crate) raw: String,
    pub(crate) pretty: Option<String>,
    /// The length of the whole body, if only a part is shown.
    pub(crate) whole_bytes: Option<usize>,
    /// The address of the whole body; `view=…` is to be added.
    pub(crate) whole: String,
}

impl BodyText {
    /// Limits for a body on a page, in bytes as it is escaped there: pages stay small, and longer
    /// bodies have a page of their own.
    const MAX_RAW: usize = 10 * 1024;
    const MAX_PRETTY: usize = 14 * 1024;

    pub(crate) fn of(body: &str, whole: String) -> BodyText {
        let shown = beginning(body, BodyText::MAX_RAW);
        let pretty = super::json::indented(body, BodyText::MAX_PRETTY);
        let pretty = pretty.filter(|pretty| beginning(pretty, BodyText::MAX_PRETTY) == pretty);
        let is_whole = shown.len() == body.len();
        // If the indented text is complete, only white space is missing.
        let whole_bytes = (!is_whole).then_some(body.len());
        BodyText { raw: shown.to_owned(), pretty, whole_bytes, whole }
    }

    /// All of a text that has no page of its own.
    pub(crate) fn complete(body: &str) -> BodyText {
        let pretty = super::json::indented(body, usize::MAX);
        BodyText { raw: body.to_owned(), pretty, whole_bytes: None, whole: String::new() }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.raw.is_empty()
    }
}

/// As much of a text as takes at most `limit` bytes when it is escaped.
fn beginning(text: &str, limit: usize) -> &str {
    let mut bytes = 0;
    let end = text.char_indices().find(|(_, character)| {
        bytes += match character {
            '<' | '>' | '&' | '"' | '\'' => "&#60;".len(),
            other => other.len_utf8(),
        };
        bytes > limit
    });
    end.map_or(text, |(end, _)| &text[..end])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_body_is_shown_in_part() {
        let text = BodyText::of(&"é".repeat(BodyText::MAX_RAW), String::new());
        assert_eq!(text.raw.len(), BodyText::MAX_RAW);
        assert_eq!(text.whole_bytes, Some(2 * BodyText::MAX_RAW));
        let text = BodyText::of("{\"a\":1}", String::new());
        assert_eq!(text.pretty.as_deref(), Some("{\n  \"a\": 1\n}"));
        assert_eq!(text.whole_bytes, None);
    }

    #[test]
    fn what_counts_is_the_length_on_the_page() {
        let quotes = "\"".repeat(BodyText::MAX_RAW);
        assert_eq!(BodyText::of(&quotes, String::new()).raw.len(), BodyText::MAX_RAW / 5);
    }

    #[test]
    fn hostile_text_is_inert() {
        let attempt = v1::Attempt {
            event_type: "<script>alert(1)</script>".to_owned(),
            error: "\" onmouseover=\"alert(1)".to_owned(),
            remark: "\" onmouseover=\"alert(2)".to_owned(),
            ..Default::default()
        };
        let html = AttemptRow::of(&attempt, true).to_string();
        assert!(!html.contains("<script>"), "{html}");
        assert!(!html.contains("\" onmouseover"), "{html}");
    }

    #[test]
    fn a_remark_is_marked_also_on_an_attempt_that_was_delivered() {
        let plain = v1::Attempt {
            status_code: 200,
            outcome: v1::attempt::Outcome::Delivered.into(),
            ..Default::default()
        };
        let remarkable = v1::Attempt { remark: "it ended early".to_owned(), ..plain.clone() };
        assert!(!AttemptRow::of(&plain, true).to_string().contains("Remark"));
        let html = AttemptRow::of(&remarkable, true).to_string();
        assert!(html.contains("title=\"it ended early\">Remark<"), "{html}");
    }

    #[test]
    fn a_test_and_a_success_are_not_offered_a_retry() {
        let row = |trigger: v1::attempt::Trigger, outcome: v1::attempt::Outcome| {
            let (trigger, outcome) = (trigger.into(), outcome.into());
            let attempt = v1::Attempt { trigger, outcome, ..Default::default() };
            assert!(!AttemptRow::of(&attempt, false).can_retry, "nothing for those who may not");
            AttemptRow::of(&attempt, true).can_retry
        };
        assert!(row(v1::attempt::Trigger::Automatic, v1::attempt::Outcome::Failed));
        assert!(row(v1::attempt::Trigger::Manual, v1::attempt::Outcome::Retrying));
        assert!(!row(v1::attempt::Trigger::Automatic, v1::attempt::Outcome::Delivered));
        assert!(!row(v1::attempt::Trigger::Test, v1::attempt::Outcome::Failed));
    }
}
