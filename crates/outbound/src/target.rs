//! The host and port of an https URL.

use std::net::IpAddr;

use http::Uri;
use http::uri::Scheme;

use crate::failure::SendFailure;

/// The port of `https` (RFC 9110 section 4.2.2).
pub(crate) const DEFAULT_PORT: u16 = 443;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Host<'a> {
    Address(IpAddr),
    Name(&'a str),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Target<'a> {
    pub(crate) host: Host<'a>,
    pub(crate) port: u16,
}

impl<'a> Target<'a> {
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
    if let Ok(address) = host.parse() {
        return Ok(Host::Address(IpAddr::V4(address)));
    }
    // Only four decimal numbers are an address here. Other spellings (`127.1`, `0x7f000001`,
    // `127.0.0.1.`) are rewritten where the URL is accepted. If one gets here, two parsers read it
    // in two ways, so it is refused.
    if ends_in_a_number(host) {
        return Err("its host is a number that is not an IPv4 address as 192.0.2.1 is");
    }
    match is_host_name(host) {
        true => Ok(Host::Name(host)),
        false => Err("its host is not a valid name"),
    }
}

/// Whether some parser may read the host as an IPv4 address (the URL Standard's "ends in a number
/// checker"). No top-level domain looks like that (RFC 3696 section 2).
fn ends_in_a_number(host: &str) -> bool {
    let host = host.strip_suffix('.').unwrap_or(host);
    let last_label = host.rsplit('.').next().unwrap_or(host);
    let is_decimal = last_label.bytes().all(|byte| byte.is_ascii_digit());
    let hex_digits = last_label.strip_prefix("0x").or_else(|| last_label.strip_prefix("0X"));
    let is_hex = hex_digits.is_some_and(|digits| digits.bytes().all(|b| b.is_ascii_hexdigit()));
    !last_label.is_empty() && is_decimal || is_hex
}

/// Whether DNS could have the name: labels of letters, digits, hyphens and, as is common, the
/// underscore, with the lengths of RFC 1035 section 2.3.4. A name in other scripts is converted to
/// this form where the URL is accepted.
fn is_host_name(host: &str) -> bool {
    let host = host.strip_suffix('.').unwrap_or(host);
    host.len() <= 253
        && host.split('.').all(|label| {
            (1..=63).contains(&label.len())
                && label.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
        })
}

fn port(authority: &http::uri::Authority) -> Result<u16, &'static str> {
    let after_host = authority.as_str().strip_prefix(authority.host()).unwrap_or_default();
    // RFC 3986 section 3.2.3 allows an empty port. The http crate also accepts what is neither empty
    // nor a port (`[::1]x`).
    if matches!(after_host, "" | ":") {
        return Ok(DEFAULT_PORT);
    }
    match after_host.strip_prefix(':').map(str::parse) {
        Some(Ok(port)) if port != 0 => Ok(port),
        _ => Err("its port is not a number from 1 to 65535"),
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
            ("https://A_b.xn--bcher-kva.example./", name("A_b.xn--bcher-kva.example."), 443),
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
            ("https://[fe80::1%25eth0]/", "its host is not an IPv6 address"),
            ("https://[::1]x/", "its port is not a number from 1 to 65535"),
            ("https://a..example/", "its host is not a valid name"),
            ("https://a!.example/", "its host is not a valid name"),
        ];
        for (url, reason) in cases {
            assert_eq!(target(url), Err(SendFailure::UnusableUrl { reason }), "{url}");
        }
    }

    #[test]
    fn numbers_that_some_parser_takes_for_an_address_are_neither_address_nor_name() {
        let reason = "its host is a number that is not an IPv4 address as 192.0.2.1 is";
        for host in [
            "127.1",
            "127.0.0.1.",
            "127.0.0.1.1",
            "0127.0.0.1",
            "256.0.0.1",
            "0x7f000001",
            "0x7F.0.0.1",
            "127.0.0.0x1",
            "0x",
            "2130706433",
            "017700000001",
            "a.example.1",
        ] {
            let url = format!("https://{host}/");
            assert_eq!(target(&url), Err(SendFailure::UnusableUrl { reason }), "{host}");
        }
    }
}
