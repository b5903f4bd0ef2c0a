//! The two requests to an issuer: to let somebody sign in, and to exchange a code for tokens. The
//! oauth2 crate makes them (with PKCE and client authentication); the access crate's fetcher sends
//! them.

use std::pin::Pin;

use keeptrusts_webhooks_access::issuer::{Discovery, FetchError, Fetcher, is_acceptable};
use oauth2::basic::{
    BasicErrorResponse, BasicErrorResponseType, BasicRevocationErrorResponse,
    BasicTokenIntrospectionResponse, BasicTokenType,
};
use oauth2::{
    AsyncHttpClient, AuthType, AuthUrl, AuthorizationCode, Client, ClientId, ClientSecret,
    CsrfToken, EndpointNotSet, EndpointSet, ExtraTokenFields, HttpRequest, HttpResponse,
    PkceCodeChallenge, PkceCodeVerifier, RedirectUrl, RequestTokenError, Scope,
    StandardRevocableToken, StandardTokenResponse, TokenResponse, TokenUrl,
};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::callback::shortened;
use super::flow::Flow;
use super::sign_in_error::SignInError;
use crate::flags;

/// The console as it is registered at its issuer.
pub(super) struct Registration {
    pub(super) client_id: String,
    pub(super) client_secret: Option<flags::ClientSecret>,
    pub(super) scopes: Vec<String>,
    pub(super) redirect_uri: RedirectUrl,
}

pub(super) struct Tokens {
    pub(super) id_token: Zeroizing<String>,
    pub(super) access_token: Zeroizing<String>,
}

type TokenResponseWithIdToken = StandardTokenResponse<IdTokenField, BasicTokenType>;

type IssuerClient = Client<
    BasicErrorResponse,
    TokenResponseWithIdToken,
    BasicTokenIntrospectionResponse,
    StandardRevocableToken,
    BasicRevocationErrorResponse,
    EndpointSet,
    EndpointNotSet,
    EndpointNotSet,
    EndpointNotSet,
    EndpointSet,
>;

/// Lets the oauth2 crate use our fetcher.
struct OAuthHttpClient<'a>(&'a Fetcher);

impl<'c> AsyncHttpClient<'c> for OAuthHttpClient<'_> {
    type Error = FetchError;
    type Future = Pin<Box<dyn Future<Output = Result<HttpResponse, FetchError>> + Send + 'c>>;

    fn call(&'c self, request: HttpRequest) -> Self::Future {
        Box::pin(async move {
            let answer = self.0.send(request.map(Into::into)).await?;
            Ok(answer.map(|body| body.to_vec()))
        })
    }
}

/// OpenID Connect Core 1.0 section 3.1.3.3.
#[derive(Serialize, Deserialize)]
struct IdTokenField {
    id_token: Option<String>,
}

impl ExtraTokenFields for IdTokenField {}

impl std::fmt::Debug for IdTokenField {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("IdTokenField(..)")
    }
}

impl Registration {
    /// The issuer's address for signing in.
    pub(super) fn authorization_url(
        &self,
        issuer: &Discovery,
        flow: &Flow,
        challenge: PkceCodeChallenge,
    ) -> Result<String, SignInError> {
        let state = flow.state.to_string();
        // `openid` makes it OpenID Connect (Core 1.0 section 3.1.2.1).
        let scopes = ["openid"].into_iter().chain(self.scopes.iter().map(String::as_str));
        let client = self.client(issuer)?;
        let request = client
            .authorize_url(|| CsrfToken::new(state))
            .add_scopes(scopes.map(|scope| Scope::new(scope.to_owned())))
            .set_pkce_challenge(challenge)
            .add_extra_param("nonce", flow.nonce.as_str());
        Ok(request.url().0.into())
    }

    /// Exchanges a code for tokens.
    pub(super) async fn exchange(
        &self,
        issuer: &Discovery,
        fetcher: &Fetcher,
        code: String,
        verifier: &str,
    ) -> Result<Tokens, SignInError> {
        let client = self.client(issuer)?;
        let request = client
            .exchange_code(AuthorizationCode::new(code))
            .set_pkce_verifier(PkceCodeVerifier::new(verifier.to_owned()));
        let tokens: TokenResponseWithIdToken =
            request.request_async(&OAuthHttpClient(fetcher)).await.map_err(exchange_error)?;
        let Some(id_token) = tokens.extra_fields().id_token.clone() else {
            tracing::error!("the issuer's answer to a code holds no ID token");
            return Err(SignInError::InvalidToken);
        };
        let access_token = Zeroizing::new(tokens.access_token().secret().clone());
        Ok(Tokens { id_token: id_token.into(), access_token })
    }

    fn client(&self, issuer: &Discovery) -> Result<IssuerClient, SignInError> {
        let authorization = endpoint(issuer.authorization_endpoint.as_deref(), "authorization")?;
        let token = endpoint(issuer.token_endpoint.as_deref(), "token")?;
        let unreadable = |_| SignInError::Misconfigured;
        let mut client = Client::new(ClientId::new(self.client_id.clone()))
            .set_redirect_uri(self.redirect_uri.clone())
            .set_auth_uri(AuthUrl::new(authorization.to_owned()).map_err(unreadable)?)
            .set_token_uri(TokenUrl::new(token.to_owned()).map_err(unreadable)?);
        if let Some(secret) = &self.client_secret {
            client = client
                .set_client_secret(ClientSecret::new(secret.expose().to_owned()))
                .set_auth_type(client_auth(issuer)?);
        }
        Ok(client)
    }
}

/// An endpoint that the issuer names, if it may be requested and browsers may be sent to it.
fn endpoint<'a>(named: Option<&'a str>, what: &str) -> Result<&'a str, SignInError> {
    let is_good = |address: &&str| address.parse().is_ok_and(|url| is_acceptable(&url));
    named.filter(is_good).ok_or_else(|| {
        tracing::error!("the issuer names no https address as its {what} endpoint");
        SignInError::Misconfigured
    })
}

/// How a client with a secret authenticates (OpenID Connect Core 1.0 section 9). An issuer that
/// does not say what it supports supports client_secret_basic (Discovery 1.0 section 3).
fn client_auth(issuer: &Discovery) -> Result<AuthType, SignInError> {
    let Some(taken) = &issuer.token_endpoint_auth_methods_supported else {
        return Ok(AuthType::BasicAuth);
    };
    let takes = |method: &str| taken.iter().any(|it| it == method);
    if takes("client_secret_basic") {
        Ok(AuthType::BasicAuth)
    } else if takes("client_secret_post") {
        Ok(AuthType::RequestBody)
    } else {
        tracing::error!(
            "the issuer takes client secrets neither as client_secret_basic nor as client_secret_post; register a public client, and give no secret"
        );
        Err(SignInError::Misconfigured)
    }
}

/// Why there are no tokens. Of the answer, only the standard's error code is logged: the rest may
/// contain tokens.
fn exchange_error(error: RequestTokenError<FetchError, BasicErrorResponse>) -> SignInError {
    match error {
        RequestTokenError::Request(error) => {
            let cause = std::error::Error::source(&error).map(ToString::to_string);
            tracing::warn!(%error, cause, "the issuer's token endpoint does not answer");
            SignInError::IssuerUnavailable
        }
        RequestTokenError::ServerResponse(answer) => match answer.error() {
            // RFC 6749 section 5.2: expired, used already, or not ours.
            BasicErrorResponseType::InvalidGrant => SignInError::CodeRefused,
            word => {
                let word = shortened(word.as_ref());
                tracing::error!(
                    error = word,
                    "the issuer does not accept the console's client: look at --oidc-client-id, --oidc-client-secret, and the redirect URI that is registered there"
                );
                SignInError::Misconfigured
            }
        },
        RequestTokenError::Parse(..) | RequestTokenError::Other(_) => {
            tracing::error!("the answer of the issuer's token endpoint cannot be read");
            SignInError::InvalidToken
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    fn discovery(methods: Option<&[&str]>) -> Discovery {
        Discovery {
            issuer: "https://id.example".to_owned(),
            jwks_uri: "https://id.example/keys".to_owned(),
            authorization_endpoint: Some("https://id.example/authorize?tenant=a".to_owned()),
            token_endpoint: Some("https://id.example/token".to_owned()),
            token_endpoint_auth_methods_supported: methods
                .map(|methods| methods.iter().map(|method| (*method).to_owned()).collect()),
            authorization_response_iss_parameter_supported: false,
        }
    }

    fn registration() -> Registration {
        Registration {
            client_id: "console".to_owned(),
            client_secret: "s3cret".parse().ok(),
            scopes: vec!["email".to_owned()],
            redirect_uri: RedirectUrl::new("https://hooks.example/sign-in/callback".to_owned())
                .expect("a URL"),
        }
    }

    #[test]
    fn the_issuer_is_asked_for_a_code_that_is_of_use_to_nobody_else() {
        let (challenge, verifier) = PkceCodeChallenge::new_random_sha256();
        let verifier = Zeroizing::new(verifier.into_secret());
        let flow = Flow::begin(verifier.clone(), "/", jiff::Timestamp::UNIX_EPOCH);
        let url = registration().authorization_url(&discovery(None), &flow, challenge.clone());
        let url = url.expect("all is there");
        let (address, query) = url.split_once('?').expect("parameters");
        let asked: HashMap<_, _> = form_urlencoded::parse(query.as_bytes()).collect();
        assert_eq!(address, "https://id.example/authorize");
        for (name, value) in [
            ("tenant", "a"),
            ("response_type", "code"),
            ("client_id", "console"),
            ("redirect_uri", "https://hooks.example/sign-in/callback"),
            ("scope", "openid email"),
            ("state", flow.state.as_str()),
            ("nonce", flow.nonce.as_str()),
            ("code_challenge", challenge.as_str()),
            ("code_challenge_method", "S256"),
        ] {
            assert_eq!(asked.get(name).map(AsRef::as_ref), Some(value), "{name}");
        }
        assert!(!url.contains(verifier.as_str()) && !url.contains("s3cret"), "{url}");
    }

    #[test]
    fn a_secret_is_shown_as_the_issuer_takes_it() {
        let basic = |methods| matches!(client_auth(&discovery(methods)), Ok(AuthType::BasicAuth));
        assert!(basic(None));
        assert!(basic(Some(&["client_secret_post", "client_secret_basic"])));
        let post = client_auth(&discovery(Some(&["client_secret_post", "private_key_jwt"])));
        assert!(matches!(post, Ok(AuthType::RequestBody)));
        assert!(client_auth(&discovery(Some(&["private_key_jwt"]))).is_err());
    }

    #[test]
    fn nobody_is_sent_to_what_is_not_https() {
        for address in [None, Some("http://id.example/authorize"), Some("javascript:alert(1)")] {
            let address = address.map(str::to_owned);
            let issuer = Discovery { authorization_endpoint: address, ..discovery(None) };
            assert_eq!(registration().client(&issuer).err(), Some(SignInError::Misconfigured));
        }
    }
}
