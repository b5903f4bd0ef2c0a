//! Encodes and decodes facts about keys.

use keeptrusts_webhooks_domain::access::Role;
use keeptrusts_webhooks_domain::key::{KeyFact, NewKey, SessionOrigin, TokenDigest};

use super::error::DecodeError;
use super::values::{exactly, optional_timestamp, parsed, wrong};
use crate::log::v1 as pb;
use crate::log::v1::record_data::Fact as Message;
use crate::time::timestamp_to_proto;

impl From<&KeyFact> for Message {
    fn from(fact: &KeyFact) -> Self {
        match fact {
            KeyFact::Created(new) => Message::KeyCreated(pb::KeyCreated {
                display_name: new.display_name.clone(),
                role: pb::Role::from(new.role).into(),
                token_sha256: new.token.0.to_vec(),
                expire_time: new.expire_time.map(timestamp_to_proto),
                session: new.session.map(|session| pb::KeySession {
                    parent_key_id: session.parent.map(|id| id.to_string()).unwrap_or_default(),
                }),
            }),
            KeyFact::Revoked => Message::KeyRevoked(pb::KeyRevoked {}),
            KeyFact::SessionEnded => Message::SessionEnded(pb::SessionEnded {}),
        }
    }
}

pub(super) fn decode(message: Message) -> Result<KeyFact, DecodeError> {
    Ok(match message {
        Message::KeyCreated(created) => KeyFact::Created(NewKey {
            role: role(created.role)?,
            token: TokenDigest(exactly("token_sha256", created.token_sha256)?),
            expire_time: optional_timestamp("expire_time", created.expire_time)?,
            session: created.session.map(session).transpose()?,
            display_name: created.display_name,
        }),
        Message::KeyRevoked(pb::KeyRevoked {}) => KeyFact::Revoked,
        Message::SessionEnded(pb::SessionEnded {}) => KeyFact::SessionEnded,
        _ => return Err(DecodeError::WrongStream),
    })
}

fn session(message: pb::KeySession) -> Result<SessionOrigin, DecodeError> {
    let parent = match message.parent_key_id.as_str() {
        "" => None,
        id => Some(parsed("parent_key_id", id)?),
    };
    Ok(SessionOrigin { parent })
}

impl From<Role> for pb::Role {
    fn from(role: Role) -> Self {
        match role {
            Role::Admin => pb::Role::Admin,
            Role::Publisher => pb::Role::Publisher,
            Role::Viewer => pb::Role::Viewer,
            Role::Platform => pb::Role::Platform,
        }
    }
}

fn role(number: i32) -> Result<Role, DecodeError> {
    match pb::Role::try_from(number) {
        Ok(pb::Role::Admin) => Ok(Role::Admin),
        Ok(pb::Role::Publisher) => Ok(Role::Publisher),
        Ok(pb::Role::Viewer) => Ok(Role::Viewer),
        Ok(pb::Role::Platform) => Ok(Role::Platform),
        Ok(pb::Role::Unspecified) | Err(_) => Err(wrong("role", "is not one that is known")),
    }
}
