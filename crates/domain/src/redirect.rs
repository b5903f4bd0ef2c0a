//! The target of a receiver's redirect, in a form that may be shown.

use url::Url;

/// The part of a target that is shown, in characters.
const MAX_TARGET_CHARS: usize = 300;

/// Replaces a query.
const QUERY_NOT_SHOWN: &str = "?… (its query is not shown, because it may hold a secret)";

/// Replaces the rest of a target that is too long.
const CUT_OFF: &str = "… (the rest is not shown)";

/// The target of a redirect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RedirectTarget {
    /// Another https URL.
    Https(String),
    /// An http URL.
    NotHttps(String),
    /// The requested URL itself.
    Same,
    /// Something that is no web address.
    Unreadable,
}

impl RedirectTarget {
    /// Reads a `Location` (RFC 9110 section 10.2.2), which may be relative to the requested URL.
    ///
    /// It is the receiver's text and people see it. So it is written in the normal form of the URL
    /// Standard, which is printable ASCII, and cut to 300 characters. User name, password, query and
    /// fragment are left out, because receivers put tokens there. A note at the end says that a query
    /// or the rest is not shown.
    pub fn of(requested: &str, location: &[u8]) -> RedirectTarget {
        let location = std::str::from_utf8(location).ok();
        let base = Url::parse(requested).ok();
        let target = location.zip(base).and_then(|(location, base)| {
            let target = base.join(location.trim()).ok()?;
            let is_web = matches!(target.scheme(), "https" | "http") && target.has_host();
            is_web.then_some((base, target))
        });
        let Some((mut base, mut target)) = target else { return RedirectTarget::Unreadable };
        base.set_fragment(None);
        target.set_fragment(None);
        if base == target {
            return RedirectTarget::Same;
        }
        let has_query = target.query().is_some();
        target.set_query(None);
        // Neither fails for a URL that has a host.
        _ = target.set_username("");
        _ = target.set_password(None);
        let is_https = target.scheme() == "https";
        let mut shown = String::from(target);
        if shown.len() > MAX_TARGET_CHARS {
            shown.truncate(MAX_TARGET_CHARS);
            shown.push_str(CUT_OFF);
        } else if has_query {
            shown.push_str(QUERY_NOT_SHOWN);
        }
        match is_https {
            true => RedirectTarget::Https(shown),
            false => RedirectTarget::NotHttps(shown),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const REQUESTED: &str = "https://old.example/hooks/siem?key=1";

    fn target(location: &str) -> RedirectTarget {
        RedirectTarget::of(REQUESTED, location.as_bytes())
    }

    #[test]
    fn a_target_is_resolved_against_the_requested_url() {
        for (location, shown) in [
            ("https://new.example/hook", "https://new.example/hook"),
            ("//new.example/hook", "https://new.example/hook"),
            ("/login", "https://old.example/login"),
            ("siem/", "https://old.example/hooks/siem/"),
            (" https://NEW.example:443/ ", "https://new.example/"),
            ("https://xn--bcher-kva.example/", "https://xn--bcher-kva.example/"),
            ("https://bücher.example/ü", "https://xn--bcher-kva.example/%C3%BC"),
        ] {
            assert_eq!(target(location), RedirectTarget::Https(shown.to_owned()), "{location}");
        }
        let http = target("http://new.example/hook");
        assert_eq!(http, RedirectTarget::NotHttps("http://new.example/hook".to_owned()));
    }

    #[test]
    fn a_redirect_to_the_requested_url_is_recognised() {
        for location in [REQUESTED, "?key=1", "#top", "/hooks/siem?key=1"] {
            assert_eq!(target(location), RedirectTarget::Same, "{location}");
        }
    }

    #[test]
    fn parts_of_a_url_that_may_be_secret_are_not_shown() {
        let shown = target("https://user:pass@new.example/hook?token=geheim#geheim");
        let expected = "https://new.example/hook?… (its query is not shown, because it may hold a \
                        secret)";
        assert_eq!(shown, RedirectTarget::Https(expected.to_owned()));
    }

    #[test]
    fn a_target_that_is_cut_off_says_so() {
        let path = "x".repeat(MAX_TARGET_CHARS);
        let RedirectTarget::Https(shown) = target(&format!("/{path}?token=geheim")) else {
            panic!("it is https");
        };
        assert_eq!(shown.strip_suffix(CUT_OFF).map(str::len), Some(MAX_TARGET_CHARS), "{shown}");
    }

    #[test]
    fn a_target_that_is_no_web_address_is_not_shown() {
        for location in
            ["javascript:alert(1)", "data:text/html,x", "https://", "mailto:a@b.example"]
        {
            assert_eq!(target(location), RedirectTarget::Unreadable, "{location}");
        }
        assert_eq!(RedirectTarget::of(REQUESTED, b"/\xff"), RedirectTarget::Unreadable);
    }

    proptest! {
        #[test]
        fn whatever_a_receiver_sends_is_shown_short_and_printable(location: Vec<u8>, path in "\\PC{0,400}") {
            let path = format!("https://new.example/{path}");
            for location in [&location[..], path.as_bytes()] {
                match RedirectTarget::of(REQUESTED, location) {
                    RedirectTarget::Https(shown) | RedirectTarget::NotHttps(shown) => {
                        let url = shown.strip_suffix(QUERY_NOT_SHOWN).unwrap_or(&shown);
                        let url = url.strip_suffix(CUT_OFF).unwrap_or(url);
                        prop_assert!(url.len() <= MAX_TARGET_CHARS);
                        prop_assert!(url.chars().all(|c| c.is_ascii_graphic()));
                    }
                    RedirectTarget::Same | RedirectTarget::Unreadable => {}
                }
            }
        }
    }
}
