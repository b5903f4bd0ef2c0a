//! The address of a server.

use std::net::IpAddr;

use tonic::transport::Uri;

/// Where the server is, and whether the way there is encrypted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Address {
    pub(crate) uri: Uri,
    pub(crate) is_tls: bool,
    /// Whether nothing leaves this machine.
    pub(crate) is_loopback: bool,
}

impl Address {
    /// Reads `https://HOST[:PORT]` or `http://HOST[:PORT]`. The error says what is wrong.
    pub(crate) fn parse(text: &str) -> Result<Address, &'static str> {
        let uri: Uri = text.parse().map_err(|_| "it is no URL")?;
        let is_tls = match uri.scheme_str() {
            Some("https") => true,
            Some("http") => false,
            _ => return Err("it must begin with https:// or http://"),
        };
        let authority = uri.authority().ok_or("it has no host")?;
        if authority.as_str().contains('@') {
            return Err("it must have no user name; give the key by itself");
        }
        if uri.path_and_query().is_some_and(|rest| rest.as_str() != "/") {
            return Err("it must have no path and no query");
        }
        let host = authority.host();
        let address = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
        let is_loopback = match address {
            Ok(address) => address.to_canonical().is_loopback(),
            // RFC 6761 section 6.3.
            Err(_) => host.eq_ignore_ascii_case("localhost"),
        };
        Ok(Address { uri, is_tls, is_loopback })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_a_scheme_a_host_and_nothing_behind() {
        for (text, is_tls, is_loopback) in [
            ("https://webhooks.example.com", true, false),
            ("https://webhooks.example.com:50051/", true, false),
            ("http://127.0.0.1:50051", false, true),
            ("http://127.8.8.8", false, true),
            ("http://[::1]:50051", false, true),
            ("http://[::ffff:127.0.0.1]:50051", false, true),
            ("http://LOCALHOST:50051", false, true),
            ("http://localhost.example.com", false, false),
            ("http://10.0.0.1:50051", false, false),
            ("http://[::]:50051", false, false),
        ] {
            let address = Address::parse(text).expect(text);
            assert_eq!((address.is_tls, address.is_loopback), (is_tls, is_loopback), "{text}");
        }
        for wrong in [
            "",
            "webhooks.example.com:50051",
            "/path",
            "ftp://example.com",
            "https://",
            "https://user:password@example.com",
            "https://example.com/v1",
            "https://example.com/?a=b",
            "https://exam ple.com",
        ] {
            assert!(Address::parse(wrong).is_err(), "{wrong:?}");
        }
    }
}
