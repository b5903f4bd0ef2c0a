//! The path to return to after signing in: a page of this console, never another site (an open
//! redirect).

use crate::view::paging::address;

/// The default, when no particular page was asked for.
const START: &str = "/webhooks";
/// Our addresses are shorter.
const MAX_BYTES: usize = 2_048;

/// The address of a sign-in page that leads on to `next`.
pub(crate) fn sign_in_address(next: &str) -> String {
    let next = local_path(next);
    address("/sign-in", [("next", next)].into_iter().filter(|(_, next)| *next != START))
}

/// `next` if it is a path of this console, otherwise the default.
///
/// Browsers take `\` for `/`, and ignore tabs and line ends (WHATWG URL, section 4.4), so only a
/// plain path is accepted.
pub(crate) fn local_path(next: &str) -> &str {
    let is_plain = next.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'\\');
    let is_path = next.starts_with('/') && !next.starts_with("//");
    let is_page = !next.starts_with("/sign-") && next != "/";
    match is_plain && is_path && is_page && next.len() <= MAX_BYTES {
        true => next,
        false => START,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_pages_of_this_console_are_returned_to() {
        for path in ["/events", "/webhooks/ep_1?window=7d", "/audit?actor=key_1&page=a%2Fb"] {
            assert_eq!(local_path(path), path);
        }
        for other in [
            "",
            "/",
            "events",
            "//evil.example",
            "/\\evil.example",
            "\\\\evil.example",
            "https://evil.example/",
            "/\t/evil.example",
            "/\n/evil.example",
            "javascript:alert(1)",
            "/sign-in?next=/sign-in",
            "/sign-out",
            "/é",
        ] {
            assert_eq!(local_path(other), START, "{other:?}");
        }
        assert_eq!(local_path(&format!("/{}", "a".repeat(MAX_BYTES))), START);
    }

    #[test]
    fn the_sign_in_page_keeps_the_return_path() {
        assert_eq!(sign_in_address("/events?page=2"), "/sign-in?next=%2Fevents%3Fpage%3D2");
        assert_eq!(sign_in_address("/webhooks"), "/sign-in");
        assert_eq!(sign_in_address("//evil.example"), "/sign-in");
    }
}
