//! The checked request of PreviewPayload.

use keeptrusts_webhooks_domain::body::EventData;
use keeptrusts_webhooks_domain::event_type::EventType;
use keeptrusts_webhooks_domain::ids::OrganizationId;
use keeptrusts_webhooks_domain::payload_format::PayloadFormat;

use super::super::Violations;
use super::super::fields::event_type;
use super::super::payload_format::previewed_payload_format;
use crate::v1;

/// PreviewPayload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PreviewPayload {
    /// The organization that would own the event.
    pub organization_id: OrganizationId,
    /// The format. A template in it has not been compiled yet.
    pub payload_format: PayloadFormat<()>,
    /// The event's type.
    pub event_type: EventType,
    /// The event's data. None: the type's sample.
    pub data: Option<EventData>,
}

impl TryFrom<v1::PreviewPayloadRequest> for PreviewPayload {
    type Error = Violations;

    fn try_from(request: v1::PreviewPayloadRequest) -> Result<Self, Violations> {
        let mut violations = Violations::default();
        let organization_id = violations.check(request.organization_id.parse());
        let payload_format = violations
            .check_all(previewed_payload_format(request.payload_format, request.payload_template));
        let event_type = violations.check(event_type(&request.event_type));
        let given = Some(request.data_json).filter(|json| !json.is_empty());
        let data = given.map(|json| EventData::new("data_json", &json));
        let data = violations.check(data.transpose());
        match (organization_id, payload_format, event_type, data) {
            (Some(organization_id), Some(payload_format), Some(event_type), Some(data)) => {
                Ok(PreviewPayload { organization_id, payload_format, event_type, data })
            }
            _ => Err(violations),
        }
    }
}
