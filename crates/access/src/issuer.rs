//! An OpenID Connect issuer, as whoever trusts it sees it: what it says of itself, its keys, and
//! the tokens that it has signed. The gate asks it about the tokens of requests
//! ([`web_tokens`](crate::web_tokens)), the console for those with which people sign in.

mod claims;
mod defect;
mod discovery;
mod keys;
mod remembered;
mod signed;

use std::path::PathBuf;
use std::sync::Arc;

pub use claims::Claims;
pub use defect::Defect;
pub use discovery::{Discovery, DiscoveryError, SelfDescription};
pub(crate) use keys::{IssuerKeys, Source};
pub use signed::{NotVerified, SignedTokens, Verified};

pub use crate::https::{FetchError, Fetcher, TrustError, is_acceptable};

/// Which issuer a process trusts.
#[derive(Debug, Clone)]
pub struct IssuerSettings {
    /// Its identifier, as its tokens have it in the claim `iss`.
    pub identifier: String,
    /// A file with its keys, instead of those that it publishes.
    pub jwks_file: Option<PathBuf>,
    /// A file with certificates that it may have, besides the system's.
    pub ca: Option<PathBuf>,
}

impl IssuerSettings {
    /// How it is asked.
    pub fn fetcher(&self) -> Result<Arc<Fetcher>, TrustError> {
        Fetcher::new(self.ca.as_ref()).map(Arc::new)
    }

    /// What it says of itself.
    pub fn description(&self, fetcher: &Arc<Fetcher>) -> SelfDescription {
        SelfDescription::new(self.identifier.clone(), Arc::clone(fetcher))
    }

    /// Its tokens for one of these audiences.
    pub fn tokens(&self, fetcher: &Arc<Fetcher>, audiences: Vec<String>) -> SignedTokens {
        let source = match &self.jwks_file {
            Some(path) => Source::File(path.clone()),
            None => {
                Source::Issuer { identifier: self.identifier.clone(), fetcher: Arc::clone(fetcher) }
            }
        };
        SignedTokens::new(IssuerKeys::new(source), Some(self.identifier.clone()), audiences)
    }
}
