//! Stored credentials stay with their server. A credential that is sent along, such as PagerDuty's
//! routing key, was given for one server. Without this check, a user who may change a URL could name
//! a server of their own and receive a credential that no response shows.

use url::Url;

/// The refusal to send a stored credential to another server than the one that it was given for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "must be given again: the current one is for the server of before (its scheme, host, port or region), and no other is sent it"
)]
pub struct CredentialRequired;

/// Refuses to take a stored credential from the server at one URL to the server at another. Two URLs
/// are of the same server if scheme, host and port are equal (an origin, RFC 6454 section 4); path
/// and query may differ.
pub fn check_same_server(current: &str, new: &str) -> Result<(), CredentialRequired> {
    let origin = |url: &str| Url::parse(url).ok().map(|url| url.origin());
    // The origin of a scheme without servers (mailto:) equals no origin, not even itself.
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
