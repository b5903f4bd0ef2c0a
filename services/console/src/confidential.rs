//! Secrets in pages. A page that shows one is not compressed. The compressed length shows how often
//! a text repeats, and so reveals a secret to anybody who can put guesses into the page and watch
//! the wire (BREACH, CVE-2013-3587).
//!
//! Decision: docs/decisions/pages-with-secrets-are-not-compressed.md

use std::cell::Cell;
use std::fmt;

use askama::Template;
use axum::response::{Html, IntoResponse, Response};
use http::HeaderValue;
use http::header::{CACHE_CONTROL, CONTENT_ENCODING};
use zeroize::Zeroizing;

/// For responses that neither we nor a proxy may compress (RFC 9111 section 5.2.2.6).
pub(crate) const NO_TRANSFORM: &str = "no-store, no-transform";

thread_local! {
    /// Whether the template that this thread renders has shown a secret.
    static SHOWN: Cell<bool> = const { Cell::new(false) };
}

/// A secret that a template may show: a key, a signing secret, an address that contains one.
/// Writing it is noted, so that no page can forget to be uncompressed.
#[derive(Clone, Default)]
pub(crate) struct Confidential(Zeroizing<String>);

impl From<String> for Confidential {
    fn from(text: String) -> Confidential {
        Confidential(Zeroizing::new(text))
    }
}

impl Confidential {
    /// The text, for output that is not a page.
    pub(crate) fn expose(&self) -> &str {
        &self.0
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Display for Confidential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.0.is_empty() {
            SHOWN.set(true);
        }
        f.write_str(&self.0)
    }
}

/// Renders a page. If it shows a secret, the response has [`NO_TRANSFORM`] and a Content-Encoding
/// of none. The latter is unusual (RFC 9110 section 8.4.1 has `identity` in requests only), but
/// nginx compresses pages by default and does not heed `no-transform`.
pub(crate) fn response(page: &impl Template) -> askama::Result<Response> {
    SHOWN.set(false);
    let mut response = Html(page.render()?).into_response();
    if SHOWN.take() {
        let headers = response.headers_mut();
        headers.insert(CACHE_CONTROL, HeaderValue::from_static(NO_TRANSFORM));
        headers.insert(CONTENT_ENCODING, HeaderValue::from_static("identity"));
    }
    Ok(response)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Template)]
    #[template(
        source = "<p>{{ name }}</p>{% if !secret.is_empty() %}<b>{{ secret }}</b>{% endif %}",
        ext = "html"
    )]
    struct Shown {
        name: String,
        secret: Confidential,
    }

    #[test]
    fn a_page_that_shows_a_secret_says_so_and_no_other() {
        let page =
            |secret: &str| Shown { name: "siem".to_owned(), secret: secret.to_owned().into() };
        for (secret, is_marked) in [("whsec_1", true), ("", false), ("whsec_2", true), ("", false)]
        {
            let response = response(&page(secret)).expect("it renders");
            let caching = response.headers().get(CACHE_CONTROL);
            assert_eq!(
                caching.is_some_and(|caching| caching == NO_TRANSFORM),
                is_marked,
                "{secret}"
            );
        }
    }
}
