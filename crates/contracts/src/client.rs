//! What a client adds to its calls.

use tonic::metadata::{Ascii, MetadataValue};
use tonic::service::Interceptor;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::Channel;
use tonic::{Request, Status};

/// A channel whose calls all carry a token.
pub type AuthorizedChannel = InterceptedService<Channel, Bearer>;

/// Shows a token with every call: `authorization: Bearer …`.
#[derive(Clone)]
pub struct Bearer(MetadataValue<Ascii>);

/// A text that cannot be a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a token has no characters but visible ASCII ones")]
pub struct InvalidBearerToken;

impl Bearer {
    /// With this token.
    pub fn new(token: &str) -> Result<Bearer, InvalidBearerToken> {
        let mut value: MetadataValue<Ascii> =
            format!("Bearer {token}").parse().map_err(|_| InvalidBearerToken)?;
        // Neither in Debug output nor in HTTP/2's table of headers (RFC 7541 section 7.1.3).
        value.set_sensitive(true);
        Ok(Bearer(value))
    }

    /// The channel with it.
    pub fn on(self, channel: Channel) -> AuthorizedChannel {
        InterceptedService::new(channel, self)
    }
}

impl std::fmt::Debug for Bearer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Bearer(..)")
    }
}

impl Interceptor for Bearer {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        request.metadata_mut().insert("authorization", self.0.clone());
        Ok(request)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_goes_with_every_call_and_shows_in_no_output() {
        let mut bearer = Bearer::new("kt_1").expect("a token");
        let request = bearer.call(Request::new(())).expect("passed on");
        let value = request.metadata().get("authorization").expect("it is there");
        assert_eq!(value.as_bytes(), b"Bearer kt_1");
        assert!(!format!("{bearer:?} {:?}", request.metadata()).contains("kt_1"));
        assert!(Bearer::new("a\nb").is_err());
    }
}
