//! Who asks: a session in a cookie. Nobody logs in yet; when admins do, their key will stand
//! behind the session. Until then it ties forms and notices to one browser.

use axum::extract::{FromRequestParts, Request};
use axum::middleware::Next;
use axum::response::Response;
use cookie::{Cookie, SameSite};
use hmac::{Hmac, KeyInit, Mac};
use http::header::{COOKIE, SET_COOKIE};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, StatusCode};
use sha2::Sha256;

/// Cookies know no ports: a plainer name would be that of some other program on this machine.
const COOKIE_NAME: &str = "keeptrusts_console";
const ID_BYTES: usize = 32;

/// A browser's session. The id is a secret of that browser's.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Session {
    id: String,
}

impl Session {
    pub(crate) fn new() -> Session {
        Session { id: hex::encode(random::<ID_BYTES>()) }
    }

    fn of(headers: &HeaderMap) -> Option<Session> {
        let pairs = headers.get_all(COOKIE).iter().filter_map(|value| value.to_str().ok());
        let cookies = pairs.flat_map(Cookie::split_parse).filter_map(Result::ok);
        let named = cookies.filter(|cookie| cookie.name() == COOKIE_NAME);
        let ids = named.map(|cookie| cookie.value().to_owned());
        let is_ours = |id: &String| hex::decode(id).is_ok_and(|bytes| bytes.len() == ID_BYTES);
        Some(Session { id: { ids }.find(is_ours)? })
    }

    /// What names the session in memory.
    pub(crate) fn key(&self) -> &str {
        &self.id
    }

    /// What every form of this session's carries: another site can neither read nor compute it.
    pub(crate) fn form_token(&self) -> String {
        hex::encode(self.form_mac().finalize().into_bytes())
    }

    /// Whether a form is one that this session was given.
    pub(crate) fn is_form_token(&self, token: &str) -> bool {
        hex::decode(token).is_ok_and(|tag| self.form_mac().verify_slice(&tag).is_ok())
    }

    fn form_mac(&self) -> Hmac<Sha256> {
        let keyed = Hmac::<Sha256>::new_from_slice(self.id.as_bytes());
        keyed.expect("HMAC takes keys of any length").chain_update("form")
    }

    fn cookie(&self) -> HeaderValue {
        let cookie = Cookie::build((COOKIE_NAME, self.id.as_str()))
            .http_only(true)
            .same_site(SameSite::Lax)
            .path("/")
            .build();
        HeaderValue::from_str(&cookie.to_string()).expect("hex digits and names are ASCII")
    }
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
        // `with_session` stands before every handler.
        parts.extensions.get().cloned().ok_or(StatusCode::INTERNAL_SERVER_ERROR)
    }
}

/// Gives every request its session, and a browser that has none a new one.
pub(crate) async fn with_session(mut request: Request, next: Next) -> Response {
    let known = Session::of(request.headers());
    let is_new = known.is_none();
    let session = known.unwrap_or_else(Session::new);
    request.extensions_mut().insert(session.clone());
    let mut response = next.run(request).await;
    if is_new {
        response.headers_mut().append(SET_COOKIE, session.cookie());
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_of_one_session_is_not_one_of_another() {
        let (one, other) = (Session::new(), Session::new());
        assert!(one.is_form_token(&one.form_token()));
        assert!(!one.is_form_token(&other.form_token()));
        assert!(!one.is_form_token(""));
    }

    #[test]
    fn the_cookie_is_out_of_reach_of_scripts_and_of_other_sites() {
        let session = Session::new();
        let cookie = session.cookie();
        let text = cookie.to_str().expect("ASCII");
        assert!(text.contains("HttpOnly") && text.contains("SameSite=Lax"), "{text}");
        let pair = text.split(';').next().expect("a pair").parse().expect("a value");
        let headers = HeaderMap::from_iter([(COOKIE, pair)]);
        assert!(Session::of(&headers) == Some(session));
    }

    #[test]
    fn a_cookie_that_is_not_ours_is_not_a_session() {
        let headers =
            HeaderMap::from_iter([(COOKIE, HeaderValue::from_static("keeptrusts_console=abc"))]);
        assert!(Session::of(&headers).is_none());
    }
}
