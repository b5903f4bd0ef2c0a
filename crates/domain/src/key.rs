//! API keys and sessions. Only a digest of their tokens is stored.
//!
//! Decision: docs/decisions/keys-are-facts-in-the-log.md

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use crate::Timestamp;
use crate::access::{OrganizationScope, Role};
use crate::document::{Document, micros};
use crate::ids::{KeyId, OrganizationId};
use crate::limits::{
    DEFAULT_SESSION_LIFE, MAX_KEY_LIFE, MAX_SESSION_LIFE, MIN_KEY_LIFE, MIN_SESSION_LIFE,
};
use crate::log::Version;
use crate::plural::pluralize;
use crate::violation::Violation;

/// The prefix of every token, so that people and scanners for leaked secrets recognise it.
pub const TOKEN_PREFIX: &str = "kt_";
const TOKEN_BYTES: usize = 32;

/// A token in clear: `kt_` and 64 hex digits. Debug prints nothing of it, and its memory is wiped
/// on drop.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(Zeroizing<String>);

impl Token {
    /// A token of random bytes.
    pub fn from_random(random: [u8; TOKEN_BYTES]) -> Token {
        Token(Zeroizing::new(format!("{TOKEN_PREFIX}{}", hex::encode(random))))
    }

    /// The token in clear. Only for showing it once.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// The digest that is stored. A token has 256 random bits, so that a plain digest cannot be
    /// reversed by guessing.
    pub fn digest(&self) -> TokenDigest {
        TokenDigest(Sha256::digest(self.0.as_bytes()).into())
    }
}

/// A text that is not a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("is not a key's token: `kt_` and 64 hex digits in lower case")]
pub struct InvalidToken;

impl FromStr for Token {
    type Err = InvalidToken;

    fn from_str(text: &str) -> Result<Self, InvalidToken> {
        let digits = text.strip_prefix(TOKEN_PREFIX).ok_or(InvalidToken)?;
        let is_digit = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        match digits.len() == 2 * TOKEN_BYTES && digits.bytes().all(is_digit) {
            true => Ok(Token(Zeroizing::new(text.to_owned()))),
            false => Err(InvalidToken),
        }
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(..)")
    }
}

/// SHA-256 of a token.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct TokenDigest(#[serde(with = "hex::serde")] pub [u8; 32]);

impl fmt::Debug for TokenDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TokenDigest(..)")
    }
}

/// An API key or a session, as the tables hold it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Key {
    /// The key's id.
    pub id: KeyId,
    /// The organizations that it is valid for.
    pub organizations: OrganizationScope,
    /// A label for people.
    pub display_name: String,
    /// What it may do.
    pub role: Role,
    /// The digest of its token.
    pub token: TokenDigest,
    /// How it was opened, if it is a session. None: it is an API key.
    pub session: Option<SessionOrigin>,
    /// The actor that created it, as in the log: a key's id, or `oidc:` and a subject.
    pub creator: String,
    /// When it was created.
    #[serde(serialize_with = "micros")]
    pub create_time: Timestamp,
    /// When it expires. None: never.
    #[serde(serialize_with = "micros")]
    pub expire_time: Option<Timestamp>,
    /// When it was revoked or, if it is a session, ended.
    #[serde(serialize_with = "micros")]
    pub revoke_time: Option<Timestamp>,
    /// The number of records in its stream.
    pub version: Version,
}

impl Document for Key {
    const VERSION: u16 = 1;
    const HIDDEN_FIELDS: &'static [&'static str] = &["token"];
}

/// What a session was opened with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SessionOrigin {
    /// The key that opened it; the session ends with that key. None: a JSON Web Token opened it.
    pub parent: Option<KeyId>,
}

/// A key to create. Its values have been checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewKey {
    /// A label for people.
    pub display_name: String,
    /// What it may do.
    pub role: Role,
    /// The digest of its token.
    pub token: TokenDigest,
    /// When it expires. None: never.
    pub expire_time: Option<Timestamp>,
    /// How it was opened, if it is a session.
    pub session: Option<SessionOrigin>,
}

/// Something that happened to a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeyFact {
    /// The key was created, or the session opened.
    Created(NewKey),
    /// The API key was revoked.
    Revoked,
    /// The session ended.
    SessionEnded,
}

impl Key {
    /// The key after its Created fact.
    pub fn created(
        id: KeyId,
        organization: OrganizationId,
        new: NewKey,
        creator: String,
        recorded_at: Timestamp,
    ) -> Key {
        let NewKey { display_name, role, token, expire_time, session } = new;
        Key {
            id,
            organizations: organization.into(),
            display_name,
            role,
            token,
            session,
            creator,
            create_time: recorded_at,
            expire_time,
            revoke_time: None,
            version: Version(1),
        }
    }

    /// The key after one more fact, recorded at `recorded_at`.
    pub fn apply(&mut self, fact: &KeyFact, recorded_at: Timestamp) {
        self.version = self.version.next();
        match fact {
            KeyFact::Created(_) => {}
            KeyFact::Revoked | KeyFact::SessionEnded => self.revoke_time = Some(recorded_at),
        }
    }

    /// The fact that follows from revoking it. None if it was revoked already.
    pub fn revoke(&self) -> Option<KeyFact> {
        let fact = if self.session.is_some() { KeyFact::SessionEnded } else { KeyFact::Revoked };
        self.revoke_time.is_none().then_some(fact)
    }

    /// The key that opened it, if it is a session that a key opened.
    pub fn parent(&self) -> Option<KeyId> {
        self.session.and_then(|session| session.parent)
    }

    /// Whether it is neither revoked nor expired at `now`. For a session, its parent must be checked as
    /// well; see [`KeyValidity`](crate::key_validity::KeyValidity).
    pub fn is_valid_at(&self, now: Timestamp) -> bool {
        self.revoke_time.is_none() && self.expire_time.is_none_or(|expire_time| now < expire_time)
    }
}

/// Checks the role of a new key, and that the role is possible in its scope.
pub fn check_role(
    role: Option<Role>,
    organizations: &OrganizationScope,
) -> Result<Role, Violation> {
    match (role, organizations) {
        (None, _) => {
            let description =
                "is required: ROLE_ADMIN, ROLE_PUBLISHER or ROLE_VIEWER; ROLE_PLATFORM for *";
            Err(Violation::required("key.role", description))
        }
        (Some(Role::Platform), OrganizationScope::One(_) | OrganizationScope::Several(_)) => {
            Err(Violation::not_allowed(
                "key.role",
                "is ROLE_PLATFORM, which is for every organization: give * as organization_id, or another role",
            ))
        }
        (Some(role), _) => Ok(role),
    }
}

/// When a key or a session is to expire, as its request says it (AIP-214).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expiration {
    /// At a time.
    At(Timestamp),
    /// So long after its creation.
    After(Duration),
}

impl Expiration {
    /// The field of a request that says it.
    pub fn field(self) -> &'static str {
        match self {
            Expiration::At(_) => "expire_time",
            Expiration::After(_) => "ttl",
        }
    }

    /// The time; the last one that there is if it is beyond.
    pub fn time(self, now: Timestamp) -> Timestamp {
        match self {
            Expiration::At(time) => time,
            Expiration::After(life) => now.checked_add(life).unwrap_or(Timestamp::MAX),
        }
    }
}

/// Checks how long a new key is to be valid: 1 minute to 10 years.
pub fn check_key_life(field: &str, life: Duration) -> Result<Duration, Violation> {
    match (MIN_KEY_LIFE..=MAX_KEY_LIFE).contains(&life) {
        true => Ok(life),
        false => {
            let description =
                "must be from 1 minute to 10 years; leave it out for a key that does not expire";
            Err(Violation::out_of_range(field, description))
        }
    }
}

/// Checks that a time of expiry is from `least` to `most` from now.
fn check_expire_time(
    field: &str,
    time: Timestamp,
    (least, most): (Duration, Duration),
    now: Timestamp,
) -> Result<(), Violation> {
    let after = |life| Expiration::After(life).time(now);
    let (earliest, latest) = (after(least), after(most));
    if (earliest..=latest).contains(&time) {
        return Ok(());
    }
    // The earliest time is shown a second late: whoever copies it sends it later than now.
    let shown = |time: Timestamp| time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
    let description = format!(
        "must be a time from {} to {} (the time is now {})",
        shown(earliest.checked_add(Duration::from_secs(1)).unwrap_or(earliest)),
        shown(latest),
        shown(now)
    );
    Err(Violation::out_of_range(field, description))
}

/// Checks when a new key is to expire, and that it does not outlive the key that creates it. Returns the
/// time. `expiration` is None for a key that is to be valid for ever, `end` for a creating key that is.
/// A duration must have been [checked](check_key_life).
pub fn check_key_expiration(
    expiration: Option<Expiration>,
    end: Option<Timestamp>,
    now: Timestamp,
) -> Result<Option<Timestamp>, Violation> {
    let field = format!("key.{}", expiration.map_or("ttl", Expiration::field));
    if let Some(Expiration::At(time)) = expiration {
        check_expire_time(&field, time, (MIN_KEY_LIFE, MAX_KEY_LIFE), now)?;
    }
    let wanted = expiration.map(|expiration| expiration.time(now));
    let Some(end) = end else { return Ok(wanted) };
    match wanted.filter(|wanted| *wanted <= end) {
        Some(wanted) => Ok(Some(wanted)),
        None => {
            let most = match expiration {
                Some(Expiration::At(_)) => "that time or an earlier one".to_owned(),
                Some(Expiration::After(_)) | None => {
                    let seconds = end.duration_since(now).as_secs().max(0);
                    format!("at most {}", pluralize(seconds, "second", "seconds"))
                }
            };
            let description = format!(
                "must end with the key that makes it, which is valid until {end}: give {most}"
            );
            Err(Violation::out_of_range(field, description))
        }
    }
}

/// Checks when a session is to expire: 1 minute to 30 days from now, by default after 12 hours. Returns
/// the time.
pub fn check_session_expiration(
    expiration: Option<Expiration>,
    now: Timestamp,
) -> Result<Timestamp, Violation> {
    let expiration = expiration.unwrap_or(Expiration::After(DEFAULT_SESSION_LIFE));
    let field = expiration.field();
    match expiration {
        Expiration::At(time) => {
            check_expire_time(field, time, (MIN_SESSION_LIFE, MAX_SESSION_LIFE), now)?;
        }
        Expiration::After(life) if !(MIN_SESSION_LIFE..=MAX_SESSION_LIFE).contains(&life) => {
            return Err(Violation::out_of_range(field, "must be from 1 minute to 30 days"));
        }
        Expiration::After(_) => {}
    }
    Ok(expiration.time(now))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(expire_time: Option<Timestamp>) -> Key {
        let new = NewKey {
            display_name: "ci".to_owned(),
            role: Role::Publisher,
            token: Token::from_random([7; 32]).digest(),
            expire_time,
            session: None,
        };
        let organization = "acme".parse().expect("an id");
        Key::created(KeyId::MIN, organization, new, "bootstrap".to_owned(), Timestamp::UNIX_EPOCH)
    }

    #[test]
    fn a_token_is_read_back_from_its_text_and_from_nothing_like_it() {
        let token = Token::from_random([0xab; 32]);
        assert_eq!(token.expose().parse::<Token>(), Ok(token.clone()));
        let upper = token.expose().to_uppercase();
        let long = format!("{}0", token.expose());
        for wrong in ["", "kt_", "kt_abc", &upper, &long, &token.expose()[3..]] {
            assert_eq!(wrong.parse::<Token>(), Err(InvalidToken), "{wrong:?}");
        }
    }

    #[test]
    fn invariant_10_debug_output_shows_nothing_of_a_token() {
        let token = Token::from_random([0xab; 32]);
        assert_eq!(format!("{token:?}{:?}", token.digest()), "Token(..)TokenDigest(..)");
    }

    #[test]
    fn a_key_is_valid_until_it_expires_or_is_revoked() {
        let expire_time = Timestamp::from_second(100).expect("a time");
        let just_before = Timestamp::from_second(99).expect("a time");
        assert!(key(Some(expire_time)).is_valid_at(just_before));
        assert!(!key(Some(expire_time)).is_valid_at(expire_time));
        let mut revoked = key(None);
        assert!(revoked.is_valid_at(Timestamp::MAX));
        let fact = revoked.revoke().expect("something to do");
        revoked.apply(&fact, just_before);
        assert!(!revoked.is_valid_at(Timestamp::UNIX_EPOCH));
        assert_eq!(revoked.revoke(), None, "there is nothing to do twice");
    }

    #[test]
    fn a_created_key_ends_no_later_than_the_key_that_created_it() {
        let at = |second| Timestamp::from_second(second).expect("a time");
        let check = |life: Option<u64>, end| {
            let after = |life| Expiration::After(Duration::from_secs(life));
            check_key_expiration(life.map(after), end, at(100))
        };
        assert_eq!(check(None, None), Ok(None));
        assert_eq!(check(Some(60), None), Ok(Some(at(160))));
        assert_eq!(check(Some(60), Some(at(160))), Ok(Some(at(160))));
        for life in [None, Some(61)] {
            let refused = check(life, Some(at(160))).expect_err("it would outlive it");
            assert_eq!(refused.field, "key.ttl");
            assert!(refused.description.contains("until 1970-01-01T00:02:40Z"), "{refused}");
            assert!(refused.description.contains("at most 60 seconds"), "{refused}");
        }
    }

    #[test]
    fn an_expiration_is_a_time_or_a_duration_within_the_same_limits() {
        let at = |second| Timestamp::from_second(second).expect("a time");
        let check = |expiration| check_key_expiration(Some(expiration), None, at(1_000));
        assert_eq!(check(Expiration::At(at(1_060))), Ok(Some(at(1_060))));
        assert_eq!(check(Expiration::After(Duration::from_secs(60))), Ok(Some(at(1_060))));
        for (wrong, field) in [
            (Expiration::At(at(1_059)), "key.expire_time"),
            (Expiration::At(at(1)), "key.expire_time"),
            (Expiration::At(Timestamp::MAX), "key.expire_time"),
        ] {
            let refused = check(wrong).expect_err("out of range");
            assert_eq!(refused.field, field, "{wrong:?}");
            let words = "must be a time from 1970-01-01T00:17:41Z to 1979-";
            assert!(refused.description.starts_with(words), "{refused}");
        }
        for wrong in [Duration::from_secs(59), Duration::MAX] {
            let refused = check_key_life("key.ttl", wrong).expect_err("out of range");
            assert!(
                refused.description.starts_with("must be from 1 minute to 10 years"),
                "{refused}"
            );
        }
        let session = |expiration| check_session_expiration(expiration, at(1_000));
        assert_eq!(session(None), Ok(at(1_000 + 12 * 60 * 60)));
        assert_eq!(session(Some(Expiration::At(at(1_060)))), Ok(at(1_060)));
        let past = session(Some(Expiration::At(at(999)))).expect_err("past");
        assert_eq!(past.field, "expire_time");
        assert!(past.description.contains("(the time is now 1970-01-01T00:16:40Z)"), "{past}");
        let short = session(Some(Expiration::After(Duration::from_secs(59)))).expect_err("short");
        assert_eq!(short.to_string(), "ttl: must be from 1 minute to 30 days");
    }

    #[test]
    fn a_platform_key_is_for_every_organization() {
        let own = OrganizationScope::One("acme".parse().expect("an id"));
        assert!(check_role(Some(Role::Platform), &own).is_err());
        assert_eq!(check_role(Some(Role::Platform), &OrganizationScope::All), Ok(Role::Platform));
        assert_eq!(check_role(Some(Role::Viewer), &own), Ok(Role::Viewer));
        assert!(check_role(None, &own).is_err());
    }
}
