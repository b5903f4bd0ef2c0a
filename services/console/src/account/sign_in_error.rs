//! Why a sign-in with an account has failed, and the message for the person at the browser.

use http::StatusCode;
use keeptrusts_webhooks_domain::plural::pluralize;
use tonic::{Code, Status};

use crate::error_page::{ErrorPage, SERVICE_UNAVAILABLE, retry_delay};

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum SignInError {
    /// The callback's parameters are not a response of an issuer.
    Unreadable,
    /// There is no such sign-in in this browser.
    UnknownSignIn,
    /// The response names another issuer.
    OtherIssuer,
    /// The browser would come back to another address than the one that it began at.
    OtherAddress,
    /// The issuer has refused.
    Declined {
        /// The standard's error code.
        code: String,
        /// The issuer's own words.
        description: String,
    },
    IssuerUnavailable,
    Busy,
    /// The code is no longer valid.
    CodeRefused,
    /// The issuer and the console do not fit together; the log says why.
    Misconfigured,
    /// The issuer's answer is not valid; the log says why.
    InvalidToken,
    /// The services do not accept the issuer; the log says more.
    IssuerNotAccepted,
    /// The account's claims give it no role here.
    NoRole(String),
    /// Too many tokens of this browser were refused. In seconds.
    TooManyRequests(u64),
    ServicesUnavailable,
    Internal,
}

/// What the services say about a token that is otherwise in order.
impl From<Status> for SignInError {
    fn from(status: Status) -> SignInError {
        match status.code() {
            Code::Unauthenticated => {
                tracing::error!(
                    "the services refuse the token of an account: start them with the console's --oidc-issuer, and with its client id as an --oidc-audience"
                );
                SignInError::IssuerNotAccepted
            }
            Code::PermissionDenied => SignInError::NoRole(status.message().to_owned()),
            Code::ResourceExhausted => {
                let seconds = retry_delay(&status).map_or(60, |delay| delay.as_secs().max(1));
                SignInError::TooManyRequests(seconds)
            }
            _ => match ErrorPage::from(status) {
                ErrorPage::ServiceUnavailable => SignInError::ServicesUnavailable,
                _ => SignInError::Internal,
            },
        }
    }
}

impl SignInError {
    /// The status and message for the page. `issuer` is its name, `home` the console's address.
    pub(crate) fn message(&self, issuer: &str, home: &str) -> (StatusCode, String) {
        let bad_gateway = StatusCode::BAD_GATEWAY;
        match self {
            SignInError::Unreadable => (
                StatusCode::BAD_REQUEST,
                format!("This is not an answer of {issuer}. Sign in again."),
            ),
            SignInError::UnknownSignIn => (
                StatusCode::BAD_REQUEST,
                format!(
                    "This sign-in is over. It was completed already, took longer than 10 minutes, or was begun in another browser or at another address than {home}. Sign in again."
                ),
            ),
            SignInError::OtherIssuer => (
                StatusCode::BAD_REQUEST,
                format!("The answer does not come from {issuer}, and was not used. Sign in again."),
            ),
            SignInError::OtherAddress => (
                StatusCode::BAD_REQUEST,
                format!(
                    "To sign in with {issuer}, open {home}/sign-in: that is the address to which it lets you come back."
                ),
            ),
            SignInError::Declined { code, description } => declined(issuer, code, description),
            SignInError::IssuerUnavailable => (
                StatusCode::SERVICE_UNAVAILABLE,
                format!(
                    "{issuer} does not answer at the moment. Try again in a little while, or sign in with a key."
                ),
            ),
            SignInError::Busy => (
                StatusCode::SERVICE_UNAVAILABLE,
                "Too many people sign in at this moment. Try again in a little while.".to_owned(),
            ),
            SignInError::CodeRefused => (
                StatusCode::BAD_REQUEST,
                format!("{issuer} does not accept this sign-in any more. Sign in again."),
            ),
            SignInError::Misconfigured => (
                bad_gateway,
                format!(
                    "{issuer} and this console do not fit together. Tell whoever runs the console: its log says more."
                ),
            ),
            SignInError::InvalidToken => (
                bad_gateway,
                format!(
                    "What {issuer} has answered is not in order, so that you are not signed in. Try again; if it happens again, show_outcome whoever runs the console."
                ),
            ),
            SignInError::IssuerNotAccepted => (
                bad_gateway,
                format!(
                    "{issuer} knows you, but the services behind this console do not accept its accounts. Tell whoever runs the console."
                ),
            ),
            SignInError::NoRole(why) => (
                StatusCode::FORBIDDEN,
                format!(
                    "Your account has no role in this console: {why}. Ask whoever looks after the accounts at {issuer} to change that, and sign in again."
                ),
            ),
            SignInError::TooManyRequests(seconds) => (
                StatusCode::TOO_MANY_REQUESTS,
                format!(
                    "Too many sign-ins from your address have failed. Try again in {}.",
                    pluralize(*seconds, "second", "seconds")
                ),
            ),
            SignInError::ServicesUnavailable => {
                (StatusCode::SERVICE_UNAVAILABLE, SERVICE_UNAVAILABLE.to_owned())
            }
            SignInError::Internal => (
                StatusCode::INTERNAL_SERVER_ERROR,
                "Something went wrong, and was logged.".to_owned(),
            ),
        }
    }
}

/// RFC 6749 section 4.1.2.1, OpenID Connect Core 1.0 section 3.1.2.6.
fn declined(issuer: &str, code: &str, description: &str) -> (StatusCode, String) {
    let (status, text) = match code {
        "access_denied" => (
            StatusCode::FORBIDDEN,
            format!("{issuer} has not let you in, or you have broken it off."),
        ),
        "temporarily_unavailable" | "server_error" => (
            StatusCode::SERVICE_UNAVAILABLE,
            format!("{issuer} could not sign you in at the moment. Try again in a little while."),
        ),
        "login_required"
        | "interaction_required"
        | "consent_required"
        | "account_selection_required" => {
            (StatusCode::FORBIDDEN, format!("{issuer} has to ask you something first. Try again."))
        }
        _ => (
            StatusCode::BAD_GATEWAY,
            format!(
                "{issuer} does not accept what this console asks for ({code}). Tell whoever runs the console."
            ),
        ),
    };
    match description {
        "" => (status, text),
        description => (status, format!("{text} It says: “{description}”")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_claim_is_named_with_whom_to_ask() {
        let status = Status::permission_denied("the token has no claim `organization`");
        let (code, text) = SignInError::from(status).message("Keycloak", "https://hooks.example");
        assert_eq!(code, StatusCode::FORBIDDEN);
        assert!(text.contains("`organization`") && text.contains("accounts at Keycloak"), "{text}");
    }

    #[test]
    fn an_issuers_words_are_quoted_beside_ours() {
        let description = "The user has cancelled".to_owned();
        let declined = SignInError::Declined { code: "access_denied".to_owned(), description };
        let (code, text) = declined.message("Keycloak", "");
        assert_eq!(code, StatusCode::FORBIDDEN);
        assert!(text.ends_with("It says: “The user has cancelled”"), "{text}");
        let odd =
            SignInError::Declined { code: "invalid_scope".to_owned(), description: String::new() };
        let (code, text) = odd.message("Keycloak", "");
        assert!(code == StatusCode::BAD_GATEWAY && text.contains("(invalid_scope)"), "{text}");
    }
}
