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
        fetcher: Box<Fetcher>,
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

/// The issuer's keys have never been had.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct NoKeys;

/// Why there are no keys.
#[derive(Debug, thiserror::Error)]
pub(crate) enum IssuerError {
    #[error("cannot fetch {url}")]
    Fetch { url: String, source: FetchError },
    #[error("what {from} says is not what it should be")]
    Unreadable { from: String, source: serde_json::Error },
    #[error("{url} says that it is of the issuer {found}, not of {expected}")]
    OtherIssuer { url: String, found: String, expected: String },
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
    pub(crate) fn new(source: Source) -> Arc<IssuerKeys> {
        Arc::new(IssuerKeys { source, known: RwLock::default(), last_look: Mutex::default() })
    }

    /// The key that a token names and that fits, or, if it names none, the only one that fits.
    pub(crate) async fn find(
        self: &Arc<Self>,
        kid: Option<&str>,
        fits: impl Fn(&Jwk) -> bool,
    ) -> Result<Option<DecodingKey>, NoKeys> {
        let known = self.known.read().await.clone();
        let found = known.as_ref().and_then(|known| choose(&known.keys, kid, &fits));
        let is_fresh = known.as_ref().is_some_and(|known| known.since.elapsed() < ISSUER_KEYS_LIFE);
        match found {
            Some(key) if is_fresh => Ok(Some(key)),
            // It stays good while the issuer is asked, and while it does not answer.
            Some(key) => {
                let keys = Arc::clone(self);
                tokio::spawn(async move { keys.refresh().await });
                Ok(Some(key))
            }
            None => match (self.refresh().await, known) {
                (Some(keys), _) => Ok(choose(&keys, kid, &fits)),
                (None, Some(_)) => Ok(None),
                (None, None) => Err(NoKeys),
            },
        }
    }

    /// Looks for the keys again, unless somebody has done so a moment ago. None: no news.
    pub(crate) async fn refresh(&self) -> Option<Arc<JwkSet>> {
        let mut last_look = self.last_look.lock().await;
        if last_look.is_some_and(|time| time.elapsed() < ISSUER_KEYS_PAUSE) {
            // Somebody may have found them while this one waited for its turn.
            return self.known.read().await.as_ref().map(|known| Arc::clone(&known.keys));
        }
        let looked = self.look().await;
        // From the end of the look: one that hangs must not be followed by the next at once.
        *last_look = Some(Instant::now());
        match looked {
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
                let text = fetched
                    .map_err(|source| IssuerError::Fetch { url: url.to_string(), source })?;
                let discovery: Discovery = serde_json::from_slice(&text)
                    .map_err(|source| IssuerError::Unreadable { from: address, source })?;
                // Section 4.3: it must be the issuer that was asked.
                if discovery.issuer.trim_end_matches('/') != issuer {
                    let expected = issuer.clone();
                    let (url, found) = (url.to_string(), discovery.issuer);
                    return Err(IssuerError::OtherIssuer { url, found, expected });
                }
                let url = acceptable(&discovery.jwks_uri)?;
                let fetched = fetcher.fetch(&url).await;
                let text = fetched
                    .map_err(|source| IssuerError::Fetch { url: url.to_string(), source })?;
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

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::json;

    use super::*;

    fn write(path: &std::path::Path, kids: &[&str]) {
        // RFC 8037 appendix A.2.
        let key = |kid: &&str| {
            json!({"kty": "OKP", "crv": "Ed25519", "kid": kid,
                   "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"})
        };
        let keys: Vec<_> = kids.iter().map(key).collect();
        std::fs::write(path, json!({ "keys": keys }).to_string()).expect("written");
    }

    #[tokio::test(start_paused = true)]
    async fn keys_are_looked_for_when_one_is_not_known_but_not_again_and_again() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("keys.json");
        write(&path, &["one"]);
        let keys = IssuerKeys::new(Source::File(path.clone()));
        let knows =
            async |kid| keys.find(Some(kid), |_| true).await.expect("keys are had").is_some();
        assert!(knows("one").await);
        write(&path, &["two"]);
        assert!(!knows("two").await, "it was looked for a moment ago");
        tokio::time::advance(ISSUER_KEYS_PAUSE).await;
        assert!(knows("two").await && !knows("one").await, "a key that is withdrawn is no key");
    }

    #[tokio::test(start_paused = true)]
    async fn keys_that_are_old_are_looked_for_again_and_stay_good_while_they_cannot_be() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("keys.json");
        write(&path, &["one"]);
        let keys = IssuerKeys::new(Source::File(path.clone()));
        let knows =
            async |kid| keys.find(Some(kid), |_| true).await.expect("keys are had").is_some();
        assert!(knows("one").await);
        tokio::time::advance(ISSUER_KEYS_LIFE + Duration::from_secs(1)).await;
        std::fs::remove_file(&path).expect("removed");
        assert!(knows("one").await, "nobody has said that it is not one any more");
        write(&path, &["two"]);
        tokio::time::advance(2 * ISSUER_KEYS_PAUSE).await;
        assert!(knows("two").await && !knows("one").await);
    }

    #[tokio::test]
    async fn an_issuer_that_was_never_reached_makes_no_token_wrong() {
        let keys = IssuerKeys::new(Source::File("/nowhere/keys.json".into()));
        assert_eq!(keys.find(Some("one"), |_| true).await.err(), Some(NoKeys));
    }

    #[tokio::test]
    async fn a_token_that_names_no_key_needs_the_only_one() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("keys.json");
        write(&path, &["one", "two"]);
        let keys = IssuerKeys::new(Source::File(path));
        let found =
            async |fits: fn(&Jwk) -> bool| keys.find(None, fits).await.expect("keys are had");
        assert!(found(|_| true).await.is_none(), "which of them?");
        assert!(found(|key| key.common.key_id.as_deref() == Some("two")).await.is_some());
    }
}
