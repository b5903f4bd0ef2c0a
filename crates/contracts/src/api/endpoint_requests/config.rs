//! CreateEndpoint, and UpdateEndpoint with its field mask.

use keeptrusts_webhooks_domain::endpoint::check_url;
use keeptrusts_webhooks_domain::endpoint_config::{
    EndpointConfig, EndpointPatch, check_description, check_display_name, check_event_types,
};
use keeptrusts_webhooks_domain::ids::{EndpointId, OrganizationId};
use keeptrusts_webhooks_domain::payload_format::{PayloadFormat, PayloadPatch, RoutingKey};
use keeptrusts_webhooks_domain::secret::Secret;
use keeptrusts_webhooks_domain::violation::Violation;

use crate::api::Violations;
use crate::api::field_mask::{FieldReader, Mask, UpdatableFields};
use crate::api::fields::{id, optional_secret};
use crate::api::payload_format::{new_payload_format, payload_patch};
use crate::v1;

/// CreateEndpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CreateEndpoint {
    /// The organization that will own it.
    pub organization_id: OrganizationId,
    /// Its id. None: the server makes one.
    pub endpoint_id: Option<EndpointId>,
    /// The configuration. A template in it has not been compiled yet.
    pub config: EndpointConfig<PayloadFormat<RoutingKey>>,
    /// The secret. None: one is generated.
    pub secret: Option<Secret>,
    /// Whether it is only checked.
    pub validate_only: bool,
}

/// UpdateEndpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UpdateEndpoint {
    /// The organization that owns it.
    pub organization_id: OrganizationId,
    /// The endpoint.
    pub endpoint_id: EndpointId,
    /// If set, the request is refused unless this is the current etag.
    pub etag: Option<String>,
    /// New values.
    pub patch: EndpointPatch<PayloadPatch<RoutingKey>>,
    /// A new secret. None: the old one stays.
    pub secret: Option<Secret>,
    /// What to create if the endpoint is missing, with its id, or why that cannot be created. None: a
    /// missing endpoint is not found.
    pub creation: Option<Result<CreateEndpoint, Violations>>,
    /// Whether it is only checked.
    pub validate_only: bool,
}

const UPDATABLE: UpdatableFields = UpdatableFields {
    config: EndpointConfig::FIELDS,
    others: &["payload_template", "secret", "routing_key"],
    only_by_name: &["secret", "routing_key"],
};

/// The fields of the configuration but the payload format, whose fields are checked together.
fn plain_fields<F>(endpoint: &v1::Endpoint, fields: &mut FieldReader<'_>) -> EndpointPatch<F> {
    EndpointPatch {
        display_name: fields.read("display_name", &endpoint.display_name, check_display_name),
        url: fields.read("url", &endpoint.url, |field, url| check_url(field, &url)),
        description: fields.read("description", &endpoint.description, check_description),
        event_types: fields.read("event_types", &endpoint.event_types, |field, names| {
            check_event_types(field, &names)
        }),
        payload_format: None,
    }
}

impl TryFrom<v1::CreateEndpointRequest> for CreateEndpoint {
    type Error = Violations;

    fn try_from(request: v1::CreateEndpointRequest) -> Result<Self, Violations> {
        CreateEndpoint::new(request, "endpoint_id")
    }
}

impl CreateEndpoint {
    /// `id_field` is the path of the id in the call's request.
    fn new(request: v1::CreateEndpointRequest, id_field: &str) -> Result<Self, Violations> {
        let mut violations = Violations::default();
        let organization_id = violations.check(request.organization_id.parse());
        let endpoint_id = violations.check(match request.endpoint_id.as_str() {
            "" => Ok(None),
            made => EndpointId::made_by_caller(id_field, made).map(Some),
        });
        let endpoint = request.endpoint.unwrap_or_default();
        let mut fields = FieldReader::new(&Mask::Everything, "endpoint.", &mut violations);
        let patch: EndpointPatch<_> = plain_fields(&endpoint, &mut fields);
        let secret = violations.check(optional_secret("endpoint.secret", endpoint.secret));
        let payload_format = violations.check_all(new_payload_format(
            endpoint.payload_format,
            endpoint.payload_template,
            endpoint.routing_key,
        ));
        let config = EndpointPatch { payload_format, ..patch }.complete();
        let validate_only = request.validate_only;
        match (organization_id, endpoint_id, config, secret) {
            (Some(organization_id), Some(endpoint_id), Some(config), Some(secret)) => {
                Ok(CreateEndpoint { organization_id, endpoint_id, config, secret, validate_only })
            }
            _ => Err(violations),
        }
    }
}

impl TryFrom<v1::UpdateEndpointRequest> for UpdateEndpoint {
    type Error = Violations;

    fn try_from(request: v1::UpdateEndpointRequest) -> Result<Self, Violations> {
        let mut violations = Violations::default();
        let organization_id = violations.check(request.organization_id.parse());
        let mask = violations.check_all(Mask::new(request.update_mask.as_ref(), &UPDATABLE));
        let Some(endpoint) = request.endpoint else {
            let description = "is required: its id says which one, the others are new values";
            violations.check::<()>(Err(Violation::required("endpoint", description)));
            return Err(violations);
        };
        let endpoint_id = violations.check(id("endpoint.id", &endpoint.id));
        let validate_only = request.validate_only;
        let creation = request.allow_missing.then(|| {
            let create = v1::CreateEndpointRequest {
                organization_id: request.organization_id,
                endpoint_id: endpoint.id.clone(),
                endpoint: Some(endpoint.clone()),
                validate_only,
                ..Default::default()
            };
            CreateEndpoint::new(create, "endpoint.id")
        });
        // An invalid mask has been reported. Without it, the other fields cannot be checked.
        let Some(mask) = mask else { return Err(violations) };

        let mut fields = FieldReader::new(&mask, "endpoint.", &mut violations);
        let patch: EndpointPatch<_> = plain_fields(&endpoint, &mut fields);
        let secret = fields.read("secret", &endpoint.secret, new_secret);
        let payload_format = payload_patch(&endpoint, &mask, &mut violations);
        let patch = EndpointPatch { payload_format, ..patch };

        match (organization_id, endpoint_id) {
            (Some(organization_id), Some(endpoint_id)) if violations.is_empty() => {
                let etag = Some(endpoint.etag).filter(|etag| !etag.is_empty());
                Ok(UpdateEndpoint {
                    organization_id,
                    endpoint_id,
                    etag,
                    patch,
                    secret,
                    creation,
                    validate_only,
                })
            }
            _ => Err(violations),
        }
    }
}

fn new_secret(field: &str, text: String) -> Result<Secret, Violation> {
    if text.is_empty() {
        let description =
            "is required when update_mask names it; to have one generated, use RotateSecret";
        return Err(Violation::required(field, description));
    }
    Secret::new(text).map_err(|wrong| wrong.of_field(field))
}
