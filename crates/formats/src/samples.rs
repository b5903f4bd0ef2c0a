//! A sample event of each type, for tests, for previews, and for checking templates before they are saved.

use keeptrusts_webhooks_domain::Timestamp;
use keeptrusts_webhooks_domain::event_type::EventType;
use keeptrusts_webhooks_domain::ids::{EventId, OrganizationId};
use serde_json::value::RawValue;

use crate::payload_event::PayloadEvent;

/// The `data` of a typical event: a JSON object. Published events may have more fields or fewer.
pub const fn sample_data(event_type: EventType) -> &'static str {
    match event_type {
        EventType::PolicyViolation => {
            r#"{"policy":"pii-outbound","severity":"high","action":"flagged","rule":"us-ssn","request_id":"req_7f3a90c2","gateway":"gw-eu-1","user":"dana@acme.example","model":"gpt-4o","matches":[{"type":"us_ssn","count":2}],"context":{"team":"support","channel":"chat"}}"#
        }
        EventType::PolicyBlock => {
            r#"{"policy":"prompt-injection","severity":"critical","action":"blocked","reason":"the prompt asks for the system prompt","request_id":"req_11c04b7e","gateway":"gw-us-2","user":"lee@acme.example","model":"claude-sonnet","matches":[{"type":"injection","score":0.97}]}"#
        }
        EventType::PolicyRedaction => {
            r#"{"policy":"pii-outbound","severity":"low","action":"redacted","request_id":"req_90ab1f55","gateway":"gw-eu-1","user":"dana@acme.example","redactions":[{"type":"email","count":3},{"type":"phone","count":1}]}"#
        }
        EventType::EscalationCreated => {
            r#"{"escalation_id":"esc_5120","policy":"contract-review","severity":"medium","reason":"the answer quotes a contract","request_id":"req_3b7d0a18","assignee":"legal-oncall","due_time":"2026-04-23T14:30:00Z","context":{"team":"sales","document":"MSA-2026-114"}}"#
        }
        EventType::EscalationResolved => {
            r#"{"escalation_id":"esc_5120","policy":"contract-review","decision":"approved","decided_by":"kim@acme.example","comment":"a public clause","open_seconds":1380}"#
        }
        EventType::EscalationExpired => {
            r#"{"escalation_id":"esc_5098","policy":"contract-review","severity":"high","assignee":"legal-oncall","due_time":"2026-04-23T10:30:00Z","fallback":"blocked"}"#
        }
        EventType::ConfigUpdated => {
            r#"{"config_id":"cfg_policies","version":42,"updated_by":"robin@acme.example","summary":"threshold of pii-outbound lowered","changes":[{"path":"policies.pii-outbound.threshold","before":0.9,"after":0.8}]}"#
        }
        EventType::ConfigDeployed => {
            r#"{"config_id":"cfg_policies","version":42,"gateways":["gw-eu-1","gw-us-2"],"duration_ms":1840,"deployed_by":"robin@acme.example"}"#
        }
        EventType::ConfigSyncFailed => {
            r#"{"config_id":"cfg_policies","version":42,"gateway":"gw-ap-1","severity":"high","error":"the gateway did not answer in 30 s","last_good_version":41,"attempts":3}"#
        }
        EventType::ExportCompleted => {
            r#"{"export_id":"exp_2201","kind":"audit-log","format":"csv","rows":18234,"bytes":5242880,"range":{"start":"2026-04-01T00:00:00Z","end":"2026-04-23T00:00:00Z"},"url":"https://console.keeptrusts.com/exports/exp_2201"}"#
        }
        EventType::ExportFailed => {
            r#"{"export_id":"exp_2202","kind":"audit-log","format":"csv","error":"the range has more than 10,000,000 rows","requested_by":"kim@acme.example"}"#
        }
        EventType::GatewayConnected => {
            r#"{"gateway":"gw-eu-1","region":"eu-central","version":"3.8.1","address":"10.20.0.14","config_version":42}"#
        }
        EventType::GatewayDisconnected => {
            r#"{"gateway":"gw-eu-1","region":"eu-central","severity":"high","reason":"missed three heartbeats","last_seen_time":"2026-04-23T10:28:31Z","connected_seconds":86211}"#
        }
        EventType::KeyRotated => {
            r#"{"key_id":"gk_8841","name":"support-bot","kind":"gateway","rotated_by":"robin@acme.example","previous_expire_time":"2026-04-24T10:30:00Z"}"#
        }
        EventType::KeyRevoked => {
            r#"{"key_id":"gk_8790","name":"old-batch-job","kind":"gateway","revoked_by":"robin@acme.example","reason":"no longer in use"}"#
        }
        EventType::UserInvited => {
            r#"{"user":"sam@acme.example","role":"viewer","invited_by":"kim@acme.example","expire_time":"2026-04-30T10:30:00Z"}"#
        }
        EventType::Test => r#"{"message":"This is a test delivery from Keeptrusts."}"#,
    }
}

/// It has the time of the documentation's examples.
pub fn sample_event(organization: &OrganizationId, event_type: EventType) -> PayloadEvent<'_> {
    PayloadEvent {
        id: EventId::MIN,
        organization_id: organization,
        event_type,
        time: SAMPLE_TIME,
        data: raw(sample_data(event_type)),
    }
}

/// 2026-04-23T10:30:00Z.
const SAMPLE_TIME: Timestamp = Timestamp::constant(1_776_940_200, 0);

pub(crate) fn no_data() -> &'static RawValue {
    raw("{}")
}

fn raw(json: &'static str) -> &'static RawValue {
    serde_json::from_str(json).expect("the samples are JSON")
}

#[cfg(test)]
mod tests {
    use keeptrusts_webhooks_domain::body::EventData;

    use super::*;

    #[test]
    fn every_type_has_a_sample_that_could_be_published() {
        for event_type in EventType::ALL.iter().chain([&EventType::Test]) {
            let sample = sample_data(*event_type);
            let data = EventData::new("data", sample).expect("an object");
            // Tests send it as it is.
            assert_eq!(data.as_str(), sample);
            assert!(sample.len() > 50, "{event_type} has a sample that says something");
        }
        assert_eq!(SAMPLE_TIME.to_string(), "2026-04-23T10:30:00Z");
    }
}
