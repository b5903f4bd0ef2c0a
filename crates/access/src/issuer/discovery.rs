//! The discovery document of an issuer (OpenID Connect Discovery 1.0).

use std::sync::Arc;

use http::Uri;
use serde::Deserialize;

use super::cache::IssuerCache;
use crate::fetcher::{FetchError, Fetcher, is_acceptable};
use crate::limits::DISCOVERY_RETRY_DELAY;

/// The fields that are used here (section 3, RFC 9207 section 3). Signing in needs the endpoints;
/// verifying tokens does not.
#[derive(Debug, Clone, Deserialize)]
pub struct Discovery {
    pub issuer: String,
    pub jwks_uri: String,
    pub authorization_endpoint: Option<String>,
    pub token_endpoint: Option<String>,
    pub token_endpoint_auth_methods_supported: Option<Vec<String>>,
    /// Whether answers to authorization requests always name the issuer.
    #[serde(default)]
    pub authorization_response_iss_parameter_supported: bool,
}

#[derive(Debug, thiserror::Error)]
pub enum DiscoveryError {
    #[error("cannot fetch {url}")]
    Fetch { url: String, source: FetchError },
    #[error("what {from} says is not what it should be")]
    Unreadable { from: String, source: serde_json::Error },
    #[error("{url} says that it is of the issuer {found}, not of {expected}")]
    OtherIssuer { url: String, found: String, expected: String },
    #[error("{0} is not an https address")]
    NotHttps(String),
}

pub(crate) async fn discover(
    fetcher: &Fetcher,
    identifier: &str,
) -> Result<Discovery, DiscoveryError> {
    let identifier = identifier.trim_end_matches('/');
    let address = format!("{identifier}/.well-known/openid-configuration");
    let text = fetch(fetcher, &address).await?;
    let discovery: Discovery = serde_json::from_slice(&text)
        .map_err(|source| DiscoveryError::Unreadable { from: address.clone(), source })?;
    // Section 4.3: the document must be about the issuer that was asked.
    if discovery.issuer.trim_end_matches('/') != identifier {
        let (found, expected) = (discovery.issuer, identifier.to_owned());
        return Err(DiscoveryError::OtherIssuer { url: address, found, expected });
    }
    Ok(discovery)
}

/// Fetches a document from an https address.
pub(crate) async fn fetch(
    fetcher: &Fetcher,
    address: &str,
) -> Result<bytes::Bytes, DiscoveryError> {
    let url: Option<Uri> = address.parse().ok().filter(is_acceptable);
    let url = url.ok_or_else(|| DiscoveryError::NotHttps(address.to_owned()))?;
    let fetched = fetcher.fetch(&url).await;
    fetched.map_err(|source| DiscoveryError::Fetch { url: address.to_owned(), source })
}

/// Fetches the discovery document when it is needed, and caches it.
pub struct DiscoveryCache {
    identifier: String,
    fetcher: Arc<Fetcher>,
    cache: IssuerCache<Discovery>,
}

impl DiscoveryCache {
    pub(super) fn new(identifier: String, fetcher: Arc<Fetcher>) -> DiscoveryCache {
        let cache = IssuerCache::empty(DISCOVERY_RETRY_DELAY);
        DiscoveryCache { identifier, fetcher, cache }
    }

    /// The current document, or the last one if the issuer does not answer. None: it has never
    /// answered, or not for too long.
    pub async fn current(&self) -> Option<Arc<Discovery>> {
        let cached = self.cache.get().await;
        if let Some(fresh) = cached.as_ref().filter(|cached| cached.is_fresh()) {
            return Some(Arc::clone(&fresh.value));
        }
        let fetch = async || discover(&self.fetcher, &self.identifier).await;
        match self.cache.refresh(fetch).await {
            Ok(Some(discovery)) => return Some(discovery),
            Ok(None) => {}
            Err(error) => {
                let cause = std::error::Error::source(&error).map(ToString::to_string);
                tracing::warn!(%error, cause, "cannot get what the issuer says of itself");
            }
        }
        cached.map(|cached| cached.value)
    }
}
