//! Payload formats.

use keeptrusts_webhooks_contracts::v1;
use keeptrusts_webhooks_domain::payload_format::PayloadKind;

/// A format's name on pages.
pub(crate) fn name(kind: PayloadKind) -> &'static str {
    match kind {
        PayloadKind::Keeptrusts => "Keeptrusts",
        PayloadKind::Slack => "Slack",
        PayloadKind::Teams => "Microsoft Teams",
        PayloadKind::PagerDuty => "PagerDuty",
        PayloadKind::CloudEvents => "CloudEvents",
        PayloadKind::Custom => "Custom template",
    }
}

/// What it is for, in a line.
pub(crate) fn explanation(kind: PayloadKind) -> &'static str {
    match kind {
        PayloadKind::Keeptrusts => "event, timestamp and data, for receivers of your own",
        PayloadKind::Slack => "a message for an incoming webhook",
        PayloadKind::Teams => "a card for a Workflows webhook",
        PayloadKind::PagerDuty => "an alert for the Events API v2",
        PayloadKind::CloudEvents => "version 1.0, structured",
        PayloadKind::Custom => "whatever your template makes",
    }
}

pub(crate) fn kind_of(endpoint: &v1::Endpoint) -> PayloadKind {
    Option::from(endpoint.payload_format()).unwrap_or_default()
}
