//! Payload formats: what is tried before it is saved, what is sealed, and what is shown.

use keeptrusts_webhooks_contracts::api::PreviewPayload;
use keeptrusts_webhooks_contracts::{status, v1};
use keeptrusts_webhooks_domain::endpoint::Endpoint;
use keeptrusts_webhooks_domain::event_type::EventType;
use keeptrusts_webhooks_domain::fact::EndpointFact;
use keeptrusts_webhooks_domain::ids::{EndpointId, OrganizationId};
use keeptrusts_webhooks_domain::payload_format::{
    PayloadChange, PayloadFields, PayloadFormat, RoutingKey,
};
use keeptrusts_webhooks_domain::secret::SealedSecret;
use keeptrusts_webhooks_domain::violation::Violation;
use keeptrusts_webhooks_formats::{Event, FormatError, Formatter, check, sample_event};
use keeptrusts_webhooks_store::keyring::SecretOwner;
use tonic::Status;

use crate::{EndpointApi, secrets};

/// Refuses a template that fails for one of the types.
pub(crate) fn check_template<K>(
    format: &PayloadFormat<K>,
    fields: PayloadFields,
    organization: &OrganizationId,
    event_types: &[EventType],
) -> Result<(), Status> {
    check(format, organization, event_types)
        .map_err(|problem| status::invalid_argument(vec![Violation::new(fields.template, problem)]))
}

/// Refuses an update after which the endpoint's template fails for one of its types: because it is
/// another template, or because there are other types. What does not touch them is not held up by
/// a template that was saved when more was allowed.
pub(crate) fn check_update(endpoint: &Endpoint, fact: &EndpointFact) -> Result<(), Status> {
    let EndpointFact::Updated { update, .. } = fact else { return Ok(()) };
    if update.payload_format.is_none() && update.event_types.is_none() {
        return Ok(());
    }
    let format = update.payload_format.as_deref().unwrap_or(&endpoint.payload_format);
    let event_types = update.event_types.as_ref().unwrap_or(&endpoint.event_types);
    check_template(format, PayloadFields::IN_ENDPOINT, &endpoint.organization_id, event_types)
}

/// What an endpoint of the format would be sent.
pub(crate) fn preview(asked: &PreviewPayload) -> Result<v1::PreviewPayloadResponse, Status> {
    let PreviewPayload { organization_id, payload_format, event_type, data } = asked;
    let failed = |error: FormatError| {
        let field = match error {
            FormatError::Data { .. } => "data_json",
            _ => PayloadFields::TOP.template,
        };
        status::invalid_argument(vec![Violation::new(field, error.to_string())])
    };
    let sample = sample_event(organization_id, *event_type);
    let given = data.as_ref().map(|data| serde_json::from_str(data.as_str())).transpose();
    let given = given.map_err(|error| failed(FormatError::Data { reason: error.to_string() }))?;
    let event = Event { data: given.unwrap_or(sample.data), ..sample };
    let formatter = Formatter::compile(payload_format).map_err(failed)?;
    // Whoever looks at a preview has no key, and need not have one.
    let masked = RoutingKey::stand_in();
    let payload = formatter.render(&event, Some(&masked)).map_err(failed)?;
    let body = String::from_utf8(payload.masked()).map_err(|_| status::internal())?;
    let size = i64::try_from(body.len()).unwrap_or(i64::MAX);
    Ok(v1::PreviewPayloadResponse { content_type: payload.content_type.to_owned(), body, size })
}

impl EndpointApi {
    /// Encrypts what a new endpoint's format has to keep secret.
    pub(crate) async fn seal_format(
        &self,
        organization: &OrganizationId,
        id: EndpointId,
        format: PayloadFormat<RoutingKey>,
    ) -> Result<PayloadFormat, Status> {
        let sealed = match format.routing_key() {
            Some(key) => Some(self.seal_routing_key(organization, id, key).await?),
            None => None,
        };
        // A format that has a key has had it sealed.
        format.with_key(sealed).ok_or_else(status::internal)
    }

    /// The same for an update of an endpoint that must be there.
    pub(crate) async fn seal_change(
        &self,
        organization: &OrganizationId,
        id: EndpointId,
        change: PayloadChange<RoutingKey>,
    ) -> Result<PayloadChange, Status> {
        let PayloadChange { kind, template, routing_key } = change;
        let routing_key = match routing_key {
            Some(key) => {
                self.read(organization, id).await?;
                Some(self.seal_routing_key(organization, id, &key).await?)
            }
            None => None,
        };
        Ok(PayloadChange { kind, template, routing_key })
    }

    async fn seal_routing_key(
        &self,
        organization: &OrganizationId,
        id: EndpointId,
        key: &RoutingKey,
    ) -> Result<SealedSecret, Status> {
        let sealed =
            self.keyring.seal(organization, SecretOwner::RoutingKey(id), key.secret()).await;
        sealed.map_err(|error| secrets::failed(organization, error))
    }
}
