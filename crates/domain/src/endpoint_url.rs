//! Checks an endpoint's URL and writes it in its normal form.
//!
//! A URL is parsed twice: here by the rules of the URL Standard, and when it is requested by those of
//! RFC 3986. A URL that the two parse differently could pass the check with one host and be requested
//! from another. So the normal form is stored, which both parse alike: the host is an ASCII name or an
//! address in its usual notation, and there is no user name, no control character and no backslash. A
//! name in another script is stored in its ASCII form (`xn--…`, RFC 5891), so that it cannot pass for
//! the Latin name that it resembles.
//!
//! Whether the host may be connected to is not decided here. That depends on the networks and ports
//! that the operator allows the sending process, and on the addresses that the name resolves to at
//! that moment.
//!
//! Decision: docs/decisions/addresses-are-checked-at-connect-time.md

use url::{Host, Url};

use crate::limits::MAX_URL_BYTES;
use crate::violation::Violation;

/// Checks a receiver's URL and writes it in its normal form (the WHATWG URL Standard's).
///
/// It must be https, have an IP address or a host name that is valid in DNS, and have no user name or
/// password. In the normal form a name in another script is in punycode, an IPv4 address has four
/// decimal numbers, and there is no fragment.
pub fn check_url(field: &str, url: &str) -> Result<String, Violation> {
    let violation = |description: String| Violation::invalid_format(field, description);
    let too_long = |length| {
        let description = format!("is {length} bytes; it may be at most {MAX_URL_BYTES}");
        Violation::too_long(field, description)
    };
    if url.len() > MAX_URL_BYTES {
        return Err(too_long(url.len()));
    }
    let url = url.trim();
    if url.is_empty() {
        return Err(Violation::required(field, "is required: the https address of the receiver"));
    }
    // The URL Standard drops tabs and line ends, and reads `\` as `/`. RFC 3986 does neither.
    if url.chars().any(|c| c.is_control() || c == '\\') {
        return Err(violation(
            "must not contain a backslash, a line end or another control character".to_owned(),
        ));
    }
    let mut parsed = Url::parse(url)
        .map_err(|error| violation(format!("is not a URL ({error}); write https://host/path")))?;
    match parsed.scheme() {
        "https" => {}
        "http" => {
            return Err(violation(
                "must begin with https://: plain HTTP would send event data in cleartext"
                    .to_owned(),
            ));
        }
        scheme => return Err(violation(format!("has the scheme {scheme}; it must be https"))),
    }
    // The URL Standard reads `path` in `https:///path` as the host, which nobody means.
    let authority = url.split_once(':').and_then(|(_, rest)| rest.strip_prefix("//"));
    let host = parsed.host();
    let (Some(authority), Some(host)) = (authority.filter(|rest| !rest.starts_with('/')), host)
    else {
        return Err(violation("has no host; write https://host/path".to_owned()));
    };
    // An empty user name has no use but to make the host look like another one.
    let authority = authority.split(['/', '?', '#']).next().unwrap_or_default();
    if authority.contains('@') {
        return Err(violation(
            "must not contain a user name or password: receivers verify the signature instead"
                .to_owned(),
        ));
    }
    if matches!(host, Host::Domain(name) if !is_host_name(name)) {
        return Err(violation(
            "has a host that is not a name of letters, digits and hyphens; write https://host/path"
                .to_owned(),
        ));
    }
    if parsed.port() == Some(0) {
        return Err(violation("has the port 0; it must be one from 1 to 65535".to_owned()));
    }
    // A fragment is never sent to a server (RFC 9110 section 4.1).
    parsed.set_fragment(None);
    let normal = String::from(parsed);
    if normal.len() > MAX_URL_BYTES {
        return Err(too_long(normal.len()));
    }
    Ok(normal)
}

/// Whether a name in its ASCII form is valid in DNS: the lengths of RFC 1035 section 2.3.4, with
/// letters, digits, hyphens and, because it is common, underscores. The URL Standard accepts much more
/// as a name (`a!b`, `a..b`).
fn is_host_name(name: &str) -> bool {
    let name = name.strip_suffix('.').unwrap_or(name);
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
    };
    name.len() <= 253 && name.split('.').all(is_label)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn normal(url: &str) -> Result<String, String> {
        check_url("url", url).map_err(|violation| violation.description)
    }

    #[test]
    fn urls_are_https_with_a_host_and_without_credentials() {
        for right in ["https://a.example", "https://a.example:8443/x?y=1", "https://[2001:db8::1]/"]
        {
            assert!(check_url("url", right).is_ok(), "{right}");
        }
        let too_long = format!("https://a.example/{}", "x".repeat(MAX_URL_BYTES));
        for wrong in [
            "",
            "a.example",
            "http://a.example",
            "https://",
            "https:///path",
            "https:a.example",
            "ftp://a.example",
            "https://user@a.example",
            "https://user:pass@a.example",
            "https://:pass@a.example",
            "https://@a.example",
            "https://:@a.example",
            "https://a.example@b.example/",
            "https://a.example:0/",
            too_long.as_str(),
        ] {
            assert!(check_url("url", wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_url_is_kept_in_its_normal_form() {
        for (written, kept) in [
            ("HTTPS://EXAMPLE.com:443/a/../b#part", "https://example.com/b"),
            ("  https://a.example/x@y?z=@  ", "https://a.example/x@y?z=@"),
            ("https://a.example:08443", "https://a.example:8443/"),
            ("https://a.example./", "https://a.example./"),
        ] {
            assert_eq!(normal(written).as_deref(), Ok(kept));
        }
    }

    #[test]
    fn a_name_in_another_script_is_kept_in_punycode() {
        for (written, kept) in [
            ("https://bücher.example/", "https://xn--bcher-kva.example/"),
            // A Cyrillic а for the Latin one.
            ("https://pаypal.example/", "https://xn--pypal-4ve.example/"),
            ("https://例え。テスト/", "https://xn--r8jz45g.xn--zckzah/"),
            ("https://ＥＸＡＭＰＬＥ.com/", "https://example.com/"),
            ("https://xn--bcher-kva.example/", "https://xn--bcher-kva.example/"),
        ] {
            assert_eq!(normal(written).as_deref(), Ok(kept));
        }
    }

    #[test]
    fn an_ipv4_address_in_any_spelling_is_kept_as_four_decimal_numbers() {
        for host in [
            "127.0.0.1",
            "127.0.0.1.",
            "127.1",
            "127.0.1",
            "2130706433",
            "0x7f000001",
            "0X7F.1",
            "017700000001",
            "0177.0.0.01",
            "%31%32%37.0.0.1",
            "１２７.０.０.１",
            "127。0。0。1",
            "①②⑦.0.0.1",
        ] {
            assert_eq!(normal(&format!("https://{host}/")).as_deref(), Ok("https://127.0.0.1/"));
        }
    }

    #[test]
    fn a_url_that_parsers_read_differently_is_refused() {
        for wrong in [
            "https://a.example\\@b.example/",
            "https:\\\\a.example/",
            "https://a.exa\nmple/",
            "https://a.example/\tx",
            "https://a.example/\u{7f}",
            "https://a..example/",
            "https://.example/",
            "https://a.example../",
            "https://a!b.example/",
            "https://a'b.example/",
            "https://{a}.example/",
            "https://*.example/",
            "https://a%00.example/",
            "https://a%2f.example/",
            "https://[fe80::1%25eth0]/",
            "https://[::1/",
            "https://256.0.0.1/",
            "https://1.2.3.4.5/",
            "https://xn--a/",
        ] {
            assert!(normal(wrong).is_err(), "{wrong:?} became {:?}", normal(wrong));
        }
        let label = "a".repeat(63);
        assert!(normal(&format!("https://{label}.example/")).is_ok());
        assert!(normal(&format!("https://a{label}.example/")).is_err());
        assert!(normal(&format!("https://{label}.{label}.{label}.{label}/")).is_err());
    }
}
