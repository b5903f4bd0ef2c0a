//! JSON Web Tokens of an OpenID Connect issuer, as the gate reads them.

mod claims;

use keeptrusts_webhooks_contracts::status::{self, Reason};
use keeptrusts_webhooks_domain::access::Caller;
use tonic::Status;

pub(crate) use claims::ClaimNames;

use crate::issuer::{NotVerified, SignedTokens};
use crate::limits::ISSUER_KEYS_PAUSE;

/// Whose tokens are accepted, and what they must say.
pub(crate) struct WebTokens {
    tokens: SignedTokens,
    names: ClaimNames,
}

impl WebTokens {
    pub(crate) fn new(tokens: SignedTokens, names: ClaimNames) -> WebTokens {
        WebTokens { tokens, names }
    }

    /// Whose a token is. None: it is not valid. PERMISSION_DENIED: it is, but says nothing of an
    /// organization or a role.
    pub(crate) async fn caller(&self, token: &str) -> Result<Option<Caller>, Status> {
        match self.tokens.verify(token).await {
            Ok(verified) => self.names.caller(&verified.claims).map_err(status::permission_denied),
            Err(NotVerified::Invalid) => Ok(None),
            Err(NotVerified::NoKeys) => {
                let message =
                    "the keys of the issuer of web tokens cannot be had: try again, or use a key";
                Err(status::unavailable(Reason::IssuerUnavailable, message, ISSUER_KEYS_PAUSE))
            }
        }
    }
}
