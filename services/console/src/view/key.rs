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
    /// When it ended or will end.
    pub(crate) end: Option<Moment>,
    pub(crate) can_be_ended: bool,
}

impl KeyRow {
    pub(crate) fn of(key: v1::Key) -> KeyRow {
        let is_session = key.kind() == v1::key::Kind::Session;
        let (word, class) = match key.state() {
            v1::key::State::Revoked if is_session => ("Ended", "neutral"),
            v1::key::State::Revoked => ("Revoked", "bad"),
            v1::key::State::Expired => ("Expired", "neutral"),
            v1::key::State::EndedWithKey => ("Ended with its key", "neutral"),
            v1::key::State::Valid => ("Valid", "good"),
            v1::key::State::Unspecified => ("Unknown", "neutral"),
        };
        let end = Moment::of(key.end_time.as_ref());
        KeyRow {
            role: Option::<Role>::from(key.role()).map_or("unknown", Role::name),
            is_session,
            create_time: Moment::of(key.create_time.as_ref()),
            last_use_time: Moment::of(key.last_use_time.as_ref()),
            state: Badge { word, class },
            end,
            can_be_ended: class == "good",
            id: key.id,
            name: key.display_name,
            creator: key.creator,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_that_works_can_be_ended_and_no_other() {
        use v1::key::State::{EndedWithKey, Expired, Revoked, Valid};
        let word = |kind: v1::key::Kind, state: v1::key::State| {
            let row = KeyRow::of(v1::Key {
                kind: kind.into(),
                state: state.into(),
                ..Default::default()
            });
            assert_eq!(row.can_be_ended, row.state.word == "Valid");
            row.state.word
        };
        let (key, session) = (v1::key::Kind::ApiKey, v1::key::Kind::Session);
        assert_eq!(
            [Valid, Expired, Revoked].map(|state| word(key, state)),
            ["Valid", "Expired", "Revoked"]
        );
        assert_eq!(
            [Valid, Revoked, EndedWithKey].map(|state| word(session, state)),
            ["Valid", "Ended", "Ended with its key"]
        );
    }
}
