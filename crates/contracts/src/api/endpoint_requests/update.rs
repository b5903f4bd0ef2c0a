//! UpdateEndpoint and its field mask. AIP-134, AIP-161.

use keeptrusts_webhooks_domain::endpoint::{
    check_description, check_event_types, check_name, check_url,
};
use keeptrusts_webhooks_domain::event_type::EventType;
use keeptrusts_webhooks_domain::ids::{EndpointId, OrganizationId};
use keeptrusts_webhooks_domain::secret::Secret;
use keeptrusts_webhooks_domain::violation::Violation;

use crate::api::Violations;
use crate::api::fields::id;
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

        match (organization_id, endpoint_id, name, url, description, event_types, secret) {
            (
                Some(organization_id),
                Some(endpoint_id),
                Some(name),
                Some(url),
                Some(description),
                Some(event_types),
                Some(secret),
            ) => Ok(UpdateEndpoint {
                organization_id,
                endpoint_id,
                etag: (!endpoint.etag.is_empty()).then_some(endpoint.etag),
                name,
                url,
                description,
                event_types,
                secret,
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

/// Which fields are to be replaced.
#[derive(Default)]
struct Mask {
    name: bool,
    url: bool,
    description: bool,
    event_types: bool,
    secret: bool,
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
        let mut violations = Vec::new();
        for (index, path) in paths.iter().enumerate() {
            match path.as_str() {
                "name" => mask.name = true,
                "url" => mask.url = true,
                "description" => mask.description = true,
                "event_types" => mask.event_types = true,
                "secret" => mask.secret = true,
                "*" => {
                    let secret = mask.secret;
                    mask = Mask {
                        name: true,
                        url: true,
                        description: true,
                        event_types: true,
                        secret,
                    };
                }
                _ => violations.push(Violation::new(
                    format!("update_mask.paths[{index}]"),
                    "cannot be updated; name, url, description, event_types, secret and * can",
                )),
            }
        }
        if violations.is_empty() { Ok(mask) } else { Err(violations) }
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
        }
    }
}
