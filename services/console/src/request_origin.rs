//! Whether a form comes from the console itself. The browser says so in the headers Origin and
//! Sec-Fetch-Site, which no page can set (Fetch, sections 3.2 and 5; Fetch Metadata). The token in
//! the form is the other check; this one holds even if a token has leaked.
//!
//! `Host` says little: a proxy passes on what it likes, nginx by default the address of the console
//! behind it. So `--console-public-url` counts, if it is given.
//!
//! Decision: docs/decisions/two-checks-against-forged-requests.md

use std::net::IpAddr;

use http::header::{HOST, ORIGIN};
use http::uri::{Authority, Uri};
use http::{HeaderMap, HeaderName};

use crate::public_url::PublicUrl;

const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
/// Limit for headers from outside in pages and logs.
const MAX_SHOWN_CHARS: usize = 200;

/// Why a request is not from the console.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ForeignRequest {
    /// The browser says that it comes from another site (`cross-site`, `same-site`).
    Site(String),
    /// It comes from a page at this origin, which is not the console's.
    Origin(String),
}

/// Checks the headers of a request that may change something.
pub(crate) fn check(
    headers: &HeaderMap,
    public_url: Option<&PublicUrl>,
) -> Result<(), ForeignRequest> {
    let site = text(headers, SEC_FETCH_SITE);
    if !matches!(site, "same-origin" | "none" | "") {
        return Err(ForeignRequest::Site(shown(site)));
    }
    let is_same = site == "same-origin";
    match text(headers, ORIGIN) {
        // Not a browser, or one that sends neither header.
        "" => Ok(()),
        // With `Referrer-Policy: no-referrer`, which proxies like to add, Origin is null. The
        // browser still says that the page has the origin that it sends to.
        "null" if is_same => Ok(()),
        origin => {
            let is_own = is_local(origin, text(headers, HOST))
                || match public_url {
                    Some(url) => url.is_origin(origin),
                    // The host has been checked: it is this machine.
                    None => is_same || is_of_host(origin, text(headers, HOST)),
                };
            if is_own { Ok(()) } else { Err(ForeignRequest::Origin(shown(origin))) }
        }
    }
}

/// Whether a host is this machine's own name. A page of another site whose name was made to resolve
/// to 127.0.0.1 (DNS rebinding) has the console's origin as far as a browser can show_outcome. Its name
/// gives it away.
pub(crate) fn is_this_machine(host: &str) -> bool {
    let Ok(authority) = host.parse::<Authority>() else { return false };
    let name = authority.host().trim_start_matches('[').trim_end_matches(']');
    name.eq_ignore_ascii_case("localhost")
        || name.parse().is_ok_and(|address: IpAddr| address.is_loopback())
}

/// Whether a proxy has terminated TLS before the console, as far as that can be told: the proxy
/// says so, or the browser's page is at https:// although we speak plain HTTP.
pub(crate) fn came_over_tls(headers: &HeaderMap) -> bool {
    text(headers, X_FORWARDED_PROTO).eq_ignore_ascii_case("https")
        || text(headers, ORIGIN).starts_with("https://")
}

/// The Host header, fit for pages and logs.
pub(crate) fn shown_host(headers: &HeaderMap) -> String {
    shown(text(headers, HOST))
}

/// Whether the request was sent to this machine directly, not through the proxy.
fn is_local(origin: &str, host: &str) -> bool {
    is_this_machine(host) && is_of_host(origin, host)
}

/// Ignores the scheme: TLS may have been terminated before.
fn is_of_host(origin: &str, host: &str) -> bool {
    let Ok(uri) = origin.parse::<Uri>() else { return false };
    matches!(uri.scheme_str(), Some("http" | "https"))
        && uri.authority().is_some_and(|authority| authority.as_str().eq_ignore_ascii_case(host))
}

fn text(headers: &HeaderMap, name: HeaderName) -> &str {
    headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
}

fn shown(text: &str) -> String {
    text.chars().take(MAX_SHOWN_CHARS).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const PUBLIC: &str = "https://hooks.example.com";

    fn judged(
        public_url: Option<&str>,
        pairs: &[(HeaderName, &str)],
    ) -> Result<(), ForeignRequest> {
        let pairs = pairs.iter().map(|(name, value)| (name.clone(), value.parse().expect("ASCII")));
        let public_url = public_url.map(|url| url.parse().expect("a URL"));
        check(&HeaderMap::from_iter(pairs), public_url.as_ref())
    }

    #[test]
    fn behind_a_proxy_the_public_url_is_the_origin_whatever_host_is_passed_on() {
        for host in ["hooks.example.com", "127.0.0.1:8080", "console:8080", "evil.example"] {
            for site in [None, Some("same-origin")] {
                let judged = |origin| {
                    let mut pairs = vec![(HOST, host), (ORIGIN, origin)];
                    pairs.extend(site.map(|site| (SEC_FETCH_SITE, site)));
                    judged(Some(PUBLIC), &pairs)
                };
                assert_eq!(judged(PUBLIC), Ok(()), "{host} {site:?}");
                assert_eq!(judged("https://HOOKS.example.com"), Ok(()), "{host} {site:?}");
                for origin in [
                    "https://evil.example",
                    "http://evil.example",
                    "http://hooks.example.com",
                    "https://hooks.example.com:8443",
                    "https://hooks.example.com.evil.example",
                    "https://evil.hooks.example.com",
                    "https://evilhooks.example.com",
                ] {
                    let foreign = Err(ForeignRequest::Origin(origin.to_owned()));
                    assert_eq!(judged(origin), foreign, "{host} {site:?}");
                }
            }
        }
    }

    #[test]
    fn a_page_of_another_site_is_foreign_whatever_its_origin() {
        for public_url in [None, Some(PUBLIC)] {
            for site in ["cross-site", "same-site"] {
                let pairs = [(HOST, "localhost:1"), (ORIGIN, PUBLIC), (SEC_FETCH_SITE, site)];
                let foreign = Err(ForeignRequest::Site(site.to_owned()));
                assert_eq!(judged(public_url, &pairs), foreign);
            }
        }
    }

    #[test]
    fn without_sec_fetch_site_the_origin_must_be_the_host_asked_for() {
        let local = "http://127.0.0.1:8080";
        for public_url in [None, Some(PUBLIC)] {
            assert_eq!(judged(public_url, &[(HOST, "127.0.0.1:8080"), (ORIGIN, local)]), Ok(()));
            for origin in ["http://127.0.0.1:9090", "http://localhost:8080", "null"] {
                let judged = judged(public_url, &[(HOST, "127.0.0.1:8080"), (ORIGIN, origin)]);
                assert_eq!(judged, Err(ForeignRequest::Origin(origin.to_owned())));
            }
        }
    }

    #[test]
    fn a_hidden_origin_is_checked_by_the_other_headers() {
        for public_url in [None, Some(PUBLIC)] {
            assert_eq!(judged(public_url, &[(HOST, "localhost")]), Ok(()), "not a browser");
            let hidden = [(HOST, "x"), (ORIGIN, "null"), (SEC_FETCH_SITE, "same-origin")];
            assert_eq!(judged(public_url, &hidden), Ok(()), "Referrer-Policy: no-referrer");
        }
    }

    #[test]
    fn a_proxy_before_us_is_known_by_what_it_says_and_by_what_browsers_say() {
        let came = |name: HeaderName, value: &str| {
            came_over_tls(&HeaderMap::from_iter([(name, value.parse().expect("ASCII"))]))
        };
        assert!(came(X_FORWARDED_PROTO, "https") && came(ORIGIN, PUBLIC));
        assert!(!came(X_FORWARDED_PROTO, "http") && !came(ORIGIN, "http://127.0.0.1:8080"));
        assert!(!came(ORIGIN, "null") && !came_over_tls(&HeaderMap::new()));
    }

    #[test]
    fn names_of_other_machines_are_recognized() {
        for host in ["localhost", "localhost:8080", "127.0.0.1:8080", "[::1]:8080", "LocalHost"] {
            assert!(is_this_machine(host), "{host}");
        }
        for host in ["attacker.example", "attacker.example:8080", "localhost.attacker.example", ""]
        {
            assert!(!is_this_machine(host), "{host}");
        }
    }
}
