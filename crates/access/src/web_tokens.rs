//! JSON Web Tokens of an OpenID Connect issuer, as the gate reads them.

mod claims;
mod organizations_and_roles;

use keeptrusts_webhooks_domain::access::Caller;

pub(crate) use claims::ClaimNames;
pub(crate) use organizations_and_roles::Lack;
pub use organizations_and_roles::RoleName;

use crate::issuer::{Defect, NotVerified, SignedTokens};

/// Whose tokens are accepted, and what they must say.
pub(crate) struct WebTokens {
    tokens: SignedTokens,
    names: ClaimNames,
}

/// Why a token makes nobody a caller.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum NoCaller {
    /// It is not valid. That is the operator's to know, and not the sender's.
    Invalid(Defect),
    /// It is valid, but does not say what its subject may do. Its sender is told what it lacks: it is
    /// the issuer's own, and whoever asks for one has to know what goes into it.
    Insufficient(Lack),
    /// The issuer's keys cannot be had.
    NoKeys,
}

impl WebTokens {
    pub(crate) fn new(tokens: SignedTokens, names: ClaimNames) -> WebTokens {
        WebTokens { tokens, names }
    }

    /// Whose a token is.
    pub(crate) async fn caller(&self, token: &str) -> Result<Caller, NoCaller> {
        match self.tokens.verify(token).await {
            Ok(verified) => self.names.caller(&verified.claims),
            Err(NotVerified::Invalid(defect)) => Err(NoCaller::Invalid(defect)),
            Err(NotVerified::NoKeys) => Err(NoCaller::NoKeys),
        }
    }
}
