//! The address at which browsers find a console behind a proxy.

use std::fmt;
use std::str::FromStr;

use http::Uri;

/// `https://`, a host, and possibly a port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicUrl {
    /// Without TLS's default port, which browsers leave out (HTML, "ASCII serialization of an
    /// origin").
    authority: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("write https://host, without a path: the console has to be at the root")]
pub struct InvalidPublicUrl;

impl PublicUrl {
    /// Whether it is the origin of a page, as browsers write it.
    pub(crate) fn is_origin(&self, origin: &str) -> bool {
        let authority = origin.strip_prefix("https://");
        authority.is_some_and(|authority| self.authority.eq_ignore_ascii_case(authority))
    }
}

impl FromStr for PublicUrl {
    type Err = InvalidPublicUrl;

    fn from_str(text: &str) -> Result<Self, InvalidPublicUrl> {
        let url: Uri = text.parse().map_err(|_| InvalidPublicUrl)?;
        let is_root = matches!(url.path(), "" | "/") && url.query().is_none();
        let authority = url.authority().filter(|authority| !authority.as_str().contains('@'));
        match (url.scheme_str(), authority) {
            (Some("https"), Some(authority)) if is_root => {
                let authority = match authority.port_u16() {
                    Some(443) => authority.host(),
                    _ => authority.as_str(),
                };
                Ok(PublicUrl { authority: authority.to_owned() })
            }
            _ => Err(InvalidPublicUrl),
        }
    }
}

/// Without a slash at the end.
impl fmt::Display for PublicUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "https://{}", self.authority)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_an_https_host_at_whose_root_the_console_is() {
        let url: PublicUrl = "https://Hooks.example.com:8443/".parse().expect("a URL");
        assert_eq!(url.to_string(), "https://Hooks.example.com:8443");
        assert!(url.is_origin("https://hooks.EXAMPLE.com:8443"));
        for other in ["https://hooks.example.com", "http://hooks.example.com:8443", "null", ""] {
            assert!(!url.is_origin(other), "{other}");
        }
        let url: PublicUrl = "https://hooks.example.com:443".parse().expect("a URL");
        assert!(url.is_origin("https://hooks.example.com"));
        for wrong in [
            "",
            "hooks.example.com",
            "http://hooks.example.com",
            "https://",
            "https://a/b",
            "https://a?b",
            "https://user@a",
        ] {
            assert_eq!(wrong.parse::<PublicUrl>(), Err(InvalidPublicUrl), "{wrong:?}");
        }
    }
}
