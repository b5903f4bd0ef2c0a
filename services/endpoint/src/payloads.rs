//! Payload formats of endpoints: checks templates, seals routing keys, renders previews.

use keeptrusts_webhooks_contracts::api::PreviewPayload;
use keeptrusts_webhooks_contracts::status::{self, Reason};
use keeptrusts_webhooks_contracts::v1;
use keeptrusts_webhooks_domain::endpoint::Endpoint;
use keeptrusts_webhooks_domain::endpoint_config::EndpointPatch;
use keeptrusts_webhooks_domain::event_type::EventType;
use keeptrusts_webhooks_domain::fact::EndpointFact;
use keeptrusts_webhooks_domain::ids::{EndpointId, OrganizationId};
use keeptrusts_webhooks_domain::payload_format::{
    PayloadFields, PayloadFormat, PayloadPatch, RoutingKey,
};
use keeptrusts_webhooks_domain::secret::SealedSecret;
use keeptrusts_webhooks_domain::violation::Violation;
use keeptrusts_webhooks_formats::{
    FormatError, Formatter, Interrupt, PayloadEvent, check, sample_event,
};
use keeptrusts_webhooks_process::refused_requests;
use keeptrusts_webhooks_process::sealing::Sealing;
use keeptrusts_webhooks_process::shares::LimitReached;
use keeptrusts_webhooks_rendering::{Renderer, RenderingError};
use keeptrusts_webhooks_store::vault::keyring::SecretOwner;
use tonic::Status;

use crate::api::EndpointApi;
use crate::rendering_limits::{METRIC_NAME, RETRY_DELAY};

/// Refuses a template that fails for one of the event types.
pub(crate) async fn check_template<K>(
    renderer: &Renderer,
    format: &PayloadFormat<K>,
    fields: PayloadFields,
    organization: &OrganizationId,
    event_types: &[EventType],
) -> Result<(), Status> {
    let PayloadFormat::Custom { template } = format else { return Ok(()) };
    let format = PayloadFormat::<()>::Custom { template: template.clone() };
    let (owner, event_types) = (organization.clone(), event_types.to_vec());
    let check = move |interrupt: &Interrupt| check(&format, &owner, &event_types, interrupt);
    let checked = renderer.run(organization, check).await;
    let checked = checked.map_err(|error| not_rendered(error, fields.template, organization))?;
    checked.map_err(|problem| {
        status::invalid_argument(vec![Violation::invalid_format(fields.template, problem)])
    })
}

/// Refuses an update after which the endpoint's template would fail for one of its event types. Only
/// updates of the template or of the types are checked: others must succeed also with a template
/// that was saved when more was permitted.
pub(crate) async fn check_update(
    renderer: &Renderer,
    endpoint: &Endpoint,
    fact: &EndpointFact,
) -> Result<(), Status> {
    let EndpointFact::Updated { patch, .. } = fact else { return Ok(()) };
    if patch.payload_format.is_none() && patch.event_types.is_none() {
        return Ok(());
    }
    let format = patch.payload_format.as_ref().unwrap_or(&endpoint.config.payload_format);
    let event_types = patch.event_types.as_ref().unwrap_or(&endpoint.config.event_types);
    let organization = &endpoint.organization_id;
    check_template(renderer, format, PayloadFields::IN_ENDPOINT, organization, event_types).await
}

/// Renders what an endpoint with this format would be sent. Only templates have to wait.
pub(crate) async fn preview(
    renderer: &Renderer,
    request: PreviewPayload,
) -> Result<v1::PreviewPayloadResponse, Status> {
    let PayloadFormat::Custom { .. } = request.payload_format else {
        return rendered(&request, &Interrupt::default());
    };
    let organization = request.organization_id.clone();
    let made = renderer.run(&organization, move |interrupt| rendered(&request, interrupt)).await;
    made.map_err(|error| not_rendered(error, PayloadFields::TOP.template, &organization))?
}

fn rendered(
    request: &PreviewPayload,
    interrupt: &Interrupt,
) -> Result<v1::PreviewPayloadResponse, Status> {
    let PreviewPayload { organization_id, payload_format, event_type, data } = request;
    let failed = |error: FormatError| {
        let field = match error {
            FormatError::Data { .. } => "data_json",
            _ => PayloadFields::TOP.template,
        };
        status::invalid_argument(vec![Violation::invalid_format(field, error.to_string())])
    };
    let sample = sample_event(organization_id, *event_type);
    let given = data.as_ref().map(|data| serde_json::from_str(data.as_str())).transpose();
    let given = given.map_err(|error| failed(FormatError::Data { reason: error.to_string() }))?;
    let event = PayloadEvent { data: given.unwrap_or(sample.data), ..sample };
    let formatter = Formatter::compile(payload_format).map_err(failed)?;
    // A preview contains no routing key, and needs none.
    let masked = RoutingKey::placeholder();
    let payload = formatter.render(&event, Some(&masked), interrupt).map_err(failed)?;
    let body = String::from_utf8(payload.masked()).map_err(|_| status::internal())?;
    let size_bytes = i64::try_from(body.len()).unwrap_or(i64::MAX);
    let content_type = payload.content_type.to_owned();
    Ok(v1::PreviewPayloadResponse { content_type, body, size_bytes })
}

fn not_rendered(error: RenderingError, field: &str, organization: &OrganizationId) -> Status {
    match error {
        RenderingError::TooSlow => {
            status::invalid_argument(vec![Violation::invalid_format(field, error.to_string())])
        }
        RenderingError::Busy => {
            let (limit, remedy) = (LimitReached::Share, "whose limit is fixed");
            refused_requests::record(METRIC_NAME, organization, limit, remedy);
            let message = error.to_string();
            status::resource_exhausted_for(RETRY_DELAY, Reason::Overloaded, message)
        }
        RenderingError::Failed => status::internal(),
    }
}

impl EndpointApi {
    /// Seals the routing key of a patch of an endpoint, if it has one.
    pub(crate) async fn seal_patch(
        &self,
        sealing: Sealing,
        endpoint: &Endpoint,
        patch: EndpointPatch<PayloadPatch<RoutingKey>>,
    ) -> Result<EndpointPatch<PayloadPatch>, Status> {
        let Some(payload) = patch.payload_format.clone() else {
            return Ok(patch.with_payload_format(None));
        };
        let PayloadPatch { kind, template, routing_key } = payload;
        let current = endpoint.config.payload_format.routing_key();
        let (organization, id) = (&endpoint.organization_id, endpoint.id);
        let key = routing_key.as_ref();
        let routing_key = self.seal_routing_key(sealing, organization, id, key, current).await?;
        Ok(patch.with_payload_format(Some(PayloadPatch { kind, template, routing_key })))
    }

    /// Encrypts a routing key of PagerDuty that replaces `current`.
    pub(crate) async fn seal_routing_key(
        &self,
        sealing: Sealing,
        organization: &OrganizationId,
        id: EndpointId,
        key: Option<&RoutingKey>,
        current: Option<&SealedSecret>,
    ) -> Result<Option<SealedSecret>, Status> {
        let Some(key) = key else { return Ok(None) };
        let owner = SecretOwner::RoutingKey(id);
        sealing.seal(&self.keyring, organization, owner, key.secret(), current).await.map(Some)
    }
}
