//! The token of a request: the metadata `authorization: Bearer …` (RFC 6750 section 2.1).

use http::HeaderMap;
use http::header::AUTHORIZATION;
use keeptrusts_webhooks_domain::key::{TOKEN_PREFIX, Token};

use crate::limits::MAX_TOKEN_BYTES;

/// What a request shows.
pub(crate) enum Bearer<'a> {
    /// The token of a key or of a session.
    Key(Token),
    /// What looks like a JSON Web Token.
    WebToken(&'a str),
    /// Something that is neither.
    Unreadable,
    /// Nothing.
    Missing,
}

/// The token of a request. Several are as good as none that can be read.
pub(crate) fn bearer(headers: &HeaderMap) -> Bearer<'_> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let Some(value) = values.next() else { return Bearer::Missing };
    let text = value.to_str().ok().filter(|_| values.next().is_none());
    let token = text.and_then(|text| {
        let (scheme, token) = text.split_once(' ')?;
        let token = token.trim_matches(' ');
        let is_bearer = scheme.eq_ignore_ascii_case("bearer");
        (is_bearer && token.len() <= MAX_TOKEN_BYTES).then_some(token)
    });
    match token {
        Some(token) if token.starts_with(TOKEN_PREFIX) => {
            token.parse().map_or(Bearer::Unreadable, Bearer::Key)
        }
        Some(token) if token.split('.').count() == 3 => Bearer::WebToken(token),
        _ => Bearer::Unreadable,
    }
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
            Bearer::Unreadable => "unreadable",
            Bearer::Missing => "missing",
        }
    }

    #[test]
    fn a_token_stands_behind_the_word_bearer_and_there_is_only_one() {
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
