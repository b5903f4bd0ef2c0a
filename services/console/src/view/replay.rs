//! Replays: the form, and the progress.

use askama::Template;
use keeptrusts_webhooks_contracts::v1;
use keeptrusts_webhooks_domain::event_type::EventType;
use keeptrusts_webhooks_domain::limits::{DEFAULT_REPLAY_RATE, MAX_REPLAY_COUNT, MAX_REPLAY_RATE};
use keeptrusts_webhooks_domain::plural::pluralize;
use serde::Deserialize;

use super::filter::{interval, interval_complaint};
use super::paging::address;
use super::time::Moment;
use super::{Badge, SelectOption};
use crate::fields::Fields;

/// The scopes by their words.
const SCOPES: [(&str, v1::replay::Scope, &str); 3] = [
    ("missed", v1::replay::Scope::Missed, "What it missed while it was disabled"),
    ("failed", v1::replay::Scope::Failed, "What failed"),
    ("all", v1::replay::Scope::All, "Everything"),
];

/// A replay's form, or the same in a page's address.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub(crate) struct ReplayForm {
    pub(crate) scope: String,
    pub(crate) event_type: String,
    pub(crate) from: String,
    pub(crate) to: String,
    pub(crate) rate: String,
    /// Not empty: delivered events are sent again.
    pub(crate) again: String,
}

impl ReplayForm {
    pub(crate) fn of(fields: &Fields) -> ReplayForm {
        let field = |name| fields.get(name).to_owned();
        ReplayForm {
            scope: field("scope"),
            event_type: field("event_type"),
            from: field("from"),
            to: field("to"),
            rate: field("rate"),
            again: field("again"),
        }
    }

    /// The address of the form, filled in like this.
    pub(crate) fn address(&self, endpoint_id: &str) -> String {
        address(&format!("/webhooks/{endpoint_id}/replay"), self.parameters())
    }

    pub(crate) fn parameters(&self) -> [(&'static str, &str); 6] {
        [
            ("scope", &self.scope),
            ("event_type", &self.event_type),
            ("from", &self.from),
            ("to", &self.to),
            ("rate", &self.rate),
            ("again", &self.again),
        ]
    }

    /// What is wrong with the times.
    pub(crate) fn time_complaint(&self) -> Option<&'static str> {
        interval_complaint(&self.from, &self.to)
    }

    /// What is wrong with the rate.
    pub(crate) fn rate_complaint(&self) -> Option<&'static str> {
        match self.deliveries_per_second() {
            Some(_) => None,
            None => Some("Write a number from 1 to 5000, or leave it empty for 100."),
        }
    }

    pub(crate) fn is_right(&self) -> bool {
        self.time_complaint().is_none() && self.rate_complaint().is_none()
    }

    pub(crate) fn shown_rate(&self) -> String {
        if self.rate.is_empty() { DEFAULT_REPLAY_RATE.to_string() } else { self.rate.clone() }
    }

    pub(crate) fn wants_again(&self) -> bool {
        self.scope() == v1::replay::Scope::All && !self.again.is_empty()
    }

    pub(crate) fn is_of_everything(&self) -> bool {
        self.scope() == v1::replay::Scope::All
    }

    pub(crate) fn replay(&self, endpoint_id: &str) -> v1::Replay {
        let (start_time, end_time) = interval(&self.from, &self.to);
        let known = self.event_type.parse::<EventType>().ok();
        v1::Replay {
            endpoint_id: endpoint_id.to_owned(),
            scope: self.scope().into(),
            start_time,
            end_time,
            event_types: known.map(|kind| kind.name().to_owned()).into_iter().collect(),
            include_delivered: self.wants_again(),
            deliveries_per_second: self.deliveries_per_second().unwrap_or_default(),
            ..v1::Replay::default()
        }
    }

    pub(crate) fn scope_choices(&self) -> Vec<SelectOption> {
        let chosen = self.scope();
        let value =
            SCOPES.iter().find(|(_, scope, _)| *scope == chosen).map_or("", |(value, ..)| value);
        SCOPES.iter().map(|(name, _, words)| SelectOption::new(name, words, value)).collect()
    }

    pub(crate) fn event_type_choices(&self, event_types: &[String]) -> Vec<SelectOption> {
        let all = SelectOption::new("", "All event types", &self.event_type);
        let names = event_types.iter().map(|name| SelectOption::new(name, name, &self.event_type));
        [all].into_iter().chain(names).collect()
    }

    fn scope(&self) -> v1::replay::Scope {
        let chosen = SCOPES.iter().find(|(value, ..)| *value == self.scope);
        chosen.map_or(v1::replay::Scope::Missed, |(_, scope, _)| *scope)
    }

    fn deliveries_per_second(&self) -> Option<i32> {
        match self.rate.trim() {
            "" => Some(0),
            text => text.parse().ok().filter(|rate| (1..=MAX_REPLAY_RATE as i32).contains(rate)),
        }
    }
}

pub(crate) fn scope(scope: v1::replay::Scope) -> &'static str {
    SCOPES.iter().find(|(_, other, _)| *other == scope).map_or("Unknown", |(_, _, words)| words)
}

fn state(state: v1::replay::State) -> Badge {
    match state {
        v1::replay::State::Running => Badge { word: "Running", class: "wait" },
        v1::replay::State::Done => Badge { word: "Done", class: "good" },
        v1::replay::State::Cancelled => Badge { word: "Cancelled", class: "neutral" },
        v1::replay::State::Unspecified => Badge { word: "Unknown", class: "neutral" },
    }
}

/// How far a replay has come: the part of the page that changes.
#[derive(Debug, Clone, Template)]
#[template(path = "parts/replay_progress.html")]
pub(crate) struct ReplayProgress {
    pub(crate) id: String,
    pub(crate) state: Badge,
    pub(crate) scope: &'static str,
    pub(crate) is_running: bool,
    pub(crate) can_cancel: bool,
    pub(crate) end_reason: String,
    /// Deliveries scheduled so far.
    pub(crate) sent: i64,
    /// How many deliveries were counted at the start.
    pub(crate) matched: i64,
    /// The count stopped at its limit.
    pub(crate) may_match_more: bool,
    pub(crate) scheduled: i64,
    pub(crate) resumed: i64,
    pub(crate) skipped: i64,
    pub(crate) expired: i64,
    pub(crate) create_time: Option<Moment>,
    pub(crate) finish_time: Option<Moment>,
}

impl ReplayProgress {
    pub(crate) fn of(replay: &v1::Replay, may_send: bool) -> ReplayProgress {
        let is_running = replay.state() == v1::replay::State::Running;
        let sent = replay.scheduled_count + replay.resumed_count;
        ReplayProgress {
            id: replay.id.clone(),
            state: state(replay.state()),
            scope: scope(replay.scope()),
            is_running,
            can_cancel: is_running && may_send,
            end_reason: replay.end_reason.clone(),
            sent,
            matched: replay.matched_count,
            may_match_more: replay.may_match_more,
            scheduled: replay.scheduled_count,
            resumed: replay.resumed_count,
            skipped: replay.skipped_count,
            expired: replay.expired_count,
            create_time: Moment::of(replay.create_time.as_ref()),
            finish_time: Moment::of(replay.finish_time.as_ref()),
        }
    }
}

/// The count at the start: `1 delivery`, `40 deliveries`, `more than 100000 deliveries`, or, if
/// counting stopped at its limit, `at least 40 deliveries`.
pub(crate) fn matched(replay: &v1::Replay, one: &str, many: &str) -> String {
    let things = pluralize(replay.matched_count, one, many);
    match replay.may_match_more {
        false => things,
        true if replay.matched_count.unsigned_abs() >= MAX_REPLAY_COUNT => {
            format!("more than {things}")
        }
        true => format!("at least {things}"),
    }
}

/// The count of a replay that has not started, as a heading.
pub(crate) fn heading(replay: &v1::Replay) -> String {
    match (replay.matched_count, replay.may_match_more) {
        (0, false) => "Nothing to replay".to_owned(),
        (0, true) => "Counting stopped before anything was found".to_owned(),
        _ => {
            let words = matched(replay, "delivery", "deliveries");
            let (first, rest) = words.split_at(1);
            format!("{}{rest} would be sent", first.to_uppercase())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_asks_for_what_its_address_says() {
        let form = ReplayForm {
            scope: "failed".to_owned(),
            event_type: "policy.block".to_owned(),
            from: "2026-04-23T22:00".to_owned(),
            rate: "20".to_owned(),
            again: "yes".to_owned(),
            ..ReplayForm::default()
        };
        assert!(form.is_right());
        let request = form.replay("ep_1");
        assert_eq!(request.scope(), v1::replay::Scope::Failed);
        assert_eq!(request.event_types, ["policy.block"]);
        assert_eq!((request.deliveries_per_second, request.include_delivered), (20, false));
        assert!(request.start_time.is_some() && request.end_time.is_none());
        assert_eq!(
            form.address("ep_1"),
            "/webhooks/ep_1/replay?scope=failed&event_type=policy.block&from=2026-04-23T22%3A00&rate=20&again=yes"
        );
        let all = ReplayForm { scope: "all".to_owned(), ..form };
        assert!(all.replay("ep_1").include_delivered);
    }

    #[test]
    fn a_count_that_stopped_is_not_shown_as_all_there_is() {
        let heading = |matched_count, may_match_more| {
            super::heading(&v1::Replay { matched_count, may_match_more, ..Default::default() })
        };
        assert_eq!(heading(0, false), "Nothing to replay");
        assert_eq!(heading(0, true), "Counting stopped before anything was found");
        assert_eq!(heading(1, false), "1 delivery would be sent");
        assert_eq!(heading(40, true), "At least 40 deliveries would be sent");
        assert_eq!(heading(100_000, false), "100000 deliveries would be sent");
        assert_eq!(heading(100_000, true), "More than 100000 deliveries would be sent");
    }

    #[test]
    fn unreadable_input_is_reported_and_not_guessed() {
        let none = ReplayForm::default();
        assert!(none.is_right());
        assert_eq!(none.replay("ep_1").scope(), v1::replay::Scope::Missed);
        for rate in ["0", "5001", "fast", "-1"] {
            let form = ReplayForm { rate: rate.to_owned(), ..none.clone() };
            assert!(form.rate_complaint().is_some(), "{rate}");
        }
        let form = ReplayForm { from: "soon".to_owned(), ..none };
        assert!(form.time_complaint().is_some() && !form.is_right());
    }
}
