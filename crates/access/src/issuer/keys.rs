//! An issuer's keys. They are fetched on first use, and again when they are old or when a token names
//! an unknown key. If the issuer does not answer, cached keys stay in use for a while, but not for
//! ever, because they may have been withdrawn.

use std::path::PathBuf;
use std::sync::Arc;

use jsonwebtoken::DecodingKey;
use jsonwebtoken::jwk::{Jwk, JwkSet};
use serde_json::Value;

use super::cache::IssuerCache;
use super::discovery::{DiscoveryError, discover, fetch};
use super::token_defect::for_log;
use crate::fetcher::Fetcher;
use crate::limits::ISSUER_KEYS_RETRY_DELAY;

pub(crate) enum KeySource {
    /// The address in the issuer's discovery document (OpenID Connect Discovery 1.0 section 4).
    Issuer { identifier: String, fetcher: Arc<Fetcher> },
    /// A JSON Web Key Set (RFC 7517 section 5).
    File(PathBuf),
}

pub(crate) struct IssuerKeys {
    source: KeySource,
    cache: IssuerCache<JwkSet>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum KeyLookupError {
    /// The keys have never been fetched, or not for too long.
    NoKeys,
    /// The issuer has no such key.
    Unknown {
        /// The ids of keys that fit, for the log.
        known: String,
    },
}

#[derive(Debug, thiserror::Error)]
enum KeysError {
    #[error(transparent)]
    Discovery(#[from] DiscoveryError),
    #[error("cannot read {path}")]
    File { path: PathBuf, source: std::io::Error },
}

impl IssuerKeys {
    pub(crate) fn new(source: KeySource) -> Arc<IssuerKeys> {
        let cache = IssuerCache::empty(ISSUER_KEYS_RETRY_DELAY);
        Arc::new(IssuerKeys { source, cache })
    }

    /// The key with the id `kid` that fits. Without an id, the only key that fits.
    pub(crate) async fn find(
        self: &Arc<Self>,
        kid: Option<&str>,
        fits: impl Fn(&Jwk) -> bool,
    ) -> Result<DecodingKey, KeyLookupError> {
        let cached = self.cache.get().await;
        let key = cached.as_ref().and_then(|cached| choose(&cached.value, kid, &fits));
        let is_fresh = cached.as_ref().is_some_and(|cached| cached.is_fresh());
        match key {
            Some(key) if is_fresh => Ok(key),
            // An old key is still usable: the caller does not wait for the issuer.
            Some(key) => {
                let keys = Arc::clone(self);
                tokio::spawn(async move { keys.refresh().await });
                Ok(key)
            }
            None => {
                let keys = self.refresh().await.or(cached.map(|cached| cached.value));
                let keys = keys.ok_or(KeyLookupError::NoKeys)?;
                let unknown = || KeyLookupError::Unknown { known: ids(&keys, &fits) };
                choose(&keys, kid, &fits).ok_or_else(unknown)
            }
        }
    }

    /// Fetches the keys again, unless the last fetch was a moment ago. None: there are no keys.
    async fn refresh(&self) -> Option<Arc<JwkSet>> {
        let refreshed = self.cache.refresh(async || self.fetch().await).await;
        refreshed.unwrap_or_else(|error| {
            let cause = std::error::Error::source(&error).map(ToString::to_string);
            tracing::warn!(%error, cause, "cannot get the keys that web tokens are signed with");
            None
        })
    }

    async fn fetch(&self) -> Result<JwkSet, KeysError> {
        let (from, text) = match &self.source {
            KeySource::File(path) => {
                let failed = |source| KeysError::File { path: path.clone(), source };
                (path.display().to_string(), tokio::fs::read(path).await.map_err(failed)?.into())
            }
            KeySource::Issuer { identifier, fetcher } => {
                let address = discover(fetcher, identifier).await?.jwks_uri;
                let text = fetch(fetcher, &address).await?;
                (address, text)
            }
        };
        let keys = serde_json::from_slice(&text);
        Ok(keys.map_err(|source| DiscoveryError::Unreadable { from, source })?)
    }
}

fn choose(keys: &JwkSet, kid: Option<&str>, fits: impl Fn(&Jwk) -> bool) -> Option<DecodingKey> {
    let mut fitting = keys.keys.iter().filter(|key| fits(key));
    let key = match kid {
        Some(kid) => fitting.find(|key| key.common.key_id.as_deref() == Some(kid))?,
        None => fitting.next().filter(|_| fitting.next().is_none())?,
    };
    DecodingKey::from_jwk(key).ok()
}

/// The ids of the first keys that fit.
fn ids(keys: &JwkSet, fits: impl Fn(&Jwk) -> bool) -> String {
    const MAX_IDS: usize = 8;
    let fitting = keys.keys.iter().filter(|key| fits(key)).take(MAX_IDS);
    let ids = fitting.map(|key| for_log(key.common.key_id.clone().map(Value::String).as_ref()));
    let ids = ids.collect::<Vec<_>>().join(", ");
    if ids.is_empty() { "there is none".to_owned() } else { ids }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::json;

    use super::*;
    use crate::limits::{ISSUER_CACHE_MAX_AGE, ISSUER_CACHE_TTL};

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
    async fn an_unknown_key_id_makes_the_keys_be_fetched_again_but_not_repeatedly() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("keys.json");
        write(&path, &["one"]);
        let keys = IssuerKeys::new(KeySource::File(path.clone()));
        let knows = async |kid| keys.find(Some(kid), |_| true).await.is_ok();
        assert!(knows("one").await);
        write(&path, &["two"]);
        assert!(!knows("two").await, "it was looked for a moment ago");
        tokio::time::advance(ISSUER_KEYS_RETRY_DELAY).await;
        assert!(knows("two").await && !knows("one").await, "a key that is withdrawn is no key");
    }

    #[tokio::test(start_paused = true)]
    async fn old_keys_are_fetched_again_and_stay_usable_while_the_issuer_does_not_answer() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("keys.json");
        write(&path, &["one"]);
        let keys = IssuerKeys::new(KeySource::File(path.clone()));
        let knows = async |kid| keys.find(Some(kid), |_| true).await.is_ok();
        assert!(knows("one").await);
        tokio::time::advance(ISSUER_CACHE_TTL + Duration::from_secs(1)).await;
        std::fs::remove_file(&path).expect("removed");
        assert!(knows("one").await, "nobody has said that it is not one any more");
        tokio::time::advance(ISSUER_CACHE_MAX_AGE).await;
        let found = keys.find(Some("one"), |_| true).await;
        assert_eq!(
            found.err(),
            Some(KeyLookupError::NoKeys),
            "it may have been withdrawn long ago"
        );
        let found = keys.find(Some("one"), |_| true).await;
        assert_eq!(
            found.err(),
            Some(KeyLookupError::NoKeys),
            "nor a moment after nothing was found"
        );
        write(&path, &["two"]);
        tokio::time::advance(2 * ISSUER_KEYS_RETRY_DELAY).await;
        assert!(knows("two").await && !knows("one").await);
    }

    #[tokio::test]
    async fn without_the_issuers_keys_no_token_is_called_invalid() {
        let keys = IssuerKeys::new(KeySource::File("/nowhere/keys.json".into()));
        assert_eq!(keys.find(Some("one"), |_| true).await.err(), Some(KeyLookupError::NoKeys));
    }

    #[tokio::test]
    async fn a_token_without_a_key_id_is_verified_if_there_is_only_one_key() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("keys.json");
        write(&path, &["one", "two"]);
        let keys = IssuerKeys::new(KeySource::File(path));
        let found = async |fits: fn(&Jwk) -> bool| keys.find(None, fits).await.err();
        let unknown = KeyLookupError::Unknown { known: r#""one", "two""#.to_owned() };
        assert_eq!(found(|_| true).await, Some(unknown), "which of them?");
        assert_eq!(found(|key| key.common.key_id.as_deref() == Some("two")).await, None);
    }
}
