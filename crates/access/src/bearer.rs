//! Reads the token of a request: the metadata `authorization: Bearer …` (RFC 6750 section 2.1).

use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderValue};
use keeptrusts_webhooks_domain::key::{TOKEN_PREFIX, Token};

use crate::limits::MAX_TOKEN_BYTES;

/// The credential in a request.
pub(crate) enum Bearer<'a> {
    /// The token of a key or of a session.
    Key(Token),
    /// A text that looks like a JSON Web Token.
    WebToken(&'a str),
    Unreadable(Unreadable),
    Missing,
}

/// Why a request's credential is not a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Unreadable {
    #[error("there are several headers `authorization`, wanted is one")]
    Several,
    #[error("the header `authorization` is not `Bearer` and a token")]
    NotBearer,
    #[error(
        "the token is longer than {MAX_TOKEN_BYTES} bytes: have the issuer put fewer claims into it"
    )]
    TooLong,
    #[error(
        "the token begins like a key's, wanted is {TOKEN_PREFIX} and 64 hex digits in lower case"
    )]
    NoKey,
    #[error("the token is neither a key's ({TOKEN_PREFIX}…) nor a JSON Web Token (three parts)")]
    NoToken,
}

/// The token of a request. Several headers are [`Unreadable`].
pub(crate) fn bearer(headers: &HeaderMap) -> Bearer<'_> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let Some(value) = values.next() else { return Bearer::Missing };
    let read = match values.next() {
        Some(_) => Err(Unreadable::Several),
        None => token_in(value),
    };
    match read {
        Ok(token) if token.starts_with(TOKEN_PREFIX) => {
            token.parse().map_or(Bearer::Unreadable(Unreadable::NoKey), Bearer::Key)
        }
        Ok(token) if token.split('.').count() == 3 => Bearer::WebToken(token),
        Ok(_) => Bearer::Unreadable(Unreadable::NoToken),
        Err(unreadable) => Bearer::Unreadable(unreadable),
    }
}

fn token_in(value: &HeaderValue) -> Result<&str, Unreadable> {
    let text = value.to_str().map_err(|_| Unreadable::NotBearer)?;
    let (scheme, token) = text.split_once(' ').ok_or(Unreadable::NotBearer)?;
    let token = token.trim_matches(' ');
    if !scheme.eq_ignore_ascii_case("bearer") {
        return Err(Unreadable::NotBearer);
    }
    if token.len() > MAX_TOKEN_BYTES { Err(Unreadable::TooLong) } else { Ok(token) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(values: &[&str]) -> &'static str {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(AUTHORIZATION, value.parse().expect("a value"));
        }
        match bearer(&headers) {
            Bearer::Key(_) => "key",
            Bearer::WebToken(_) => "web token",
            Bearer::Unreadable(_) => "unreadable",
            Bearer::Missing => "missing",
        }
    }

    #[test]
    fn the_token_follows_the_word_bearer_in_a_single_header() {
        let key = format!("kt_{}", "0".repeat(64));
        assert_eq!(kind(&[]), "missing");
        assert_eq!(kind(&[&format!("Bearer {key}")]), "key");
        assert_eq!(kind(&[&format!("bearer  {key} ")]), "key");
        assert_eq!(kind(&["Bearer a.b.c"]), "web token");
        assert_eq!(kind(&[&format!("Bearer {key}"), &format!("Bearer {key}")]), "unreadable");
        let long = format!("Bearer a.b.{}", "c".repeat(MAX_TOKEN_BYTES));
        for wrong in [&key, "Basic a.b.c", "Bearer", "Bearer ", "Bearer kt_1", "Bearer a.b", &long]
        {
            assert_eq!(kind(&[wrong]), "unreadable", "{wrong}");
        }
    }
}
