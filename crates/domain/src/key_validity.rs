//! Whether a key or a session is valid, and until when.

use crate::Timestamp;
use crate::key::Key;

/// Whether a key is valid, and if not, why.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyState {
    /// The key is valid.
    Valid,
    /// The key has expired.
    Expired,
    /// The key was revoked, or the session ended.
    Revoked,
    /// The key that opened the session has expired or was revoked.
    EndedWithKey,
}

/// Whether a key is valid at a time, and until when.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeyValidity {
    /// Whether the key is valid.
    pub state: KeyState,
    /// When the key ended, or will expire. None: never.
    pub end_time: Option<Timestamp>,
}

impl KeyValidity {
    /// The validity of a key at `now`. `parent` is the key that opened it, if it is a session.
    pub fn of(key: &Key, parent: Option<&Key>, now: Timestamp) -> KeyValidity {
        let parents_end = parent.and_then(|parent| earlier(parent.revoke_time, parent.expire_time));
        let ends = [
            (key.revoke_time, KeyState::Revoked),
            (key.expire_time, KeyState::Expired),
            (parents_end, KeyState::EndedWithKey),
        ];
        let ends = ends.into_iter().filter_map(|(time, state)| Some((time?, state)));
        match ends.min_by_key(|(time, _)| *time) {
            Some((time, state)) if time <= now || state == KeyState::Revoked => {
                KeyValidity { state, end_time: Some(time) }
            }
            end => KeyValidity { state: KeyState::Valid, end_time: end.map(|(time, _)| time) },
        }
    }
}

fn earlier(one: Option<Timestamp>, other: Option<Timestamp>) -> Option<Timestamp> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.min(other)),
        (one, other) => one.or(other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access::Role;
    use crate::ids::KeyId;
    use crate::key::{KeyFact, NewKey, SessionOrigin, Token};

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).expect("a time")
    }

    fn key(expire_time: Option<i64>, revoke_time: Option<i64>, is_session: bool) -> Key {
        let new = NewKey {
            display_name: "ci".to_owned(),
            role: Role::Admin,
            token: Token::from_random([7; 32]).digest(),
            expire_time: expire_time.map(at),
            session: is_session.then_some(SessionOrigin { parent: Some(KeyId::MAX) }),
        };
        let organization = "acme".parse().expect("an id");
        let mut key = Key::created(KeyId::MIN, organization, new, "ann".to_owned(), at(0));
        if let Some(time) = revoke_time {
            key.apply(&KeyFact::Revoked, at(time));
        }
        key
    }

    #[test]
    fn a_key_is_valid_until_it_expires_or_is_revoked() {
        let validity = |expire, revoke| {
            let validity = KeyValidity::of(&key(expire, revoke, false), None, at(100));
            (validity.state, validity.end_time.map(Timestamp::as_second))
        };
        assert_eq!(validity(None, None), (KeyState::Valid, None));
        assert_eq!(validity(Some(101), None), (KeyState::Valid, Some(101)));
        assert_eq!(validity(Some(100), None), (KeyState::Expired, Some(100)));
        assert_eq!(validity(Some(101), Some(50)), (KeyState::Revoked, Some(50)));
        assert_eq!(validity(Some(40), Some(50)), (KeyState::Expired, Some(40)));
        assert_eq!(validity(None, Some(101)), (KeyState::Revoked, Some(101)), "clocks differ");
    }

    #[test]
    fn a_session_is_valid_no_longer_than_its_key() {
        let validity = |parent: Key| {
            let session = key(Some(200), None, true);
            let validity = KeyValidity::of(&session, Some(&parent), at(100));
            (validity.state, validity.end_time.map(Timestamp::as_second))
        };
        assert_eq!(validity(key(None, None, false)), (KeyState::Valid, Some(200)));
        assert_eq!(validity(key(Some(150), None, false)), (KeyState::Valid, Some(150)));
        assert_eq!(validity(key(Some(90), None, false)), (KeyState::EndedWithKey, Some(90)));
        assert_eq!(validity(key(None, Some(70), false)), (KeyState::EndedWithKey, Some(70)));
        let ended =
            KeyValidity::of(&key(None, Some(60), true), Some(&key(None, Some(70), false)), at(100));
        assert_eq!(ended.state, KeyState::Revoked, "before its key was");
    }
}
