//! Why a sign-in with an account has failed, and the message for the person at the browser.

use http::StatusCode;
use keeptrusts_webhooks_domain::counted::counted;
use tonic::{Code, Status};

use crate::error_page::{ErrorPage, SERVICE_UNAVAILABLE, retry_delay};

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Refusal {
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
        said: String,
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
impl From<Status> for Refusal {
    fn from(status: Status) -> Refusal {
        match status.code() {
            Code::Unauthenticated => {
                tracing::error!(
                    "the services refuse the token of an account: start them with the console's --oidc-issuer, and with its client id as an --oidc-audience"
                );
                Refusal::IssuerNotAccepted
            }
            Code::PermissionDenied => Refusal::NoRole(status.message().to_owned()),
            Code::ResourceExhausted => {
                let seconds = retry_delay(&status).map_or(60, |delay| delay.as_secs().max(1));
                Refusal::TooManyRequests(seconds)
            }
            _ => match ErrorPage::from(status) {
                ErrorPage::ServiceUnavailable => Refusal::ServicesUnavailable,
                _ => Refusal::Internal,
            },
        }
    }
}

impl Refusal {
    /// The status and message for the page. `issuer` is its name, `home` the console's address.
    pub(crate) fn words(&self, issuer: &str, home: &str) -> (StatusCode, String) {
        let bad_gateway = StatusCode::BAD_GATEWAY;
        match self {
            Refusal::Unreadable => (
                StatusCode::BAD_REQUEST,
                format!("This is not an answer of {issuer}. Sign in again."),
            ),
            Refusal::UnknownSignIn => (
                StatusCode::BAD_REQUEST,
                format!(
                    "This sign-in is over. It was completed already, took longer than 10 minutes, or was begun in another browser or at another address than {home}. Sign in again."
                ),
            ),
            Refusal::OtherIssuer => (
                StatusCode::BAD_REQUEST,
                format!("The answer does not come from {issuer}, and was not used. Sign in again."),
            ),
            Refusal::OtherAddress => (
                StatusCode::BAD_REQUEST,
                format!(
                    "To sign in with {issuer}, open {home}/sign-in: that is the address to which it lets you come back."
                ),
            ),
            Refusal::Declined { code, said } => declined(issuer, code, said),
            Refusal::IssuerUnavailable => (
                StatusCode::SERVICE_UNAVAILABLE,
                format!(
                    "{issuer} does not answer at the moment. Try again in a little while, or sign in with a key."
                ),
            ),
            Refusal::Busy => (
                StatusCode::SERVICE_UNAVAILABLE,
                "Too many people sign in at this moment. Try again in a little while.".to_owned(),
            ),
            Refusal::CodeRefused => (
                StatusCode::BAD_REQUEST,
                format!("{issuer} does not accept this sign-in any more. Sign in again."),
            ),
            Refusal::Misconfigured => (
                bad_gateway,
                format!(
                    "{issuer} and this console do not fit together. Tell whoever runs the console: its log says more."
                ),
            ),
            Refusal::InvalidToken => (
                bad_gateway,
                format!(
                    "What {issuer} has answered is not in order, so that you are not signed in. Try again; if it happens again, tell whoever runs the console."
                ),
            ),
            Refusal::IssuerNotAccepted => (
                bad_gateway,
                format!(
                    "{issuer} knows you, but the services behind this console do not accept its accounts. Tell whoever runs the console."
                ),
            ),
            Refusal::NoRole(why) => (
                StatusCode::FORBIDDEN,
                format!(
                    "Your account has no role in this console: {why}. Ask whoever looks after the accounts at {issuer} to change that, and sign in again."
                ),
            ),
            Refusal::TooManyRequests(seconds) => (
                StatusCode::TOO_MANY_REQUESTS,
                format!(
                    "Too many sign-ins from your address have failed. Try again in {}.",
                    counted(*seconds, "second", "seconds")
                ),
            ),
            Refusal::ServicesUnavailable => {
                (StatusCode::SERVICE_UNAVAILABLE, SERVICE_UNAVAILABLE.to_owned())
            }
            Refusal::Internal => (
                StatusCode::INTERNAL_SERVER_ERROR,
                "Something went wrong, and was logged.".to_owned(),
            ),
        }
    }
}

/// RFC 6749 section 4.1.2.1, OpenID Connect Core 1.0 section 3.1.2.6.
fn declined(issuer: &str, code: &str, said: &str) -> (StatusCode, String) {
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
    match said {
        "" => (status, text),
        said => (status, format!("{text} It says: “{said}”")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_that_lacks_a_claim_is_told_which_and_whom_to_ask() {
        let status = Status::permission_denied("the token has no claim `organization`");
        let (code, text) = Refusal::from(status).words("Keycloak", "https://hooks.example");
        assert_eq!(code, StatusCode::FORBIDDEN);
        assert!(text.contains("`organization`") && text.contains("accounts at Keycloak"), "{text}");
    }

    #[test]
    fn an_issuers_words_stand_in_quotes_beside_ours() {
        let said = "The user has cancelled".to_owned();
        let declined = Refusal::Declined { code: "access_denied".to_owned(), said };
        let (code, text) = declined.words("Keycloak", "");
        assert_eq!(code, StatusCode::FORBIDDEN);
        assert!(text.ends_with("It says: “The user has cancelled”"), "{text}");
        let odd = Refusal::Declined { code: "invalid_scope".to_owned(), said: String::new() };
        let (code, text) = odd.words("Keycloak", "");
        assert!(code == StatusCode::BAD_GATEWAY && text.contains("(invalid_scope)"), "{text}");
    }
}
