//! UpdateEndpoint and its field mask. AIP-134, AIP-161.

use keeptrusts_webhooks_domain::endpoint::{
    check_description, check_event_types, check_name, check_url,
};
use keeptrusts_webhooks_domain::event_type::EventType;
use keeptrusts_webhooks_domain::ids::{EndpointId, OrganizationId};
use keeptrusts_webhooks_domain::payload_format::{PayloadChange, PayloadKind, RoutingKey};
use keeptrusts_webhooks_domain::secret::Secret;
use keeptrusts_webhooks_domain::violation::{Violation, WrongEntries};

use crate::api::Violations;
use crate::api::fields::id;
use crate::api::payload_format::{kind, optional_routing_key};
use crate::v1;

/// UpdateEndpoint. None: stays as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UpdateEndpoint {
    /// Whose it is.
    pub organization_id: OrganizationId,
    /// Which.
    pub endpoint_id: EndpointId,
    /// Only while this is its etag.
    pub etag: Option<String>,
    /// A label.
    pub name: Option<String>,
    /// Where deliveries go, in its normal form.
    pub url: Option<String>,
    /// Notes; may be empty.
    pub description: Option<String>,
    /// What it subscribes to; sorted, not empty.
    pub event_types: Option<Vec<EventType>>,
    /// Its secret.
    pub secret: Option<Secret>,
    /// In which form it wants its events.
    pub payload: PayloadChange<RoutingKey>,
}

impl TryFrom<v1::UpdateEndpointRequest> for UpdateEndpoint {
    type Error = Violations;

    fn try_from(request: v1::UpdateEndpointRequest) -> Result<Self, Violations> {
        let mut violations = Violations::default();
        let organization_id = violations.check(request.organization_id.parse());
        let mask = violations.check_all(Mask::of(&request));
        let Some(endpoint) = request.endpoint else {
            let description = "is required: its id says which one, the others are new values";
            violations.check::<()>(Err(Violation::new("endpoint", description)));
            return Err(violations);
        };
        let endpoint_id = violations.check(id("endpoint.id", &endpoint.id));
        // Without a mask, which has been reported, there is no saying what else was meant.
        let Some(mask) = mask else { return Err(violations) };

        let name = mask.name.then(|| check_name("endpoint.name", endpoint.name));
        let name = violations.check(name.transpose());
        let url = mask.url.then(|| check_url("endpoint.url", &endpoint.url));
        let url = violations.check(url.transpose());
        let description = mask
            .description
            .then(|| check_description("endpoint.description", endpoint.description));
        let description = violations.check(description.transpose());
        let event_types = mask
            .event_types
            .then(|| check_event_types("endpoint.event_types", &endpoint.event_types));
        let event_types = violations.check_all(event_types.transpose());
        let secret = violations.check(mask.secret.then(|| new_secret(request.secret)).transpose());
        let format = endpoint.payload_format;
        let payload_kind = violations.check(mask.payload_format.kind(format));
        let routing_key = mask.routing_key.then(|| new_routing_key(request.routing_key));
        let routing_key = violations.check(routing_key.transpose());
        let payload_template = mask.payload_template.then_some(endpoint.payload_template);
        // `*` with a format that has no template is not a template that is emptied.
        let payload_template = payload_template
            .filter(|template| !(template.is_empty() && mask.payload_format == Named::Implied));
        let payload = match (payload_kind, routing_key) {
            (Some(kind), Some(routing_key)) => {
                Some(PayloadChange { kind, template: payload_template, routing_key })
            }
            _ => None,
        };

        let both = secret.zip(payload);
        match (organization_id, endpoint_id, name, url, description, event_types, both) {
            (
                Some(organization_id),
                Some(endpoint_id),
                Some(name),
                Some(url),
                Some(description),
                Some(event_types),
                Some((secret, payload)),
            ) => Ok(UpdateEndpoint {
                organization_id,
                endpoint_id,
                etag: (!endpoint.etag.is_empty()).then_some(endpoint.etag),
                name,
                url,
                description,
                event_types,
                secret,
                payload,
            }),
            _ => Err(violations),
        }
    }
}

fn new_secret(text: String) -> Result<Secret, Violation> {
    if text.is_empty() {
        let description =
            "is required when update_mask names it; to have one generated, use RotateSecret";
        return Err(Violation::new("secret", description));
    }
    Secret::new(text)
}

fn new_routing_key(text: String) -> Result<RoutingKey, Violation> {
    let description = "is required when update_mask names it";
    let missing = || Violation::new("routing_key", description);
    optional_routing_key(text)?.ok_or_else(missing)
}

/// Whether the payload format is to be replaced.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Named {
    #[default]
    No,
    /// It is one of all, or there is no mask: by the one that is given, if one is.
    Implied,
    /// By the one that is given.
    Yes,
}

impl Named {
    fn kind(self, format: i32) -> Result<Option<PayloadKind>, Violation> {
        let field = "endpoint.payload_format";
        match (self, kind(field, format)?) {
            (Named::No, _) => Ok(None),
            (Named::Yes, None) => {
                Err(Violation::new(field, "is required when update_mask names it"))
            }
            (Named::Yes | Named::Implied, kind) => Ok(kind),
        }
    }
}

/// Which fields are to be replaced.
#[derive(Default)]
struct Mask {
    name: bool,
    url: bool,
    description: bool,
    event_types: bool,
    secret: bool,
    payload_format: Named,
    payload_template: bool,
    routing_key: bool,
}

impl Mask {
    fn of(request: &v1::UpdateEndpointRequest) -> Result<Mask, Vec<Violation>> {
        match &request.update_mask {
            Some(mask) if !mask.paths.is_empty() => Mask::named(&mask.paths),
            _ => Ok(Mask::implied(request)),
        }
    }

    fn named(paths: &[String]) -> Result<Mask, Vec<Violation>> {
        let mut mask = Mask::default();
        let mut wrong = WrongEntries::of("update_mask.paths");
        for (index, path) in paths.iter().enumerate() {
            match path.as_str() {
                "name" => mask.name = true,
                "url" => mask.url = true,
                "description" => mask.description = true,
                "event_types" => mask.event_types = true,
                "secret" => mask.secret = true,
                "payload_format" => mask.payload_format = Named::Yes,
                "payload_template" => mask.payload_template = true,
                "routing_key" => mask.routing_key = true,
                "*" => {
                    let Mask { secret, routing_key, payload_format, .. } = mask;
                    mask = Mask {
                        name: true,
                        url: true,
                        description: true,
                        event_types: true,
                        secret,
                        payload_format: match payload_format {
                            Named::Yes => Named::Yes,
                            Named::No | Named::Implied => Named::Implied,
                        },
                        payload_template: true,
                        routing_key,
                    };
                }
                _ => wrong.push(index, || {
                    "cannot be updated; name, url, description, event_types, payload_format, payload_template, secret, routing_key and * can"
                }),
            }
        }
        wrong.unless(mask)
    }

    /// No mask: whatever is not empty.
    fn implied(request: &v1::UpdateEndpointRequest) -> Mask {
        let given = |text: &str| !text.is_empty();
        let endpoint = request.endpoint.as_ref();
        Mask {
            name: endpoint.is_some_and(|endpoint| given(&endpoint.name)),
            url: endpoint.is_some_and(|endpoint| given(&endpoint.url)),
            description: endpoint.is_some_and(|endpoint| given(&endpoint.description)),
            event_types: endpoint.is_some_and(|endpoint| !endpoint.event_types.is_empty()),
            secret: given(&request.secret),
            payload_format: Named::Implied,
            payload_template: endpoint.is_some_and(|endpoint| given(&endpoint.payload_template)),
            routing_key: given(&request.routing_key),
        }
    }
}
