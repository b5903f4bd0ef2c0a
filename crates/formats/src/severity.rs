//! How serious an event is, for receivers that ask.

use keeptrusts_webhooks_domain::event_type::EventType;
use keeptrusts_webhooks_vendors::pager_duty::Severity;

use crate::fields::Fields;
use crate::payload_event::PayloadEvent;

/// What the publisher says in `data.severity`, if it is a word that we know; otherwise what events
/// of the type are.
pub(crate) fn of(event: &PayloadEvent<'_>) -> Severity {
    let fields = Fields::of(event.data, usize::MAX);
    let mut scalars = fields.scalars.iter();
    let told = scalars.find(|(name, _)| name == "severity");
    let named = told.and_then(|(_, severity)| named(&severity.to_lowercase()));
    named.unwrap_or(of_type(event.event_type))
}

/// The words of syslog (RFC 5424, section 6.2.1), of scanners, and PagerDuty's own.
fn named(word: &str) -> Option<Severity> {
    Some(match word {
        "critical" | "crit" | "emergency" | "alert" | "fatal" => Severity::Critical,
        "error" | "err" | "high" | "major" => Severity::Error,
        "warning" | "warn" | "medium" | "moderate" => Severity::Warning,
        "info" | "informational" | "information" | "notice" | "low" | "minor" | "debug" => {
            Severity::Info
        }
        _ => return None,
    })
}

fn of_type(event_type: EventType) -> Severity {
    match event_type {
        EventType::PolicyViolation
        | EventType::EscalationExpired
        | EventType::ConfigSyncFailed
        | EventType::ExportFailed
        | EventType::GatewayDisconnected => Severity::Error,
        EventType::PolicyBlock | EventType::EscalationCreated | EventType::KeyRevoked => {
            Severity::Warning
        }
        EventType::PolicyRedaction
        | EventType::EscalationResolved
        | EventType::ConfigUpdated
        | EventType::ConfigDeployed
        | EventType::ExportCompleted
        | EventType::GatewayConnected
        | EventType::KeyRotated
        | EventType::UserInvited
        | EventType::Test => Severity::Info,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use keeptrusts_webhooks_domain::ids::EventId;

    fn severity(event_type: EventType, data: &str) -> &'static str {
        let organization_id = &"acme".parse().expect("valid");
        let data = serde_json::from_str(data).expect("JSON");
        let time = "2026-04-23T10:30:00Z".parse().expect("a timestamp");
        let event = PayloadEvent { id: EventId::MIN, organization_id, event_type, time, data };
        of(&event).name()
    }

    #[test]
    fn the_publishers_word_counts_if_it_is_known_and_the_type_otherwise() {
        let violation = EventType::PolicyViolation;
        assert_eq!(severity(violation, r#"{"severity":"Critical"}"#), "critical");
        assert_eq!(severity(violation, r#"{"severity":"medium","id":1}"#), "warning");
        assert_eq!(severity(violation, r#"{"severity":"odd"}"#), "error");
        assert_eq!(severity(violation, r#"{"severity":7}"#), "error");
        assert_eq!(severity(violation, "{}"), "error");
        assert_eq!(severity(EventType::UserInvited, "{}"), "info");
        assert_eq!(severity(EventType::UserInvited, r#"{"severity":"high"}"#), "error");
    }
}
