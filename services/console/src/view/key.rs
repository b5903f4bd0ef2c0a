//! API keys and sessions.

use keeptrusts_webhooks_contracts::v1;
use keeptrusts_webhooks_domain::access::Role;

use super::Badge;
use super::time::Moment;

/// A key or session on the list.
pub(crate) struct KeyRow {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) role: &'static str,
    pub(crate) is_session: bool,
    pub(crate) creator: String,
    pub(crate) create_time: Option<Moment>,
    pub(crate) last_use_time: Option<Moment>,
    pub(crate) state: Badge,
    /// When it ended, or will.
    pub(crate) end: Option<Moment>,
    pub(crate) can_be_ended: bool,
}

impl KeyRow {
    /// The key as it stands at a time.
    pub(crate) fn of(key: v1::Key, now: Moment) -> KeyRow {
        let expire_time = Moment::of(key.expire_time.as_ref());
        let revoke_time = Moment::of(key.revoke_time.as_ref());
        let is_session = key.kind() == v1::KeyKind::Session;
        let has_expired = expire_time.is_some_and(|expire_time| expire_time <= now);
        let (word, class, end) = match (revoke_time, has_expired) {
            (Some(time), _) if is_session => ("Ended", "neutral", Some(time)),
            (Some(time), _) => ("Revoked", "bad", Some(time)),
            (None, true) => ("Expired", "neutral", expire_time),
            (None, false) => ("Valid", "good", expire_time),
        };
        KeyRow {
            role: Option::<Role>::from(key.role()).map_or("unknown", Role::name),
            is_session,
            create_time: Moment::of(key.create_time.as_ref()),
            last_use_time: Moment::of(key.last_use_time.as_ref()),
            state: Badge { word, class },
            end,
            can_be_ended: class == "good",
            id: key.id,
            name: key.name,
            creator: key.creator,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_valid_until_it_expires_or_is_revoked() {
        let time = |seconds| Some(prost_types::Timestamp { seconds, nanos: 0 });
        let now = Moment::of(time(100).as_ref()).expect("a time");
        let word = |key: v1::Key| {
            let row = KeyRow::of(key, now);
            assert_eq!(row.can_be_ended, row.state.word == "Valid");
            row.state.word
        };
        let key = v1::Key { kind: v1::KeyKind::ApiKey.into(), ..Default::default() };
        let expiring = |seconds| v1::Key { expire_time: time(seconds), ..key.clone() };
        assert_eq!(word(key.clone()), "Valid");
        assert_eq!(word(expiring(101)), "Valid");
        assert_eq!(word(expiring(100)), "Expired");
        let revoked = v1::Key { revoke_time: time(50), ..expiring(60) };
        assert_eq!(word(revoked.clone()), "Revoked");
        assert_eq!(word(v1::Key { kind: v1::KeyKind::Session.into(), ..revoked }), "Ended");
    }
}
