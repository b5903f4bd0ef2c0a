//! What somebody lets us send along, such as PagerDuty's routing key, belongs to the server that it
//! was given for. Whoever may change a URL must not learn by that what no answer shows: it would be
//! enough to name a server of one's own.

use url::Url;

/// A stored credential would go to another server than the one that it was given for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "must be given again: the current one is for the server of before (its scheme, host, port or region), and no other is sent it"
)]
pub struct CredentialRequired;

/// Refuses to take a stored credential from the server at one URL to that at another. Both are one
/// server if they have the same scheme, host and port (an origin, RFC 6454 section 4); path and
/// query may differ.
pub fn check_same_server(current: &str, new: &str) -> Result<(), CredentialRequired> {
    let origin = |url: &str| Url::parse(url).ok().map(|url| url.origin());
    // An origin of a scheme without servers is equal to none, not even to itself.
    match current == new || origin(current).is_some_and(|here| origin(new) == Some(here)) {
        true => Ok(()),
        false => Err(CredentialRequired),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_credential_stays_with_scheme_host_and_port() {
        let current = "https://events.example/v2/enqueue";
        for same in [
            current,
            "https://events.example/",
            "https://events.example:443/v2/enqueue?x=y",
            "https://EVENTS.example/other",
        ] {
            assert_eq!(check_same_server(current, same), Ok(()), "{same}");
        }
        for other in [
            "https://events.example:8443/v2/enqueue",
            "http://events.example/v2/enqueue",
            "https://events.example.evil.example/v2/enqueue",
            "https://eu.events.example/v2/enqueue",
            "https://events.example./v2/enqueue",
            "https://events.example@evil.example/",
            "events.example",
            "",
        ] {
            assert_eq!(check_same_server(current, other), Err(CredentialRequired), "{other}");
            assert_eq!(check_same_server(other, current), Err(CredentialRequired), "{other}");
        }
        let (one, other) = ("mailto:a@events.example", "mailto:b@events.example");
        assert_eq!(check_same_server(one, other), Err(CredentialRequired));
    }
}
