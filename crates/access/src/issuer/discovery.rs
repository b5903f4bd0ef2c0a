//! What an issuer says of itself (OpenID Connect Discovery 1.0).

use std::sync::Arc;

use http::Uri;
use serde::Deserialize;

use super::remembered::Remembered;
use crate::https::{FetchError, Fetcher, is_acceptable};
use crate::limits::ISSUER_SELF_PAUSE;

/// The discovery document, as far as somebody here reads it (section 3, RFC 9207 section 3).
#[derive(Debug, Clone, Deserialize)]
pub struct Discovery {
    /// The issuer's identifier, as it writes it itself.
    pub issuer: String,
    /// Where its keys are.
    pub jwks_uri: String,
    /// Where people sign in. Who only checks tokens needs none.
    pub authorization_endpoint: Option<String>,
    /// Where a code is exchanged for tokens.
    pub token_endpoint: Option<String>,
    /// How clients prove there who they are. None: the document does not say.
    pub token_endpoint_auth_methods_supported: Option<Vec<String>>,
    /// Whether its answers to authorization requests always say who answers.
    #[serde(default)]
    pub authorization_response_iss_parameter_supported: bool,
}

/// Why it is not known what an issuer says.
#[derive(Debug, thiserror::Error)]
pub enum DiscoveryError {
    /// A document cannot be had.
    #[error("cannot fetch {url}")]
    Fetch {
        /// Which one.
        url: String,
        /// Why not.
        source: FetchError,
    },
    /// It is none.
    #[error("what {from} says is not what it should be")]
    Unreadable {
        /// Where it is from.
        from: String,
        /// Why it cannot be read.
        source: serde_json::Error,
    },
    /// It is another issuer's.
    #[error("{url} says that it is of the issuer {found}, not of {expected}")]
    OtherIssuer {
        /// Where it is.
        url: String,
        /// Whose it says that it is.
        found: String,
        /// Whose it should be.
        expected: String,
    },
    /// An address that it names would be asked in clear.
    #[error("{0} is not an https address")]
    NotHttps(String),
}

/// The discovery document of an issuer, fetched now.
pub(crate) async fn discover(
    fetcher: &Fetcher,
    identifier: &str,
) -> Result<Discovery, DiscoveryError> {
    let identifier = identifier.trim_end_matches('/');
    let address = format!("{identifier}/.well-known/openid-configuration");
    let text = fetch(fetcher, &address).await?;
    let discovery: Discovery = serde_json::from_slice(&text)
        .map_err(|source| DiscoveryError::Unreadable { from: address.clone(), source })?;
    // Section 4.3: it must be the issuer that was asked.
    if discovery.issuer.trim_end_matches('/') != identifier {
        let (found, expected) = (discovery.issuer, identifier.to_owned());
        return Err(DiscoveryError::OtherIssuer { url: address, found, expected });
    }
    Ok(discovery)
}

/// A document, at an address that may be asked.
pub(crate) async fn fetch(
    fetcher: &Fetcher,
    address: &str,
) -> Result<bytes::Bytes, DiscoveryError> {
    let url: Option<Uri> = address.parse().ok().filter(is_acceptable);
    let url = url.ok_or_else(|| DiscoveryError::NotHttps(address.to_owned()))?;
    let fetched = fetcher.fetch(&url).await;
    fetched.map_err(|source| DiscoveryError::Fetch { url: address.to_owned(), source })
}

/// What an issuer says of itself: fetched when it is needed, and remembered.
pub struct SelfDescription {
    identifier: String,
    fetcher: Arc<Fetcher>,
    remembered: Remembered<Discovery>,
}

impl SelfDescription {
    pub(super) fn new(identifier: String, fetcher: Arc<Fetcher>) -> SelfDescription {
        let remembered = Remembered::nothing_yet(ISSUER_SELF_PAUSE);
        SelfDescription { identifier, fetcher, remembered }
    }

    /// What it says now, or has said, if it does not answer. None: it has never answered.
    pub async fn current(&self) -> Option<Arc<Discovery>> {
        let known = self.remembered.known().await;
        if let Some(fresh) = known.as_ref().filter(|known| known.is_fresh()) {
            return Some(Arc::clone(&fresh.what));
        }
        let look = async || discover(&self.fetcher, &self.identifier).await;
        match self.remembered.refresh(look).await {
            Ok(Some(discovery)) => return Some(discovery),
            Ok(None) => {}
            Err(error) => {
                let cause = std::error::Error::source(&error).map(ToString::to_string);
                tracing::warn!(%error, cause, "cannot get what the issuer says of itself");
            }
        }
        known.map(|known| known.what)
    }
}
