//! The checked requests of IngestService.

use keeptrusts_webhooks_domain::Timestamp;
use keeptrusts_webhooks_domain::body::EventData;
use keeptrusts_webhooks_domain::event::IdempotencyKey;
use keeptrusts_webhooks_domain::event_type::EventType;
use keeptrusts_webhooks_domain::ids::{EventId, OrganizationId};
use keeptrusts_webhooks_domain::limits::MAX_EVENTS_PER_BATCH;
use keeptrusts_webhooks_domain::violation::Violation;

use super::fields::{event_type, event_types, id, interval, optional_time};
use super::{Page, View, Violations, struct_to_json};
use crate::v1;

/// PublishEvent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Publish {
    /// The organization that owns the event.
    pub organization_id: OrganizationId,
    /// The type. Never that of tests.
    pub event_type: EventType,
    /// The event's data.
    pub data: EventData,
    /// When the event happened. None: now.
    pub event_time: Option<Timestamp>,
    /// The key by which a repetition is recognised.
    pub idempotency_key: Option<IdempotencyKey>,
}

impl TryFrom<v1::PublishEventRequest> for Publish {
    type Error = Violations;

    fn try_from(request: v1::PublishEventRequest) -> Result<Self, Violations> {
        let organization_id = request.organization_id.parse();
        Publish::of(organization_id, request)
    }
}

impl Publish {
    /// An item of a stream, whose first item has named the organization.
    pub fn of_stream(
        organization_id: &OrganizationId,
        request: Option<v1::PublishEventRequest>,
    ) -> Result<Publish, Violations> {
        let mut violations = Violations::default();
        let given = request.ok_or_else(|| Violation::required("request", "is required: the event"));
        let Some(request) = violations.check(given) else { return Err(violations) };
        let own = organization_of_item(organization_id, &request.organization_id, "stream");
        Publish::of(own, request)
    }

    fn of(
        organization_id: Result<OrganizationId, Violation>,
        request: v1::PublishEventRequest,
    ) -> Result<Publish, Violations> {
        let mut violations = Violations::default();
        let organization_id = violations.check(organization_id);
        let event_type = violations.check(published_type(&request.event_type));
        let data = violations.check(data(request.payload));
        let event_time = violations.check(optional_time("event_time", request.event_time));
        let key = violations.check(IdempotencyKey::optional(request.idempotency_key));
        match (organization_id, event_type, data, event_time, key) {
            (
                Some(organization_id),
                Some(event_type),
                Some(data),
                Some(event_time),
                Some(idempotency_key),
            ) => Ok(Publish { organization_id, event_type, data, event_time, idempotency_key }),
            _ => Err(violations),
        }
    }
}

fn published_type(name: &str) -> Result<EventType, Violation> {
    match event_type(name)? {
        EventType::Test => Err(Violation::not_allowed(
            "event_type",
            "webhook.test cannot be published: use SendTest, which sends one to an endpoint",
        )),
        event_type => Ok(event_type),
    }
}

fn data(payload: Option<v1::publish_event_request::Payload>) -> Result<EventData, Violation> {
    use v1::publish_event_request::Payload;
    match payload {
        Some(Payload::Data(data)) => EventData::new("data", &struct_to_json("data", &data)?),
        Some(Payload::DataJson(json)) => EventData::new("data_json", &json),
        None => {
            let description = "is required: a JSON object, as data or as data_json; {} will do";
            Err(Violation::required("data", description))
        }
    }
}

/// BatchPublishEvents. The batch as a whole is valid; each event may be invalid.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublishBatch {
    /// The organization that owns the events.
    pub organization_id: OrganizationId,
    /// 1 to 1,000 events, in order. An invalid one does not prevent the others from being accepted.
    pub events: Vec<Result<Publish, Violations>>,
}

impl TryFrom<v1::BatchPublishEventsRequest> for PublishBatch {
    type Error = Violations;

    fn try_from(request: v1::BatchPublishEventsRequest) -> Result<Self, Violations> {
        let mut violations = Violations::default();
        let organization_id = violations.check(request.organization_id.parse());
        let events = violations.check(batch(request.requests));
        let (Some(organization_id), Some(events)) = (organization_id, events) else {
            return Err(violations);
        };
        let publish = |event: v1::PublishEventRequest| {
            let own = organization_of_item(&organization_id, &event.organization_id, "batch");
            Publish::of(own, event)
        };
        let events = events.into_iter().map(publish).collect();
        Ok(PublishBatch { organization_id, events })
    }
}

fn batch(events: Vec<v1::PublishEventRequest>) -> Result<Vec<v1::PublishEventRequest>, Violation> {
    let count = events.len();
    if (1..=MAX_EVENTS_PER_BATCH).contains(&count) {
        return Ok(events);
    }
    let description = format!("has {count} events; it must have 1 to {MAX_EVENTS_PER_BATCH}");
    Err(match count {
        0 => Violation::required("requests", description),
        _ => Violation::too_many("requests", description),
    })
}

fn organization_of_item(
    own: &OrganizationId,
    item: &str,
    whole: &str,
) -> Result<OrganizationId, Violation> {
    if item.is_empty() || item == own.as_str() {
        return Ok(own.clone());
    }
    Err(Violation::not_allowed("organization_id", format!("must be empty, or that of the {whole}")))
}

/// GetEvent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GetEvent {
    /// The organization that owns it.
    pub organization_id: OrganizationId,
    /// The event.
    pub event_id: EventId,
    /// How much of it.
    pub view: View,
}

impl TryFrom<v1::GetEventRequest> for GetEvent {
    type Error = Violations;

    fn try_from(request: v1::GetEventRequest) -> Result<Self, Violations> {
        let mut violations = Violations::default();
        let organization_id = violations.check(request.organization_id.parse());
        let event_id = violations.check(id("event_id", &request.event_id));
        let view = violations.check(View::of::<v1::EventView>(request.view, View::Full));
        match (organization_id, event_id, view) {
            (Some(organization_id), Some(event_id), Some(view)) => {
                Ok(GetEvent { organization_id, event_id, view })
            }
            _ => Err(violations),
        }
    }
}

/// ListEvents.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListEvents {
    /// The organization.
    pub organization_id: OrganizationId,
    /// The part of the list.
    pub page: Page<EventId>,
    /// Only of one of these types. Empty: all.
    pub event_types: Vec<EventType>,
    /// Only events that were accepted then or later.
    pub start_time: Option<Timestamp>,
    /// Only events that were accepted before.
    pub end_time: Option<Timestamp>,
    /// How much of each.
    pub view: View,
}

impl TryFrom<v1::ListEventsRequest> for ListEvents {
    type Error = Violations;

    fn try_from(request: v1::ListEventsRequest) -> Result<Self, Violations> {
        let mut violations = Violations::default();
        let organization_id = violations.check(request.organization_id.parse());
        let page = violations.check_all(Page::of(&request, EventId::MAX));
        let event_types = violations.check_all(event_types(&request.event_types));
        let interval = violations.check_all(interval("", request.start_time, request.end_time));
        let view = violations.check(View::of::<v1::EventView>(request.view, View::OF_LISTS));
        match (organization_id, page, event_types, interval, view) {
            (
                Some(organization_id),
                Some(page),
                Some(event_types),
                Some((start_time, end_time)),
                Some(view),
            ) => Ok(ListEvents { organization_id, page, event_types, start_time, end_time, view }),
            _ => Err(violations),
        }
    }
}
