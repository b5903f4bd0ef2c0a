//! What a URL tells us to connect to.

use std::net::IpAddr;

use http::Uri;
use http::uri::Scheme;

use crate::failure::SendFailure;

/// The port of `https` (RFC 9110 section 4.2.2).
const DEFAULT_PORT: u16 = 443;

/// Whom to connect to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Host<'a> {
    Address(IpAddr),
    Name(&'a str),
}

/// A host and a port, read from an https URL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Target<'a> {
    pub(crate) host: Host<'a>,
    pub(crate) port: u16,
}

impl<'a> Target<'a> {
    /// Reads the target of an absolute https URL.
    pub(crate) fn of(url: &'a Uri) -> Result<Self, SendFailure> {
        if url.scheme() != Some(&Scheme::HTTPS) {
            return Err(SendFailure::NotHttps);
        }
        let unusable = |reason| SendFailure::UnusableUrl { reason };
        let authority = url.authority().ok_or(unusable("it has no host"))?;
        // HTTP/2 would send the credentials along in `:authority`, where RFC 9113 section 8.3.1
        // forbids them.
        if authority.as_str().contains('@') {
            return Err(unusable("it contains a user name or password"));
        }
        Ok(Self {
            host: host(authority.host()).map_err(unusable)?,
            port: port(authority).map_err(unusable)?,
        })
    }
}

fn host(host: &str) -> Result<Host<'_>, &'static str> {
    if host.is_empty() {
        return Err("it has no host");
    }
    if let Some(literal) = host.strip_prefix('[').and_then(|h| h.strip_suffix(']')) {
        return match literal.parse() {
            Ok(address) => Ok(Host::Address(IpAddr::V6(address))),
            Err(_) => Err("its host is not an IPv6 address"),
        };
    }
    // Only the dotted form with four decimal numbers is an address here. Other spellings that
    // some systems accept (`127.1`, `0x7f000001`) are looked up as names, and not found.
    match host.parse() {
        Ok(address) => Ok(Host::Address(IpAddr::V4(address))),
        Err(_) => Ok(Host::Name(host)),
    }
}

fn port(authority: &http::uri::Authority) -> Result<u16, &'static str> {
    let after_host = authority.as_str().strip_prefix(authority.host());
    match after_host.and_then(|rest| rest.strip_prefix(':')) {
        // RFC 3986 section 3.2.3 allows an empty port.
        None | Some("") => Ok(DEFAULT_PORT),
        Some(digits) => match digits.parse() {
            Ok(0) | Err(_) => Err("its port is not a number from 1 to 65535"),
            Ok(port) => Ok(port),
        },
    }
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, Ipv6Addr};

    use super::*;

    fn target(url: &str) -> Result<(String, u16), SendFailure> {
        let url: Uri = url.parse().expect("a URI");
        Target::of(&url).map(|target| (format!("{:?}", target.host), target.port))
    }

    fn address(address: impl Into<IpAddr>) -> String {
        format!("{:?}", Host::Address(address.into()))
    }

    #[test]
    fn hosts_are_names_or_address_literals() {
        let name = |name| format!("{:?}", Host::Name(name));
        let cases = [
            ("https://a.example/", name("a.example"), 443),
            ("https://a.example:8443/hook?x=1", name("a.example"), 8443),
            ("https://a.example:/", name("a.example"), 443),
            ("https://192.0.2.7/", address(Ipv4Addr::new(192, 0, 2, 7)), 443),
            ("https://[::1]:9443/", address(Ipv6Addr::LOCALHOST), 9443),
            ("https://127.1/", name("127.1"), 443),
            ("https://0x7f000001/", name("0x7f000001"), 443),
            ("https://2130706433/", name("2130706433"), 443),
        ];
        for (url, host, port) in cases {
            assert_eq!(target(url), Ok((host, port)), "{url}");
        }
    }

    #[test]
    fn only_https_urls_have_a_target() {
        for url in ["http://a.example/", "ftp://a.example/", "/hook"] {
            assert_eq!(target(url), Err(SendFailure::NotHttps), "{url}");
        }
    }

    #[test]
    fn urls_that_cannot_be_used_say_why() {
        let cases = [
            ("https://user:secret@a.example/", "it contains a user name or password"),
            ("https://a.example:0/", "its port is not a number from 1 to 65535"),
            ("https://[v1.fe80]/", "its host is not an IPv6 address"),
        ];
        for (url, reason) in cases {
            assert_eq!(target(url), Err(SendFailure::UnusableUrl { reason }), "{url}");
        }
    }
}
