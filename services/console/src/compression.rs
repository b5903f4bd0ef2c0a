//! Compresses pages, styles and scripts, but nothing that shows a secret (see
//! [`confidential`](crate::confidential)). The token in a page's forms is masked anew each time
//! ([`Session::form_token`](crate::session::Session::form_token)).
//!
//! Decision: docs/decisions/pages-with-secrets-are-not-compressed.md

use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use http::{Extensions, HeaderMap, StatusCode, Version};
use tower_http::compression::CompressionLayer;
use tower_http::compression::predicate::Predicate;

const COMPRESSED: [&str; 3] = ["text/html", "text/css", "text/javascript"];

pub(crate) fn layer() -> CompressionLayer<impl Predicate> {
    CompressionLayer::new().gzip(true).compress_when(may_be_compressed)
}

fn may_be_compressed(_: StatusCode, _: Version, headers: &HeaderMap, _: &Extensions) -> bool {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let content_type = text(CONTENT_TYPE).split(';').next().unwrap_or_default();
    COMPRESSED.contains(&content_type.trim()) && !text(CACHE_CONTROL).contains("no-transform")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::confidential::NO_TRANSFORM;

    fn is_compressed(content_type: &'static str, caching: &'static str) -> bool {
        let value = http::HeaderValue::from_static;
        let headers = [(CONTENT_TYPE, value(content_type)), (CACHE_CONTROL, value(caching))];
        let headers = HeaderMap::from_iter(headers);
        may_be_compressed(StatusCode::OK, Version::HTTP_11, &headers, &Extensions::new())
    }

    #[test]
    fn pages_styles_and_scripts_are_compressed_unless_they_show_a_secret() {
        for content_type in ["text/html; charset=utf-8", "text/css", "text/javascript"] {
            assert!(is_compressed(content_type, "no-store"), "{content_type}");
            assert!(!is_compressed(content_type, NO_TRANSFORM), "{content_type}");
        }
        for content_type in ["text/event-stream", "text/plain; charset=utf-8", "text/csv", ""] {
            assert!(!is_compressed(content_type, "no-store"), "{content_type}");
        }
    }
}
