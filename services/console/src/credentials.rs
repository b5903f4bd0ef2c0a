//! What the console sends the services with every call: a token, and the browser's address.

use std::net::IpAddr;

use keeptrusts_webhooks_domain::key::Token;
use tonic::Request;
use tonic::metadata::{Ascii, MetadataValue};

/// A token, and the address of the browser that uses it.
#[derive(Clone)]
pub(crate) struct Credentials {
    authorization: MetadataValue<Ascii>,
    address: Option<MetadataValue<Ascii>>,
}

/// A text that cannot be in a header, and so is no token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a token has no characters but visible ASCII ones")]
pub(crate) struct InvalidToken;

impl Credentials {
    /// A key's token, or a JSON Web Token.
    pub(crate) fn new(token: &str, address: Option<IpAddr>) -> Result<Credentials, InvalidToken> {
        if token.is_empty() || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(InvalidToken);
        }
        let mut authorization: MetadataValue<Ascii> =
            format!("Bearer {token}").parse().map_err(|_| InvalidToken)?;
        // Keeps it out of Debug output and of HTTP/2's header table (RFC 7541 section 7.1.3).
        authorization.set_sensitive(true);
        let address = address.map(|address| address.to_string().parse());
        Ok(Credentials { authorization, address: address.transpose().map_err(|_| InvalidToken)? })
    }

    /// A session's token.
    pub(crate) fn of(token: &Token, address: Option<IpAddr>) -> Result<Credentials, InvalidToken> {
        Credentials::new(token.expose(), address)
    }

    /// Adds them to a call.
    pub(crate) fn add_to<T>(&self, request: &mut Request<T>) {
        let metadata = request.metadata_mut();
        metadata.insert("authorization", self.authorization.clone());
        if let Some(address) = &self.address {
            metadata.insert("x-forwarded-for", address.clone());
        }
    }
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Credentials(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_carries_the_token_and_the_address_and_debug_output_does_not() {
        let address = "192.0.2.7".parse().ok();
        let credentials = Credentials::new("kt_1", address).expect("a token");
        let mut request = Request::new(());
        credentials.add_to(&mut request);
        let shown = |name| request.metadata().get(name).expect("it is there").as_bytes();
        assert_eq!(shown("authorization"), b"Bearer kt_1");
        assert_eq!(shown("x-forwarded-for"), b"192.0.2.7");
        assert!(!format!("{credentials:?} {:?}", request.metadata()).contains("kt_1"));
    }

    #[test]
    fn a_text_that_cannot_be_in_a_header_is_no_token() {
        for text in ["", "a b", "a\r\nb", "schlüssel"] {
            assert!(Credentials::new(text, None).is_err(), "{text:?}");
        }
    }
}
