//! The content of a notification, before formatting: what happened, to which endpoint, since when,
//! how often, and what to do.

use std::collections::HashMap;

use jiff::Unit;
use keeptrusts_webhooks_domain::Timestamp;
use keeptrusts_webhooks_domain::endpoint::EndpointState;
use keeptrusts_webhooks_domain::health::{AttemptTally, HealthSummary};
use keeptrusts_webhooks_domain::ids::EndpointId;
use keeptrusts_webhooks_domain::notification::{Notification, NotificationType};
use keeptrusts_webhooks_domain::plural::pluralize;

/// A notification, with the names and URLs that its message needs.
#[derive(Debug, Clone, Copy)]
pub struct NotificationContext<'a> {
    pub notification: &'a Notification,
    pub channel_name: &'a str,
    /// As far as they are known.
    pub endpoint_names: &'a HashMap<EndpointId, String>,
    /// The current state of its endpoint, because a notification may have waited. `None`: it is about
    /// no endpoint, or the state is not known.
    pub endpoint_state: Option<EndpointState>,
    /// Without a slash at its end. `None`: it is not configured.
    pub console_url: Option<&'a str>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Severity {
    Critical,
    Error,
    Info,
}

/// In plain text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    pub title: String,
    pub severity: Severity,
    /// Labels and values.
    pub facts: Vec<(&'static str, String)>,
    /// One for each endpoint of a summary.
    pub lines: Vec<String>,
    pub advice: String,
    /// The console's page about it.
    pub link: Option<String>,
}

impl Message {
    pub fn of(context: &NotificationContext<'_>) -> Message {
        let notification = context.notification;
        let new = &notification.new;
        let endpoint = new.endpoint_id.map(|id| name_of(context, id)).unwrap_or_default();
        let (title, severity, advice) = match new.notification_type {
            NotificationType::DeliveryExhausted => {
                let title = format!("{} to {endpoint} failed for good", deliveries(new.count));
                match context.endpoint_state {
                    Some(EndpointState::Active) => (
                        title,
                        Severity::Info,
                        "The endpoint works again. Retry or replay what it was not sent.",
                    ),
                    _ => (
                        title,
                        Severity::Error,
                        "Look at what the receiver answered, repair it, then retry or replay what it was not sent.",
                    ),
                }
            }
            NotificationType::EndpointDegraded => (
                format!("Endpoint {endpoint} is degraded"),
                Severity::Error,
                "Events are still sent to it. Look at what the receiver answered and repair it; the next success makes the endpoint active again.",
            ),
            NotificationType::EndpointRecovered => (
                format!("Endpoint {endpoint} is active again"),
                Severity::Info,
                "Nothing has to be done. Deliveries that failed for good can be retried or replayed.",
            ),
            NotificationType::EndpointDisabled => (
                format!("Endpoint {endpoint} was disabled automatically"),
                Severity::Critical,
                "Nothing is sent to it any more. Repair the receiver, enable the endpoint, then replay what it has missed.",
            ),
            NotificationType::WeeklySummary => (
                format!(
                    "Webhooks of {} in the week of {}",
                    notification.organization_id,
                    day(new.since)
                ),
                Severity::Info,
                "Look at the endpoints with failures.",
            ),
            NotificationType::Test => (
                format!("Test of the notification channel {}", context.channel_name),
                Severity::Info,
                "Nothing has to be done: somebody wanted to see whether this arrives.",
            ),
            NotificationType::IncidentResolved => (
                format!("Endpoint {endpoint}: the incident is over"),
                Severity::Info,
                "Nothing has to be done.",
            ),
        };
        let advice = match &new.summary {
            Some(summary) if summary.total.retrying + summary.total.failed == 0 => {
                "Nothing has to be done."
            }
            _ => advice,
        };
        Message {
            title,
            severity,
            facts: facts(context),
            lines: new.summary.as_ref().map(|summary| lines(context, summary)).unwrap_or_default(),
            advice: advice.to_owned(),
            link: link(context),
        }
    }

    pub fn plain_text(&self) -> String {
        let mut text = format!("{}\n\n", self.title);
        for (label, value) in &self.facts {
            text.push_str(&format!("{label}: {value}\n"));
        }
        if !self.lines.is_empty() {
            text.push_str(&format!("\n{}\n", self.lines.join("\n")));
        }
        text.push_str(&format!("\n{}\n", self.advice));
        if let Some(link) = &self.link {
            text.push_str(&format!("\n{link}\n"));
        }
        text
    }
}

fn facts(context: &NotificationContext<'_>) -> Vec<(&'static str, String)> {
    let notification = context.notification;
    let new = &notification.new;
    let mut facts = vec![("Organization", notification.organization_id.to_string())];
    if let Some(id) = new.endpoint_id {
        facts.push(("Endpoint", format!("{} ({id})", name_of(context, id))));
    }
    match (&new.summary, new.notification_type) {
        (Some(summary), _) => facts.extend(figures(summary)),
        (None, NotificationType::DeliveryExhausted) => {
            facts.push(("Deliveries", new.count.to_string()));
            facts.push(("Since", moment(new.since)));
            match context.endpoint_state {
                Some(EndpointState::Active) => facts.push(("Now", "active again".to_owned())),
                Some(EndpointState::Disabled) => facts.push(("Now", "disabled".to_owned())),
                Some(EndpointState::Degraded) | None => {}
            }
        }
        (None, _) => facts.push(("Since", moment(new.since))),
    }
    if !new.reason.is_empty() {
        facts.push(("Reason", new.reason.clone()));
    }
    if let Some(id) = new.delivery_id {
        facts.push(("Delivery", id.to_string()));
    }
    facts
}

fn figures(summary: &HealthSummary) -> [(&'static str, String); 4] {
    let AttemptTally { delivered, retrying, failed } = summary.total;
    [
        ("Delivered", delivered.to_string()),
        ("Attempts that failed", (retrying + failed).to_string()),
        ("Deliveries that failed for good", failed.to_string()),
        ("Endpoints", summary.endpoint_count.to_string()),
    ]
}

fn lines(context: &NotificationContext<'_>, summary: &HealthSummary) -> Vec<String> {
    let line = |endpoint: &keeptrusts_webhooks_domain::health::EndpointTally| {
        let AttemptTally { delivered, retrying, failed } = endpoint.tally;
        let name = name_of(context, endpoint.endpoint_id);
        format!(
            "{name}: {delivered} delivered, {} failed, {failed} failed for good",
            pluralize(retrying + failed, "attempt", "attempts")
        )
    };
    summary.worst.iter().map(line).collect()
}

fn link(context: &NotificationContext<'_>) -> Option<String> {
    let base = context.console_url?;
    let new = &context.notification.new;
    Some(match new.endpoint_id {
        Some(id) => format!("{base}/webhooks/{id}"),
        None if new.notification_type == NotificationType::Test => {
            format!("{base}/channels/{}", new.channel_id)
        }
        None => format!("{base}/webhooks"),
    })
}

fn name_of(context: &NotificationContext<'_>, id: EndpointId) -> String {
    context.endpoint_names.get(&id).cloned().unwrap_or_else(|| id.to_string())
}

fn deliveries(count: u32) -> String {
    pluralize(count, "delivery", "deliveries")
}

/// To the second, in UTC.
pub(crate) fn moment(time: Timestamp) -> String {
    let whole = time.round(Unit::Second).unwrap_or(time);
    whole.strftime("%Y-%m-%d %H:%M:%S UTC").to_string()
}

fn day(time: Timestamp) -> String {
    time.strftime("%Y-%m-%d").to_string()
}

#[cfg(test)]
#[path = "message_tests.rs"]
pub(crate) mod tests;
