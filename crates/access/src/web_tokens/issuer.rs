//! An issuer's keys: fetched when they are needed, remembered, and fetched again when they are
//! old or when a token names one that is not known.

use std::path::PathBuf;
use std::sync::Arc;

use http::Uri;
use jsonwebtoken::DecodingKey;
use jsonwebtoken::jwk::{Jwk, JwkSet};
use serde::Deserialize;
use tokio::sync::{Mutex, RwLock};
use tokio::time::Instant;

use super::choose;
use crate::https::{FetchError, Fetcher, is_acceptable};
use crate::limits::{ISSUER_KEYS_LIFE, ISSUER_KEYS_PAUSE};

/// Where the keys are.
pub(crate) enum Source {
    /// At an issuer that says itself where (OpenID Connect Discovery 1.0 section 4).
    Issuer {
        /// Its identifier, without a slash at the end.
        issuer: String,
        fetcher: Fetcher,
    },
    /// In a file: a JSON Web Key Set (RFC 7517 section 5).
    File(PathBuf),
}

/// The keys of an issuer.
pub(crate) struct IssuerKeys {
    source: Source,
    known: RwLock<Option<Known>>,
    /// When they were last looked for, with or without success. Held while they are.
    last_look: Mutex<Option<Instant>>,
}

#[derive(Clone)]
struct Known {
    keys: Arc<JwkSet>,
    since: Instant,
}

/// Why there are no keys.
#[derive(Debug, thiserror::Error)]
pub(crate) enum IssuerError {
    #[error("cannot fetch {url}")]
    Fetch { url: Uri, source: FetchError },
    #[error("what {from} says is not what it should be")]
    Unreadable { from: String, source: serde_json::Error },
    #[error("{url} says that it is of the issuer {found}, not of {expected}")]
    OtherIssuer { url: Uri, found: String, expected: String },
    #[error("{0} is not an https address")]
    NotHttps(String),
    #[error("cannot read {path}")]
    File { path: PathBuf, source: std::io::Error },
}

#[derive(Deserialize)]
struct Discovery {
    issuer: String,
    jwks_uri: String,
}

impl IssuerKeys {
    pub(crate) fn new(source: Source) -> IssuerKeys {
        IssuerKeys { source, known: RwLock::default(), last_look: Mutex::default() }
    }

    /// The key that a token names and that fits, or, if it names none, the only one that fits.
    pub(crate) async fn find(
        &self,
        kid: Option<&str>,
        fits: impl Fn(&Jwk) -> bool,
    ) -> Option<DecodingKey> {
        let known = self.known.read().await.clone();
        let found = known.as_ref().and_then(|known| choose(&known.keys, kid, &fits));
        let is_fresh = known.is_some_and(|known| known.since.elapsed() < ISSUER_KEYS_LIFE);
        if found.is_some() && is_fresh {
            return found;
        }
        // A key that is known stays good while its issuer cannot be reached.
        match self.refresh().await {
            Some(keys) => choose(&keys, kid, &fits),
            None => found,
        }
    }

    /// Looks for the keys again, unless somebody has done so a moment ago. None: no news.
    pub(crate) async fn refresh(&self) -> Option<Arc<JwkSet>> {
        let mut last_look = self.last_look.lock().await;
        if last_look.is_some_and(|time| time.elapsed() < ISSUER_KEYS_PAUSE) {
            // Somebody may have found them while this one waited for its turn.
            return self.known.read().await.as_ref().map(|known| Arc::clone(&known.keys));
        }
        *last_look = Some(Instant::now());
        match self.look().await {
            Ok(keys) => {
                let keys = Arc::new(keys);
                let known = Known { keys: Arc::clone(&keys), since: Instant::now() };
                *self.known.write().await = Some(known);
                Some(keys)
            }
            Err(error) => {
                let cause = std::error::Error::source(&error).map(ToString::to_string);
                tracing::warn!(%error, cause, "cannot get the keys that web tokens are signed with");
                None
            }
        }
    }

    async fn look(&self) -> Result<JwkSet, IssuerError> {
        let (from, text) = match &self.source {
            Source::File(path) => {
                let failed = |source| IssuerError::File { path: path.clone(), source };
                (path.display().to_string(), tokio::fs::read(path).await.map_err(failed)?.into())
            }
            Source::Issuer { issuer, fetcher } => {
                let address = format!("{issuer}/.well-known/openid-configuration");
                let url = acceptable(&address)?;
                let fetched = fetcher.fetch(&url).await;
                let text =
                    fetched.map_err(|source| IssuerError::Fetch { url: url.clone(), source })?;
                let discovery: Discovery = serde_json::from_slice(&text)
                    .map_err(|source| IssuerError::Unreadable { from: address, source })?;
                // Section 4.3: it must be the issuer that was asked.
                if discovery.issuer.trim_end_matches('/') != issuer {
                    let expected = issuer.clone();
                    return Err(IssuerError::OtherIssuer {
                        url,
                        found: discovery.issuer,
                        expected,
                    });
                }
                let url = acceptable(&discovery.jwks_uri)?;
                let fetched = fetcher.fetch(&url).await;
                let text =
                    fetched.map_err(|source| IssuerError::Fetch { url: url.clone(), source })?;
                (url.to_string(), text)
            }
        };
        serde_json::from_slice(&text).map_err(|source| IssuerError::Unreadable { from, source })
    }
}

fn acceptable(address: &str) -> Result<Uri, IssuerError> {
    let url = address.parse().ok().filter(is_acceptable);
    url.ok_or_else(|| IssuerError::NotHttps(address.to_owned()))
}
