//! Filters of lists, as a page's address has them.

use keeptrusts_webhooks_contracts::v1;
use keeptrusts_webhooks_domain::event_type::EventType;
use serde::Deserialize;

use super::SelectOption;
use super::delivery::outcome;
use super::paging::PagePosition;
use super::time;

/// The outcomes by their words.
const OUTCOMES: [(&str, v1::attempt::Outcome); 3] = [
    ("delivered", v1::attempt::Outcome::Delivered),
    ("failed", v1::attempt::Outcome::Failed),
    ("retrying", v1::attempt::Outcome::Retrying),
];

/// The filters of the delivery log and of the events. Those that a list does not have stay empty.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(crate) struct LogFilter {
    pub(crate) outcome: String,
    pub(crate) event_type: String,
    pub(crate) from: String,
    pub(crate) to: String,
    pub(crate) page: String,
    pub(crate) trail: String,
    pub(crate) window: String,
}

impl LogFilter {
    pub(crate) fn position(&self) -> PagePosition {
        PagePosition { page: self.page.clone(), trail: self.trail.clone() }
    }

    /// What the links to other pages keep.
    pub(crate) fn parameters(&self) -> [(&'static str, &str); 5] {
        [
            ("window", &self.window),
            ("outcome", &self.outcome),
            ("event_type", &self.event_type),
            ("from", &self.from),
            ("to", &self.to),
        ]
    }

    pub(crate) fn is_filtered(&self) -> bool {
        [&self.outcome, &self.event_type, &self.from, &self.to].iter().any(|text| !text.is_empty())
    }

    /// Whether the filter may match failed deliveries.
    pub(crate) fn can_match_failures(&self) -> bool {
        self.is_filtered()
            && self.complaint().is_none()
            && matches!(self.outcome.as_str(), "" | "failed")
    }

    /// What cannot be read in the filter, for the person who typed it.
    pub(crate) fn complaint(&self) -> Option<&'static str> {
        if !self.event_type.is_empty() && self.event_type.parse::<EventType>().is_err() {
            return Some("There is no such event type.");
        }
        interval_complaint(&self.from, &self.to)
    }

    /// The request for an endpoint's log. Times that cannot be read filter nothing.
    pub(crate) fn attempts(&self, endpoint_id: &str, page_size: i32) -> v1::ListAttemptsRequest {
        let (start_time, end_time) = self.times();
        v1::ListAttemptsRequest {
            page_size,
            page_token: self.page.clone(),
            endpoint_ids: vec![endpoint_id.to_owned()],
            event_types: self.known_event_type().into_iter().collect(),
            outcomes: self.chosen_outcome().map(i32::from).into_iter().collect(),
            start_time,
            end_time,
            ..Default::default()
        }
    }

    pub(crate) fn events(&self, page_size: i32) -> v1::ListEventsRequest {
        let (start_time, end_time) = self.times();
        v1::ListEventsRequest {
            page_size,
            page_token: self.page.clone(),
            event_types: self.known_event_type().into_iter().collect(),
            start_time,
            end_time,
            ..Default::default()
        }
    }

    /// Whether an attempt that has just been made belongs on the list.
    pub(crate) fn admits(&self, attempt: &v1::Attempt) -> bool {
        let outcome = self.chosen_outcome();
        let seconds = attempt.start_time.as_ref().map_or(0, |time| time.seconds);
        let (start, end) = self.times();
        outcome.is_none_or(|outcome| outcome == attempt.outcome())
            && (self.event_type.is_empty() || self.event_type == attempt.event_type)
            && start.is_none_or(|start| start.seconds <= seconds)
            && end.is_none_or(|end| seconds < end.seconds)
    }

    pub(crate) fn outcome_choices(&self) -> Vec<SelectOption> {
        let all = [("", "All outcomes")].into_iter();
        let outcomes = OUTCOMES.iter().map(|(value, of)| (*value, outcome(*of).word));
        all.chain(outcomes)
            .map(|(value, name)| SelectOption::new(value, name, &self.outcome))
            .collect()
    }

    /// The event types, and the type of tests.
    pub(crate) fn event_type_choices(&self, event_types: &[v1::EventType]) -> Vec<SelectOption> {
        let names = event_types.iter().map(|event_type| event_type.id.as_str());
        let mut choices = vec![SelectOption::new("", "All event types", &self.event_type)];
        let all = names.chain(["webhook.test"]);
        choices.extend(all.map(|name| SelectOption::new(name, name, &self.event_type)));
        choices
    }

    /// None: every outcome.
    fn chosen_outcome(&self) -> Option<v1::attempt::Outcome> {
        let chosen = OUTCOMES.iter().find(|(value, _)| *value == self.outcome);
        chosen.map(|(_, outcome)| *outcome)
    }

    /// None: every type.
    fn known_event_type(&self) -> Option<String> {
        self.event_type.parse::<EventType>().ok().map(|event_type| event_type.name().to_owned())
    }

    fn times(&self) -> (Option<prost_types::Timestamp>, Option<prost_types::Timestamp>) {
        match self.complaint() {
            Some(_) => (None, None),
            None => interval(&self.from, &self.to),
        }
    }
}

/// What cannot be read in two times that were typed.
pub(crate) fn interval_complaint(from: &str, to: &str) -> Option<&'static str> {
    match (time::parse(from), time::parse(to)) {
        (Ok(Some(from)), Ok(Some(to))) if from >= to => Some("\"From\" must be before \"To\"."),
        (Ok(_), Ok(_)) => None,
        _ => Some("Write times like 2026-04-23T10:30, or leave them empty."),
    }
}

/// Two times that were typed. Those that cannot be read limit nothing.
pub(crate) fn interval(
    from: &str,
    to: &str,
) -> (Option<prost_types::Timestamp>, Option<prost_types::Timestamp>) {
    if interval_complaint(from, to).is_some() {
        return (None, None);
    }
    let read = |text| time::to_proto(time::parse(text).unwrap_or_default());
    (read(from), read(to))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attempt(outcome: v1::attempt::Outcome, event_type: &str, seconds: i64) -> v1::Attempt {
        v1::Attempt {
            outcome: outcome.into(),
            event_type: event_type.to_owned(),
            start_time: Some(prost_types::Timestamp { seconds, nanos: 0 }),
            ..Default::default()
        }
    }

    #[test]
    fn a_new_attempt_appears_only_where_a_reload_would_show_it() {
        let failed = attempt(v1::attempt::Outcome::Failed, "policy.block", 100);
        let admits = |change: fn(&mut LogFilter)| {
            let mut filter = LogFilter::default();
            change(&mut filter);
            filter.admits(&failed)
        };
        assert!(admits(|_| {}));
        assert!(admits(|filter| filter.outcome = "failed".to_owned()));
        assert!(!admits(|filter| filter.outcome = "delivered".to_owned()));
        assert!(!admits(|filter| filter.event_type = "key.rotated".to_owned()));
        assert!(!admits(|filter| filter.to = "1970-01-01T00:01:40Z".to_owned()));
        assert!(admits(|filter| filter.from = "1970-01-01T00:01:40Z".to_owned()));
        assert!(!admits(|filter| filter.from = "1970-01-01T00:01:41Z".to_owned()));
    }

    #[test]
    fn invalid_filters_are_reported() {
        let unknown = LogFilter { event_type: "policy.x".to_owned(), ..LogFilter::default() };
        assert!(unknown.complaint().is_some());
        assert!(unknown.events(10).event_types.is_empty());
        let complaint = |from: &str, to: &str| {
            let filter =
                LogFilter { from: from.to_owned(), to: to.to_owned(), ..LogFilter::default() };
            filter.complaint().is_some()
        };
        assert!(!complaint("", ""));
        assert!(!complaint("2026-04-23T10:30", ""));
        assert!(complaint("2026-04-23T10:30", "2026-04-23T10:30"));
        assert!(complaint("soon", ""));
    }

    #[test]
    fn what_failed_can_be_retried_together_where_a_filter_may_show_some_of_it() {
        let filter = |outcome: &str, event_type: &str| LogFilter {
            outcome: outcome.to_owned(),
            event_type: event_type.to_owned(),
            ..LogFilter::default()
        };
        assert!(filter("failed", "").can_match_failures());
        assert!(filter("", "policy.block").can_match_failures());
        assert!(!filter("delivered", "policy.block").can_match_failures());
        assert!(!filter("", "").can_match_failures(), "nothing is chosen");
        assert!(!filter("failed", "policy.x").can_match_failures());
    }
}
