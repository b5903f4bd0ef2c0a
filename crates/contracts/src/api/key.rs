//! Keys and callers in responses.

use keeptrusts_webhooks_domain::Timestamp;
use keeptrusts_webhooks_domain::access::{Caller, Credential, OrganizationScope, Role};
use keeptrusts_webhooks_domain::key::Key;
use keeptrusts_webhooks_domain::key_validity::{KeyState, KeyValidity};

use crate::time::timestamp_to_proto;
use crate::v1;

/// A key with its validity and the time of its last use, which are not stored in the key.
pub fn key_message(key: &Key, validity: KeyValidity, last_use_time: Option<Timestamp>) -> v1::Key {
    let kind = match key.session {
        Some(_) => v1::key::Kind::Session,
        None => v1::key::Kind::ApiKey,
    };
    v1::Key {
        id: key.id.to_string(),
        organization_id: key.organizations.to_string(),
        display_name: key.display_name.clone(),
        role: v1::Role::from(key.role).into(),
        kind: kind.into(),
        creator: key.creator.clone(),
        create_time: Some(timestamp_to_proto(key.create_time)),
        expiration: key
            .expire_time
            .map(|time| v1::key::Expiration::ExpireTime(timestamp_to_proto(time))),
        revoke_time: key.revoke_time.map(timestamp_to_proto),
        last_use_time: last_use_time.map(timestamp_to_proto),
        state: v1::key::State::from(validity.state).into(),
        end_time: validity.end_time.map(timestamp_to_proto),
    }
}

impl v1::Key {
    /// When it expires, in a response. None: never.
    pub fn expire_time(&self) -> Option<prost_types::Timestamp> {
        match self.expiration {
            Some(v1::key::Expiration::ExpireTime(time)) => Some(time),
            Some(v1::key::Expiration::Ttl(_)) | None => None,
        }
    }
}

impl From<&Caller> for v1::WhoAmIResponse {
    fn from(caller: &Caller) -> Self {
        v1::WhoAmIResponse {
            actor: caller.actor.as_ref().to_owned(),
            display_name: caller.name.as_ref().to_owned(),
            role: v1::Role::from(caller.role).into(),
            organization_id: caller
                .organizations
                .organization_id()
                .map(|id| id.to_string())
                .unwrap_or_default(),
            organization_ids: match &caller.organizations {
                OrganizationScope::Several(ids) => ids.iter().map(ToString::to_string).collect(),
                OrganizationScope::All | OrganizationScope::One(_) => Vec::new(),
            },
            expire_time: caller.expire_time.map(timestamp_to_proto),
            session: matches!(caller.credential, Credential::Session { .. }),
            ..Default::default()
        }
    }
}

impl From<Role> for v1::Role {
    fn from(role: Role) -> Self {
        match role {
            Role::Admin => v1::Role::Admin,
            Role::Publisher => v1::Role::Publisher,
            Role::Viewer => v1::Role::Viewer,
            Role::Platform => v1::Role::Platform,
        }
    }
}

/// None: unspecified.
impl From<v1::Role> for Option<Role> {
    fn from(role: v1::Role) -> Self {
        match role {
            v1::Role::Unspecified => None,
            v1::Role::Admin => Some(Role::Admin),
            v1::Role::Publisher => Some(Role::Publisher),
            v1::Role::Viewer => Some(Role::Viewer),
            v1::Role::Platform => Some(Role::Platform),
        }
    }
}

impl From<KeyState> for v1::key::State {
    fn from(state: KeyState) -> Self {
        match state {
            KeyState::Valid => v1::key::State::Valid,
            KeyState::Expired => v1::key::State::Expired,
            KeyState::Revoked => v1::key::State::Revoked,
            KeyState::EndedWithKey => v1::key::State::EndedWithKey,
        }
    }
}

/// None: unspecified.
impl From<v1::key::State> for Option<KeyState> {
    fn from(state: v1::key::State) -> Self {
        match state {
            v1::key::State::Unspecified => None,
            v1::key::State::Valid => Some(KeyState::Valid),
            v1::key::State::Expired => Some(KeyState::Expired),
            v1::key::State::Revoked => Some(KeyState::Revoked),
            v1::key::State::EndedWithKey => Some(KeyState::EndedWithKey),
        }
    }
}

/// Whether the kind is a session. None: unspecified.
impl From<v1::key::Kind> for Option<bool> {
    fn from(kind: v1::key::Kind) -> Self {
        match kind {
            v1::key::Kind::Unspecified => None,
            v1::key::Kind::ApiKey => Some(false),
            v1::key::Kind::Session => Some(true),
        }
    }
}
