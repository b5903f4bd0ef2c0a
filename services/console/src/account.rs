//! Signing in with an account of an OpenID Connect issuer: the authorization code flow with PKCE
//! (OpenID Connect Core 1.0 section 3.1, RFC 7636, and the precautions of RFC 9700). It ends with
//! an ID token, which is presented to AccessService like a key. The gate there decides from the
//! token's claims who it is and what they may do.
//!
//! Decision: docs/decisions/accounts-sign-in-with-an-id-token.md

mod callback;
mod flow;
mod id_token;
mod sign_in_error;
mod token_exchange;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use keeptrusts_webhooks_access::issuer::{
    Discovery, DiscoveryCache, Fetcher, IssuerSettings, TokenVerifier, TrustError,
    VerificationError,
};
use keeptrusts_webhooks_access::limits::MAX_TOKEN_BYTES;
use moka::sync::Cache;
use oauth2::{PkceCodeChallenge, RedirectUrl};
use tokio::sync::Semaphore;
use zeroize::Zeroizing;

pub(crate) use callback::Callback;
use callback::CallbackResult;
pub(crate) use flow::{Flow, cookies_to_forget};
use id_token::ExpectedClaims;
pub(crate) use sign_in_error::SignInError;
use token_exchange::{Registration, Tokens};

use crate::flags::{AccountFlags, ConsoleTrust, EmptySecret};

/// Where the issuer sends browsers back to.
pub(crate) const CALLBACK: &str = "/sign-in/callback";

/// Codes that are exchanged at once. Anybody can invent codes, and each makes us ask the issuer.
const MAX_EXCHANGES: usize = 32;
/// States that are remembered as used. The issuer accepts a code only once anyway (RFC 6749 section
/// 4.1.2); this saves asking it.
const MAX_USED: u64 = 10_000;

/// Signs people in with accounts of one issuer.
pub(crate) struct Accounts {
    /// The name that people know the issuer by.
    name: String,
    /// The console's address, without a slash at the end.
    home: String,
    registration: Registration,
    issuer: DiscoveryCache,
    fetcher: Arc<Fetcher>,
    tokens: TokenVerifier,
    used: Cache<String, ()>,
    exchanges: Semaphore,
}

/// Why accounts cannot be offered.
#[derive(Debug, thiserror::Error)]
pub enum AccountsError {
    #[error("--oidc-client-id is given, but --oidc-issuer is not: name the issuer of the accounts")]
    NoIssuer,
    /// The gate of this process would refuse everybody who has signed in.
    #[error(
        "--oidc-client-id is {0}, which is not an --oidc-audience: the services would refuse every token that the console is given; name it there as well"
    )]
    NotAnAudience(String),
    #[error("cannot read the client secret in {path} (--oidc-client-secret-file)")]
    SecretFile { path: PathBuf, source: std::io::Error },
    #[error("cannot use the client secret in {path} (--oidc-client-secret-file)")]
    Secret { path: PathBuf, source: EmptySecret },
    #[error("cannot prepare to ask the issuer (--oidc-ca)")]
    Trust(#[from] TrustError),
    /// The console's address is not one that a browser could be sent to.
    #[error("cannot make a redirect URI of {0}: give --console-public-url")]
    RedirectUri(String),
}

/// The URL that the browser goes to, and the flow that it keeps in a cookie meanwhile.
pub(crate) struct SignInStart {
    pub(crate) url: String,
    pub(crate) flow: Flow,
}

impl Accounts {
    /// None: no client id is given, and people sign in with keys only. `home` is the console's
    /// address.
    pub(crate) fn new(
        flags: &AccountFlags,
        trust: &ConsoleTrust,
        home: String,
    ) -> Result<Option<Accounts>, AccountsError> {
        let Some(client_id) = flags.oidc_client_id.clone() else { return Ok(None) };
        let issuer = trust.issuer.as_ref().ok_or(AccountsError::NoIssuer)?;
        let is_accepted = |audiences: &Vec<String>| audiences.contains(&client_id);
        if !trust.audiences.as_ref().is_none_or(is_accepted) {
            return Err(AccountsError::NotAnAudience(client_id));
        }
        let redirect_uri = RedirectUrl::new(format!("{home}{CALLBACK}"));
        let redirect_uri = redirect_uri.map_err(|_| AccountsError::RedirectUri(home.clone()))?;
        let fetcher = issuer.fetcher()?;
        Ok(Some(Accounts {
            name: flags.oidc_label.clone().unwrap_or_else(|| host(issuer)),
            home,
            issuer: issuer.description(&fetcher),
            tokens: issuer.tokens(&fetcher, vec![client_id.clone()]),
            fetcher,
            registration: Registration {
                client_id,
                client_secret: secret(flags)?,
                scopes: flags.oidc_scope.clone(),
                redirect_uri,
            },
            used: Cache::builder()
                .max_capacity(MAX_USED)
                .time_to_live(Duration::from_secs(flow::LIFE_SECONDS.unsigned_abs()))
                .build(),
            exchanges: Semaphore::new(MAX_EXCHANGES),
        }))
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn home(&self) -> &str {
        &self.home
    }

    /// The URI that has to be registered at the issuer.
    pub(crate) fn redirect_uri(&self) -> &str {
        &self.registration.redirect_uri
    }

    /// Begins a sign-in that leads to `next`.
    pub(crate) async fn begin(
        &self,
        next: &str,
        now: Timestamp,
    ) -> Result<SignInStart, SignInError> {
        let issuer = self.issuer.current().await.ok_or(SignInError::IssuerUnavailable)?;
        let (challenge, verifier) = PkceCodeChallenge::new_random_sha256();
        let flow = Flow::begin(Zeroizing::new(verifier.into_secret()), next, now);
        let url = self.registration.authorization_url(&issuer, &flow, challenge)?;
        Ok(SignInStart { url, flow })
    }

    /// Completes a sign-in with what the browser has brought back. Returns an ID token.
    pub(crate) async fn finish(
        &self,
        callback: Callback,
        flow: &Flow,
        now: Timestamp,
    ) -> Result<Zeroizing<String>, SignInError> {
        if !self.used.entry(flow.state.to_string()).or_insert(()).is_fresh() {
            return Err(SignInError::UnknownSignIn);
        }
        let issuer = self.issuer.current().await.ok_or(SignInError::IssuerUnavailable)?;
        if !is_from(&callback, &issuer) {
            return Err(SignInError::OtherIssuer);
        }
        let code = match callback.content {
            CallbackResult::Code(code) => code,
            CallbackResult::Error { code, description } => {
                tracing::warn!(?code, ?description, "the issuer has not let somebody sign in");
                return Err(SignInError::Declined { code, description });
            }
        };
        let tokens = {
            let _turn = self.exchanges.try_acquire().map_err(|_| SignInError::Busy)?;
            self.registration.exchange(&issuer, &self.fetcher, code, &flow.verifier).await?
        };
        self.check(&tokens, flow, now).await?;
        Ok(tokens.id_token)
    }

    async fn check(&self, tokens: &Tokens, flow: &Flow, now: Timestamp) -> Result<(), SignInError> {
        let invalid_token = |why: &dyn std::fmt::Display| {
            tracing::error!(%why, "refused an ID token of the issuer");
            SignInError::InvalidToken
        };
        // The gate does not look at longer ones.
        if tokens.id_token.len() > MAX_TOKEN_BYTES {
            return Err(invalid_token(&format_args!(
                "it is longer than {MAX_TOKEN_BYTES} bytes: ask for fewer claims (--oidc-scope)"
            )));
        }
        let verified = self.tokens.verify(&tokens.id_token).await.map_err(|why| match why {
            VerificationError::NoKeys => SignInError::IssuerUnavailable,
            VerificationError::Invalid(defect) => invalid_token(&defect),
        })?;
        let expected = ExpectedClaims {
            client_id: &self.registration.client_id,
            nonce: &flow.nonce,
            at_hash: &verified.hash_of(&tokens.access_token),
            now,
        };
        id_token::check(&verified.claims, &expected).map_err(|why| invalid_token(&why))
    }
}

/// Whether the response is from this issuer, as far as it says (RFC 9207 section 2.4). We ask only
/// one issuer, but another one can send a browser here.
fn is_from(callback: &Callback, issuer: &Discovery) -> bool {
    match &callback.issuer {
        Some(named) => *named == issuer.issuer,
        None => !issuer.authorization_response_iss_parameter_supported,
    }
}

fn host(issuer: &IssuerSettings) -> String {
    let url = issuer.identifier.parse::<http::Uri>().ok();
    url.and_then(|url| url.host().map(str::to_owned)).unwrap_or_else(|| issuer.identifier.clone())
}

fn secret(flags: &AccountFlags) -> Result<Option<crate::flags::ClientSecret>, AccountsError> {
    let Some(path) = flags.oidc_client_secret_file.clone() else {
        return Ok(flags.oidc_client_secret.clone());
    };
    match std::fs::read_to_string(&path).map(Zeroizing::new) {
        Ok(text) => {
            let secret = text.parse().map_err(|source| AccountsError::Secret { path, source })?;
            Ok(Some(secret))
        }
        Err(source) => Err(AccountsError::SecretFile { path, source }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_taken(query: &str, always_says: bool) -> bool {
        let issuer = Discovery {
            issuer: "https://id.example".to_owned(),
            jwks_uri: String::new(),
            authorization_endpoint: None,
            token_endpoint: None,
            token_endpoint_auth_methods_supported: None,
            authorization_response_iss_parameter_supported: always_says,
        };
        is_from(&Callback::read(query).expect("an answer"), &issuer)
    }

    #[test]
    fn an_issuer_without_a_name_is_called_by_its_host() {
        let named = |identifier: &str| {
            let identifier = identifier.to_owned();
            host(&IssuerSettings { identifier, jwks_file: None, ca: None })
        };
        assert_eq!(named("https://id.example:8443/realms/acme"), "id.example");
    }

    #[test]
    fn an_answer_of_another_issuer_is_not_taken_for_ours() {
        let ours = "code=a&state=s&iss=https%3A%2F%2Fid.example";
        let others = "code=a&state=s&iss=https%3A%2F%2Fid.example.evil";
        assert!(is_taken(ours, true) && is_taken(ours, false));
        assert!(!is_taken(others, true) && !is_taken(others, false));
        assert!(is_taken("code=a&state=s", false), "it does not always say who it is");
        assert!(!is_taken("error=access_denied&state=s", true), "it always does");
    }
}
