//! The session cookie. Before somebody signs in it is a random number, which ties the form of the
//! sign-in page to one browser; afterwards it is the token of a session of AccessService. The
//! console stores neither.
//!
//! Decision: docs/decisions/a-session-is-a-key.md

use axum::extract::FromRequestParts;
use cookie::time::Duration as CookieAge;
use cookie::{Cookie, SameSite};
use hmac::{Hmac, KeyInit, Mac};
use http::header::COOKIE;
use http::request::Parts;
use http::{HeaderMap, HeaderValue, StatusCode};
use keeptrusts_webhooks_domain::key::Token;
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

/// Cookies are not bound to ports: a plainer name might belong to another program on this machine.
const COOKIE_NAME: &str = "keeptrusts_console";
const ID_BYTES: usize = 32;
/// HMAC-SHA256.
const FORM_TAG_BYTES: usize = 32;

/// A browser's session. The cookie's value is a secret of that browser.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Session {
    secret: Zeroizing<String>,
    /// Names the session in memory: a digest, so that memory holds no secret for longer than
    /// needed.
    key: String,
}

impl Session {
    /// A session in which nobody has signed in.
    pub(crate) fn anonymous() -> Session {
        Session::with(Zeroizing::new(hex::encode(random::<ID_BYTES>())))
    }

    /// A session of AccessService, by its token.
    pub(crate) fn signed_in(token: &Token) -> Session {
        Session::with(Zeroizing::new(token.expose().to_owned()))
    }

    fn with(secret: Zeroizing<String>) -> Session {
        let key = hex::encode(Sha256::digest(secret.as_bytes()));
        Session { secret, key }
    }

    /// The session in a request's cookie, of either kind.
    pub(crate) fn of(headers: &HeaderMap) -> Option<Session> {
        let is_number = |id: &str| hex::decode(id).is_ok_and(|bytes| bytes.len() == ID_BYTES);
        let is_ours = |value: &String| is_number(value) || value.parse::<Token>().is_ok();
        let named = cookies(headers).filter(|cookie| cookie.name() == COOKIE_NAME);
        let value = named.map(|cookie| cookie.value().to_owned()).find(is_ours)?;
        Some(Session::with(Zeroizing::new(value)))
    }

    /// AccessService's token. None: nobody has signed in.
    pub(crate) fn token(&self) -> Option<Token> {
        self.secret.parse().ok()
    }

    /// Names the session in memory.
    pub(crate) fn key(&self) -> &str {
        &self.key
    }

    /// Goes into every form of this session; another site can neither read nor compute it. It is
    /// masked with a random number, which stands before it, anew for each page. So a page can be
    /// compressed: no secret in it repeats (BREACH).
    pub(crate) fn form_token(&self) -> String {
        let mask = random::<FORM_TAG_BYTES>();
        let tag: [u8; FORM_TAG_BYTES] = self.form_mac().finalize().into_bytes().into();
        hex::encode([mask, xor(mask, tag)].concat())
    }

    /// Whether a form is one that this session was given.
    pub(crate) fn is_form_token(&self, token: &str) -> bool {
        let mut bytes = [0; 2 * FORM_TAG_BYTES];
        if hex::decode_to_slice(token, &mut bytes).is_err() {
            return false;
        }
        let [mask, masked] =
            [0, FORM_TAG_BYTES].map(|start| std::array::from_fn(|index| bytes[start + index]));
        self.form_mac().verify_slice(&xor(mask, masked)).is_ok()
    }

    fn form_mac(&self) -> Hmac<Sha256> {
        let keyed = Hmac::<Sha256>::new_from_slice(self.secret.as_bytes());
        keyed.expect("HMAC takes keys of any length").chain_update("form")
    }

    /// The cookie that stores it in the browser: for so many seconds, or until it is closed.
    pub(crate) fn cookie(&self, max_age_seconds: Option<i64>, is_secure: bool) -> HeaderValue {
        set_cookie(COOKIE_NAME, &self.secret, "/", max_age_seconds, is_secure)
    }
}

/// The cookies of a request.
pub(crate) fn cookies(headers: &HeaderMap) -> impl Iterator<Item = Cookie<'_>> {
    let pairs = headers.get_all(COOKIE).iter().filter_map(|value| value.to_str().ok());
    pairs.flat_map(Cookie::split_parse).filter_map(Result::ok)
}

/// A cookie that neither scripts nor other sites can read. It is sent when a link of another site
/// leads here (RFC 6265bis section 5.6.7, Lax), such as an issuer's.
pub(crate) fn set_cookie(
    name: &str,
    value: &str,
    path: &str,
    max_age_seconds: Option<i64>,
    is_secure: bool,
) -> HeaderValue {
    let mut cookie = Cookie::build((name, value))
        .http_only(true)
        .same_site(SameSite::Lax)
        .secure(is_secure)
        .path(path)
        .build();
    cookie.set_max_age(max_age_seconds.map(CookieAge::seconds));
    HeaderValue::from_str(&cookie.to_string()).expect("what we put into cookies is ASCII")
}

fn xor(mask: [u8; FORM_TAG_BYTES], tag: [u8; FORM_TAG_BYTES]) -> [u8; FORM_TAG_BYTES] {
    std::array::from_fn(|index| mask[index] ^ tag[index])
}

/// Bytes that nobody can guess.
pub(crate) fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).expect("the operating system has randomness");
    bytes
}

impl<S: Sync> FromRequestParts<S> for Session {
    type Rejection = StatusCode;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Session, StatusCode> {
        // The layers of `authentication.rs` run before every handler.
        parts.extensions.get().cloned().ok_or(StatusCode::INTERNAL_SERVER_ERROR)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token() -> Token {
        Token::from_random([7; 32])
    }

    fn shown(cookie: &HeaderValue) -> HeaderMap {
        let text = cookie.to_str().expect("ASCII");
        let pair = text.split(';').next().expect("a pair").parse().expect("a value");
        HeaderMap::from_iter([(COOKIE, pair)])
    }

    #[test]
    fn a_form_of_one_session_is_not_one_of_another() {
        let (one, other) = (Session::anonymous(), Session::anonymous());
        assert!(one.is_form_token(&one.form_token()));
        assert!(!one.is_form_token(&other.form_token()));
        assert!(!one.is_form_token(&Session::signed_in(&token()).form_token()));
        for wrong in [String::new(), "00".repeat(64), "00".repeat(32), one.form_token() + "00"] {
            assert!(!one.is_form_token(&wrong), "{wrong}");
        }
    }

    #[test]
    fn no_two_pages_of_a_session_have_a_token_in_common() {
        let session = Session::anonymous();
        let (one, other) = (session.form_token(), session.form_token());
        let same = one.bytes().zip(other.bytes()).filter(|(one, other)| one == other).count();
        // Of 128 digits, 8 are equal by chance.
        assert!(same < 40, "{one} {other}");
        assert!(session.is_form_token(&one) && session.is_form_token(&other));
    }

    #[test]
    fn the_cookie_is_out_of_reach_of_scripts_and_of_other_sites() {
        for session in [Session::anonymous(), Session::signed_in(&token())] {
            let cookie = session.cookie(None, false);
            let text = cookie.to_str().expect("ASCII");
            assert!(text.contains("HttpOnly") && text.contains("SameSite=Lax"), "{text}");
            assert!(!text.contains("Max-Age") && !text.contains("Secure"), "{text}");
            assert!(Session::of(&shown(&cookie)) == Some(session));
        }
    }

    #[test]
    fn a_signed_in_sessions_cookie_ends_with_it_and_may_be_for_tls_only() {
        let cookie = Session::signed_in(&token()).cookie(Some(43_200), true);
        let text = cookie.to_str().expect("ASCII");
        assert!(text.contains("Max-Age=43200") && text.contains("Secure"), "{text}");
        let session = Session::of(&shown(&cookie)).expect("a session");
        assert_eq!(session.token(), Some(token()));
        assert_eq!(Session::anonymous().token(), None);
    }

    #[test]
    fn invariant_10_memory_names_a_session_by_a_digest() {
        let session = Session::signed_in(&token());
        assert!(!token().expose().contains(session.key()) && session.key().len() == 64);
    }

    #[test]
    fn a_cookie_that_is_not_ours_is_not_a_session() {
        for value in ["abc", "kt_abc", ""] {
            let pair = format!("{COOKIE_NAME}={value}").parse().expect("a value");
            assert!(Session::of(&HeaderMap::from_iter([(COOKIE, pair)])).is_none(), "{value}");
        }
    }
}
