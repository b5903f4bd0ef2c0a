//! Endpoints.

use std::ops::Deref;

use jiff::Timestamp;
use keeptrusts_webhooks_contracts::v1;
use keeptrusts_webhooks_domain::endpoint::FAILING_AFTER;

use super::Badge;
use super::chart::Statistics;
use super::payload;
use super::time::Moment;

/// The words of [`v1::endpoint::State`], as filters have them.
pub(crate) const STATUSES: [(&str, v1::endpoint::State); 4] = [
    ("active", v1::endpoint::State::Active),
    ("failing", v1::endpoint::State::Failing),
    ("degraded", v1::endpoint::State::Degraded),
    ("disabled", v1::endpoint::State::Disabled),
];

/// Whether deliveries are made, and whether they succeed lately.
pub(crate) fn status(status: v1::endpoint::State) -> Badge {
    match status {
        v1::endpoint::State::Active => Badge { word: "Active", class: "good" },
        v1::endpoint::State::Failing => Badge { word: "Failing", class: "wait" },
        v1::endpoint::State::Disabled => Badge { word: "Disabled", class: "neutral" },
        v1::endpoint::State::Degraded => Badge { word: "Degraded", class: "bad" },
        v1::endpoint::State::Unspecified => Badge { word: "Unknown", class: "neutral" },
    }
}

/// An endpoint: what pages say in other words than the API, and the API's answer for the rest.
#[derive(Debug, Clone)]
pub(crate) struct EndpointView {
    answer: v1::Endpoint,
    pub(crate) payload_format: &'static str,
    pub(crate) status: Badge,
    pub(crate) is_disabled: bool,
    pub(crate) is_failing: bool,
    pub(crate) state_time: Option<Moment>,
    /// The delivery that caused its state.
    pub(crate) delivery_at_fault: Option<String>,
    /// The time since which nothing has succeeded.
    pub(crate) failing_since: Option<Moment>,
    /// The pause that its receiver has asked for.
    pub(crate) pause: Option<PauseView>,
    pub(crate) create_time: Option<Moment>,
    pub(crate) update_time: Option<Moment>,
    pub(crate) previous_secret_expire_time: Option<Moment>,
}

impl Deref for EndpointView {
    type Target = v1::Endpoint;

    fn deref(&self) -> &v1::Endpoint {
        &self.answer
    }
}

impl EndpointView {
    pub(crate) fn of(endpoint: v1::Endpoint) -> EndpointView {
        let at_fault = endpoint.state_delivery_id.clone();
        EndpointView {
            payload_format: payload::name(payload::kind_of(&endpoint)),
            status: status(endpoint.state()),
            is_disabled: endpoint.state() == v1::endpoint::State::Disabled,
            is_failing: endpoint.state() == v1::endpoint::State::Failing,
            state_time: Moment::of(endpoint.state_time.as_ref()),
            delivery_at_fault: Some(at_fault).filter(|id| !id.is_empty()),
            failing_since: Moment::of(endpoint.failing_since_time.as_ref()),
            pause: endpoint.pause.clone().and_then(PauseView::of),
            create_time: Moment::of(endpoint.create_time.as_ref()),
            update_time: Moment::of(endpoint.update_time.as_ref()),
            previous_secret_expire_time: Moment::of(endpoint.previous_secret_expire_time.as_ref()),
            answer: endpoint,
        }
    }

    /// When it becomes a failing one if nothing happens until then. No change announces it.
    pub(crate) fn failing_from(&self) -> Option<Timestamp> {
        let is_active = self.answer.state() == v1::endpoint::State::Active;
        let since = self.failing_since.as_ref().filter(|_| is_active)?;
        since.0.checked_add(FAILING_AFTER).ok()
    }

    /// Its status was not always so.
    pub(crate) fn has_reason(&self) -> bool {
        !self.state_reason.is_empty()
    }
}

/// A pause that a receiver has asked for.
#[derive(Debug, Clone)]
pub(crate) struct PauseView {
    pub(crate) end_time: Moment,
    pub(crate) status_code: i32,
    /// The delivery whose response asked for it.
    pub(crate) delivery_id: String,
}

impl PauseView {
    fn of(pause: v1::EndpointPause) -> Option<PauseView> {
        let v1::EndpointPause { end_time, status_code, delivery_id, .. } = pause;
        Some(PauseView { end_time: Moment::of(end_time.as_ref())?, status_code, delivery_id })
    }
}

/// An endpoint in the table.
pub(crate) struct EndpointRow {
    pub(crate) endpoint: EndpointView,
    pub(crate) statistics: Statistics,
    /// The event types that there is room for.
    pub(crate) shown_event_types: Vec<String>,
    /// How many more there are.
    pub(crate) more_event_types: usize,
    pub(crate) has_all_event_types: bool,
}

impl EndpointRow {
    const SHOWN: usize = 2;

    pub(crate) fn new(
        endpoint: v1::Endpoint,
        statistics: Statistics,
        event_type_count: usize,
    ) -> EndpointRow {
        let endpoint = EndpointView::of(endpoint);
        let all = &endpoint.event_types;
        EndpointRow {
            shown_event_types: all.iter().take(EndpointRow::SHOWN).cloned().collect(),
            more_event_types: all.len().saturating_sub(EndpointRow::SHOWN),
            has_all_event_types: all.len() >= event_type_count,
            endpoint,
            statistics,
        }
    }

    /// As much of the URL as there is room for.
    pub(crate) fn shown_url(&self) -> &str {
        self.url_up_to(60)
    }

    /// More of it, for a tooltip; all of it is on the endpoint's page.
    pub(crate) fn long_url(&self) -> &str {
        self.url_up_to(300)
    }

    fn url_up_to(&self, bytes: usize) -> &str {
        &self.endpoint.url[..self.endpoint.url.floor_char_boundary(bytes)]
    }

    /// All of them, for a tooltip.
    pub(crate) fn event_types(&self) -> String {
        self.endpoint.event_types.join(", ")
    }
}

#[cfg(test)]
mod tests {
    use keeptrusts_webhooks_contracts::time::timestamp_to_proto;

    use super::*;

    #[test]
    fn every_status_has_a_word_of_its_own() {
        let words = STATUSES.map(|(name, state)| {
            assert_eq!(status(state).word.to_lowercase(), name);
            name
        });
        assert_eq!(words, ["active", "failing", "degraded", "disabled"]);
    }

    #[test]
    fn an_active_endpoint_that_fails_is_failing_two_minutes_later() {
        let since: Timestamp = "2026-11-30T17:00:00Z".parse().expect("a time");
        let from = |state: v1::endpoint::State, since: Option<Timestamp>| {
            EndpointView::of(v1::Endpoint {
                state: state.into(),
                failing_since_time: since.map(timestamp_to_proto),
                ..Default::default()
            })
            .failing_from()
        };
        let active = v1::endpoint::State::Active;
        let then = "2026-11-30T17:02:00Z".parse().expect("a time");
        assert_eq!(from(active, Some(since)), Some(then));
        assert_eq!(from(active, None), None);
        assert_eq!(from(v1::endpoint::State::Failing, Some(since)), None);
        assert_eq!(from(v1::endpoint::State::Degraded, Some(since)), None);
    }
}
