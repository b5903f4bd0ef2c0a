//! Explains a receiver's response to the people who run that receiver. Pure.

use http::header::{CONTENT_ENCODING, LOCATION};
use http::{HeaderMap, StatusCode};
use keeptrusts_webhooks_domain::content_encoding::ContentEncoding;
use keeptrusts_webhooks_domain::redirect::RedirectTarget;

/// A status for people: `503 Service Unavailable`, or its number if it has no name.
pub(crate) fn status_text(status: StatusCode) -> String {
    match status.canonical_reason() {
        Some(name) => format!("{} {name}", status.as_u16()),
        None => status.as_u16().to_string(),
    }
}

/// Why a response that is not 2xx has not delivered what was sent to `url`.
pub(crate) fn failure_text(status: StatusCode, headers: &HeaderMap, url: &str) -> String {
    let answered = format!("the receiver answered {}", status_text(status));
    if status == StatusCode::NOT_MODIFIED {
        return format!(
            "{answered}, which does not say that the event was accepted: it should answer 2xx"
        );
    }
    if !status.is_redirection() {
        return answered;
    }
    let Some(location) = headers.get(LOCATION) else {
        return format!(
            "{answered}; redirects are not followed, and this one does not say where to: enter the URL that answers itself"
        );
    };
    match RedirectTarget::of(url, location.as_bytes()) {
        RedirectTarget::Https(new) => {
            format!("{answered}; redirects are not followed: enter the new URL, {new}")
        }
        RedirectTarget::NotHttps(new) => format!(
            "{answered}; redirects are not followed, and {new} is not https: enter the receiver's https URL"
        ),
        RedirectTarget::Same => format!(
            "{answered}; redirects are not followed, and this one leads to the same URL: the receiver should answer 2xx itself"
        ),
        RedirectTarget::Unreadable => format!(
            "{answered}; redirects are not followed, and where this one leads to is no web address: enter the URL that answers itself"
        ),
    }
}

/// The remark on a response that asks us to wait, in a form that cannot be read. The header is
/// recorded.
pub(crate) const UNREADABLE_RETRY_AFTER: &str = "the answer's Retry-After could not be read, and was not followed: it is neither seconds nor a date of HTTP";

/// What is unusual about the form of a response.
pub(crate) fn remark(headers: &HeaderMap, body: &[u8]) -> Option<String> {
    let encoded = headers.get_all(CONTENT_ENCODING);
    let encoding = ContentEncoding::of(encoded.iter().map(|value| value.as_bytes()))?;
    (!body.is_empty()).then(|| {
        format!(
            "the answer's body is encoded ({encoding}), which nobody asked for, and is not shown"
        )
    })
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    const URL: &str = "https://old.example/hook";

    fn refused(status: u16, location: Option<&'static str>) -> String {
        let mut headers = HeaderMap::new();
        if let Some(location) = location {
            headers.insert(LOCATION, HeaderValue::from_static(location));
        }
        failure_text(StatusCode::from_u16(status).expect("a status"), &headers, URL)
    }

    #[test]
    fn a_redirect_is_not_followed_and_its_target_is_shown() {
        for status in [300, 301, 302, 303, 307, 308] {
            let text = refused(status, Some("/new"));
            let end = "; redirects are not followed: enter the new URL, https://old.example/new";
            assert!(text.starts_with(&format!("the receiver answered {status} ")), "{text}");
            assert!(text.ends_with(end), "{text}");
        }
        let text = refused(302, Some("http://old.example/hook"));
        assert!(text.contains("http://old.example/hook is not https"), "{text}");
        assert!(refused(302, Some("/hook")).contains("the same URL"));
        assert!(refused(302, Some("javascript:alert(1)")).contains("no web address"));
        assert!(refused(302, None).contains("does not say where to"));
    }

    #[test]
    fn not_modified_is_no_redirect_and_an_error_is_only_an_error() {
        let text = refused(304, Some("/new"));
        assert!(!text.contains("redirect") && text.contains("it should answer 2xx"), "{text}");
        assert_eq!(refused(500, Some("/new")), "the receiver answered 500 Internal Server Error");
        assert_eq!(refused(599, None), "the receiver answered 599");
    }

    #[test]
    fn an_encoded_response_gets_a_remark() {
        let mut headers = HeaderMap::new();
        assert_eq!(remark(&headers, b"ok"), None);
        headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        assert_eq!(remark(&headers, b""), None, "there is nothing to show");
        let text = remark(&headers, b"\x1f\x8b").expect("a remark");
        assert!(text.contains("encoded (gzip)"), "{text}");
    }
}
