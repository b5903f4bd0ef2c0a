//! An OpenID Connect issuer: its discovery document, its keys, and the tokens that it has signed. The
//! gate verifies tokens of requests ([`web_tokens`](crate::web_tokens)), the console those with which
//! people sign in.

mod cache;
mod claims;
mod discovery;
mod keys;
mod token_defect;
mod verifier;

use std::path::PathBuf;
use std::sync::Arc;

pub use claims::Claims;
pub use discovery::{Discovery, DiscoveryCache, DiscoveryError};
pub(crate) use keys::{IssuerKeys, KeySource};
pub use token_defect::TokenDefect;
pub use verifier::{TokenVerifier, VerificationError, VerifiedToken};

pub use crate::fetcher::{FetchError, Fetcher, TrustError, is_acceptable};

/// The issuer that a process trusts.
#[derive(Debug, Clone)]
pub struct IssuerSettings {
    /// The claim `iss` of its tokens.
    pub identifier: String,
    /// A file with the issuer's keys, instead of those that it publishes.
    pub jwks_file: Option<PathBuf>,
    /// A file with certificates to trust besides the system's.
    pub ca: Option<PathBuf>,
}

impl IssuerSettings {
    pub fn fetcher(&self) -> Result<Arc<Fetcher>, TrustError> {
        Fetcher::new(self.ca.as_ref()).map(Arc::new)
    }

    /// The issuer's discovery document.
    pub fn description(&self, fetcher: &Arc<Fetcher>) -> DiscoveryCache {
        DiscoveryCache::new(self.identifier.clone(), Arc::clone(fetcher))
    }

    /// Verifies the issuer's tokens for one of these audiences.
    pub fn tokens(&self, fetcher: &Arc<Fetcher>, audiences: Vec<String>) -> TokenVerifier {
        let source = match &self.jwks_file {
            Some(path) => KeySource::File(path.clone()),
            None => KeySource::Issuer {
                identifier: self.identifier.clone(),
                fetcher: Arc::clone(fetcher),
            },
        };
        TokenVerifier::new(IssuerKeys::new(source), Some(self.identifier.clone()), audiences)
    }
}
