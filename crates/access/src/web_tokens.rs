//! Callers from JSON Web Tokens of an OpenID Connect issuer.

mod access_claims;
mod claims;
mod web_token_error;

use keeptrusts_webhooks_domain::access::Caller;

pub use access_claims::RoleName;
pub(crate) use claims::ClaimNames;
pub(crate) use web_token_error::WebTokenError;

use crate::issuer::{TokenVerifier, VerificationError};

pub(crate) struct WebTokens {
    verifier: TokenVerifier,
    names: ClaimNames,
}

impl WebTokens {
    pub(crate) fn new(verifier: TokenVerifier, names: ClaimNames) -> WebTokens {
        WebTokens { verifier, names }
    }

    /// The caller that a token belongs to.
    pub(crate) async fn caller(&self, token: &str) -> Result<Caller, WebTokenError> {
        match self.verifier.verify(token).await {
            Ok(verified) => self.names.caller(&verified.claims),
            Err(VerificationError::Invalid(defect)) => Err(WebTokenError::Invalid(defect)),
            Err(VerificationError::NoKeys) => Err(WebTokenError::NoKeys),
        }
    }
}
