//! A gRPC channel that authorizes its calls with a token.

use tonic::metadata::{Ascii, MetadataValue};
use tonic::service::Interceptor;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::Channel;
use tonic::{Request, Status};

/// A channel whose calls carry a token.
pub type AuthorizedChannel = InterceptedService<Channel, Bearer>;

/// The interceptor that adds `authorization: Bearer …` to every call.
#[derive(Clone)]
pub struct Bearer(MetadataValue<Ascii>);

/// A text that cannot be a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a token has no characters but visible ASCII ones")]
pub struct InvalidBearerToken;

impl Bearer {
    /// An interceptor with this token. It must be visible ASCII.
    pub fn new(token: &str) -> Result<Bearer, InvalidBearerToken> {
        let mut value: MetadataValue<Ascii> =
            format!("Bearer {token}").parse().map_err(|_| InvalidBearerToken)?;
        // Keeps it out of Debug output and out of HTTP/2's header table (RFC 7541 section 7.1.3).
        value.set_sensitive(true);
        Ok(Bearer(value))
    }

    /// A channel whose calls carry the token.
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
    fn every_call_carries_the_token_and_no_output_shows_it() {
        let mut bearer = Bearer::new("kt_1").expect("a token");
        let request = bearer.call(Request::new(())).expect("passed on");
        let value = request.metadata().get("authorization").expect("it is there");
        assert_eq!(value.as_bytes(), b"Bearer kt_1");
        assert!(!format!("{bearer:?} {:?}", request.metadata()).contains("kt_1"));
        assert!(Bearer::new("a\nb").is_err());
    }
}
