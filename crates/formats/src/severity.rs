//! The severity of an event, for formats that have one.

use keeptrusts_webhooks_domain::event_type::EventType;
use keeptrusts_webhooks_vendors::pager_duty::Severity;

use crate::fields::Fields;
use crate::payload_event::PayloadEvent;

/// The publisher's `data.severity`, if it is a known word; otherwise the severity of the event's type.
pub(crate) fn of(event: &PayloadEvent<'_>) -> Severity {
    let fields = Fields::of(event.data, usize::MAX);
    let mut scalars = fields.scalars.iter();
    let stated = scalars.find(|(name, _)| name == "severity");
    let named = stated.and_then(|(_, severity)| named(&severity.to_lowercase()));
    named.unwrap_or(of_type(event.event_type))
}

/// The words of syslog (RFC 5424, section 6.2.1), of scanners, and of PagerDuty.
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
    fn a_known_severity_in_the_data_takes_precedence_over_the_types() {
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
