//! The checked requests of AccessService.

use std::time::Duration;

use keeptrusts_webhooks_domain::access::{OrganizationScope, Role};
use keeptrusts_webhooks_domain::endpoint_config::check_display_name;
use keeptrusts_webhooks_domain::ids::{KeyId, OrganizationId};
use keeptrusts_webhooks_domain::key::{Expiration, check_key_life, check_role};
use keeptrusts_webhooks_domain::key_validity::KeyState;
use keeptrusts_webhooks_domain::violation::Violation;

use super::fields::{enums, id, optional_enum, time};
use super::{SortedPage, Violations};
use crate::time::duration_from_proto;
use crate::v1;

/// CreateKey.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CreateKey {
    /// The organization that it is to be valid for; may be `*`.
    pub organization_id: OrganizationId,
    /// A label for people.
    pub display_name: String,
    /// What it may do.
    pub role: Role,
    /// When it is to expire. None: never.
    pub expiration: Option<Expiration>,
}

impl TryFrom<v1::CreateKeyRequest> for CreateKey {
    type Error = Violations;

    fn try_from(request: v1::CreateKeyRequest) -> Result<Self, Violations> {
        let mut violations = Violations::default();
        let organization_id = violations.check(OrganizationId::or_all(&request.organization_id));
        let key = request.key.unwrap_or_default();
        let display_name =
            violations.check(check_display_name("key.display_name", key.display_name));
        let role = violations.check(optional_enum::<v1::Role, Role>("key.role", key.role));
        let role = role.and_then(|role| {
            let organizations = OrganizationScope::from(
                organization_id.clone().unwrap_or_else(OrganizationId::all),
            );
            violations.check(check_role(role, &organizations))
        });
        let expiration = key.expiration.map(|expiration| match expiration {
            v1::key::Expiration::ExpireTime(at) => time("key.expire_time", at).map(Expiration::At),
            v1::key::Expiration::Ttl(life) => {
                let life = duration("key.ttl", life)?;
                check_key_life("key.ttl", life).map(Expiration::After)
            }
        });
        let expiration = violations.check(expiration.transpose());
        match (organization_id, display_name, role, expiration) {
            (Some(organization_id), Some(display_name), Some(role), Some(expiration)) => {
                Ok(CreateKey { organization_id, display_name, role, expiration })
            }
            _ => Err(violations),
        }
    }
}

fn duration(field: &str, message: prost_types::Duration) -> Result<Duration, Violation> {
    duration_from_proto(&message)
        .ok_or_else(|| Violation::out_of_range(field, "must be a valid duration, not negative"))
}

/// One key of an organization: the request of GetKey.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyRef {
    /// The organization that it is valid for; may be `*`.
    pub organization_id: OrganizationId,
    /// The key.
    pub key_id: KeyId,
}

impl TryFrom<v1::GetKeyRequest> for KeyRef {
    type Error = Violations;

    fn try_from(request: v1::GetKeyRequest) -> Result<Self, Violations> {
        let mut violations = Violations::default();
        let organization_id = violations.check(OrganizationId::or_all(&request.organization_id));
        let key_id = violations.check(id("key_id", &request.key_id));
        match (organization_id, key_id) {
            (Some(organization_id), Some(key_id)) => Ok(KeyRef { organization_id, key_id }),
            _ => Err(violations),
        }
    }
}

/// RevokeKey.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RevokeKey {
    /// The organization that it is valid for; may be `*`.
    pub organization_id: OrganizationId,
    /// The key.
    pub key_id: KeyId,
    /// Whether the keys and sessions that were created with it are revoked too.
    pub cascade: bool,
}

impl TryFrom<v1::RevokeKeyRequest> for RevokeKey {
    type Error = Violations;

    fn try_from(request: v1::RevokeKeyRequest) -> Result<Self, Violations> {
        let mut violations = Violations::default();
        let organization_id = violations.check(OrganizationId::or_all(&request.organization_id));
        let key_id = violations.check(id("key_id", &request.key_id));
        match (organization_id, key_id) {
            (Some(organization_id), Some(key_id)) => {
                Ok(RevokeKey { organization_id, key_id, cascade: request.revoke_made })
            }
            _ => Err(violations),
        }
    }
}

/// ListKeys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListKeys {
    /// The organization; may be `*`.
    pub organization_id: OrganizationId,
    /// The part of the list.
    pub page: SortedPage<KeyId>,
    /// True: only sessions. False: only API keys.
    pub sessions: Option<bool>,
    /// Only in one of these states. Empty: all.
    pub states: Vec<KeyState>,
}

impl TryFrom<v1::ListKeysRequest> for ListKeys {
    type Error = Violations;

    fn try_from(request: v1::ListKeysRequest) -> Result<Self, Violations> {
        let mut violations = Violations::default();
        let organization_id = violations.check(OrganizationId::or_all(&request.organization_id));
        let page = SortedPage::of::<v1::Key>(&request, &request.order_by, KeyId::MAX);
        let page = violations.check_all(page);
        let sessions = violations.check(optional_enum::<v1::key::Kind, _>("kind", request.kind));
        let states = violations.check_all(enums::<v1::key::State, _>("states", &request.states));
        match (organization_id, page, sessions, states) {
            (Some(organization_id), Some(page), Some(sessions), Some(states)) => {
                Ok(ListKeys { organization_id, page, sessions, states })
            }
            _ => Err(violations),
        }
    }
}

/// CreateSession.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CreateSession {
    /// The organization. None: the caller's own.
    pub organization_id: Option<OrganizationId>,
    /// When it is to expire. None: after 12 hours.
    pub expiration: Option<Expiration>,
}

impl TryFrom<v1::CreateSessionRequest> for CreateSession {
    type Error = Violations;

    fn try_from(request: v1::CreateSessionRequest) -> Result<Self, Violations> {
        let mut violations = Violations::default();
        let organization_id = match request.organization_id.as_str() {
            "" => Some(None),
            id => violations.check(id.parse().map(Some)),
        };
        let expiration = request.expiration.map(|expiration| match expiration {
            v1::create_session_request::Expiration::ExpireTime(at) => {
                time("expire_time", at).map(Expiration::At)
            }
            v1::create_session_request::Expiration::Ttl(life) => {
                duration("ttl", life).map(Expiration::After)
            }
        });
        match (organization_id, violations.check(expiration.transpose())) {
            (Some(organization_id), Some(expiration)) => {
                Ok(CreateSession { organization_id, expiration })
            }
            _ => Err(violations),
        }
    }
}

/// A request without fields: WhoAmI, EndSession.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EmptyRequest;

impl TryFrom<v1::WhoAmIRequest> for EmptyRequest {
    type Error = Violations;

    fn try_from(v1::WhoAmIRequest {}: v1::WhoAmIRequest) -> Result<Self, Violations> {
        Ok(EmptyRequest)
    }
}

impl TryFrom<v1::EndSessionRequest> for EmptyRequest {
    type Error = Violations;

    fn try_from(v1::EndSessionRequest {}: v1::EndSessionRequest) -> Result<Self, Violations> {
        Ok(EmptyRequest)
    }
}
