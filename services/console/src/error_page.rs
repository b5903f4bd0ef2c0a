//! The pages that say why a page cannot be shown.

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use askama::Template;
use axum::response::{Html, IntoResponse, Response};
use http::StatusCode;
use http::header::RETRY_AFTER;
use http::uri::Authority;
use keeptrusts_webhooks_contracts::status::Reason;
use tonic::{Code, Status};
use tonic_types::StatusExt;

use crate::public_url::PublicUrl;
use crate::request_origin::ForeignRequest;
use crate::view::frame::Frame;

/// For the person at the browser, when a service or its database is not available.
pub(crate) const SERVICE_UNAVAILABLE: &str = "The service behind this page, or its database, is not available at the moment. Try again in a little while.";

/// Errors, by what the person at the browser can do about them.
#[derive(Debug)]
pub(crate) enum ErrorPage {
    /// There is no such page, endpoint, delivery or event.
    NotFound,
    /// The address has parameters that make no sense.
    Unreadable,
    /// The form was not given to this session.
    ForeignForm,
    /// The form came without a session.
    NoCookie,
    /// The form seems to come from another site; its origin.
    ForeignOrigin(String),
    /// The request named a host that is not this machine; the host.
    ForeignHost(String),
    /// The session has ended, so that a form or stream is refused.
    SessionEnded,
    /// The visitor's role does not permit it.
    NotAllowed,
    /// The visitor's role permits nothing here.
    NoPagesForRole,
    /// Not in the current state; the service said why.
    Refused(String),
    /// Too many requests; how long to wait.
    TooManyRequests(Duration),
    /// The limit of requests, or of unread responses, is reached.
    Busy,
    ServiceUnavailable,
    /// A defect of ours, in the console.
    Internal,
    /// A defect of ours, in a service. Its operators find it by the trace id.
    ServiceFailed {
        trace_id: String,
    },
}

impl From<Status> for ErrorPage {
    fn from(status: Status) -> ErrorPage {
        match status.code() {
            Code::NotFound => ErrorPage::NotFound,
            // The address contains something that is not an id.
            Code::InvalidArgument if names_an_id(&status) => ErrorPage::NotFound,
            Code::InvalidArgument => ErrorPage::Unreadable,
            Code::FailedPrecondition | Code::Aborted => ErrorPage::Refused(sentence(&status)),
            Code::ResourceExhausted if is_busy(&status) => ErrorPage::Busy,
            Code::ResourceExhausted => match retry_delay(&status) {
                Some(delay) => ErrorPage::TooManyRequests(delay),
                None => ErrorPage::Refused(sentence(&status)),
            },
            Code::Unauthenticated => ErrorPage::SessionEnded,
            Code::PermissionDenied => ErrorPage::NotAllowed,
            code @ (Code::Unavailable | Code::DeadlineExceeded | Code::Cancelled) => {
                tracing::warn!(?code, error = status.source(), "a service does not answer");
                ErrorPage::ServiceUnavailable
            }
            // For example, the service does not accept our certificate: with TLS 1.3 that is
            // reported after the connection was made (RFC 8446 section 4.4.2.4).
            code if status.source().is_some_and(|cause| cause.is::<tonic::transport::Error>()) => {
                tracing::warn!(?code, error = status.source(), "a connection to a service failed");
                ErrorPage::ServiceUnavailable
            }
            code => {
                let trace_id = status.get_details_request_info().map(|info| info.request_id);
                tracing::error!(?code, message = status.message(), trace_id, "a service failed");
                trace_id
                    .map_or(ErrorPage::Internal, |trace_id| ErrorPage::ServiceFailed { trace_id })
            }
        }
    }
}

impl From<askama::Error> for ErrorPage {
    fn from(error: askama::Error) -> ErrorPage {
        tracing::error!(%error, "a page cannot be rendered");
        ErrorPage::Internal
    }
}

fn is_busy(status: &Status) -> bool {
    let reason = status.get_details_error_info().map(|info| info.reason);
    reason.is_some_and(|reason| reason == Reason::TooManyRequests.name())
}

fn names_an_id(status: &Status) -> bool {
    let details = status.get_details_bad_request();
    let violations = details.into_iter().flat_map(|details| details.field_violations);
    { violations }.any(|violation| violation.field.ends_with("_id"))
}

/// When a service may be asked again.
pub(crate) fn retry_delay(status: &Status) -> Option<Duration> {
    status.get_details_retry_info()?.retry_delay
}

/// A service's message, as a sentence.
pub(crate) fn sentence(status: &Status) -> String {
    let mut characters = status.message().chars();
    let first = characters.next().into_iter().flat_map(char::to_uppercase);
    first.chain(characters).chain(['.']).collect()
}

#[derive(Template)]
#[template(path = "error_page.html")]
struct ErrorPageTemplate<'a> {
    frame: Frame,
    title: &'static str,
    text: &'a str,
    trace_id: Option<&'a str>,
    can_try_again: bool,
    /// Where to go from here, and the link's text.
    leads_to: Option<(&'static str, &'static str)>,
}

impl ErrorPage {
    /// The status, a title, and an explanation.
    fn message(&self) -> (StatusCode, &'static str, &str) {
        match self {
            ErrorPage::NotFound => (
                StatusCode::NOT_FOUND,
                "Not found",
                "There is nothing at this address. It may have been deleted.",
            ),
            ErrorPage::Unreadable => (
                StatusCode::BAD_REQUEST,
                "This address cannot be read",
                "A part of it was changed, or cut off. Go back to the start, and follow the links from there.",
            ),
            ErrorPage::ForeignForm => (
                StatusCode::FORBIDDEN,
                "This form is not valid any more",
                "It was opened in another session, or did not come from this console. Go back, reload the page, and send it again.",
            ),
            ErrorPage::NoCookie => (
                StatusCode::FORBIDDEN,
                "The console's cookie is missing",
                "Nothing was changed. The browser may refuse cookies, or the page was opened over http:// although --console-public-url is https://, or a proxy does not pass on the headers Cookie and Set-Cookie.",
            ),
            ErrorPage::ForeignOrigin(text) => {
                (StatusCode::FORBIDDEN, "This form did not come from this console", text.as_str())
            }
            ErrorPage::ForeignHost(text) => {
                (StatusCode::FORBIDDEN, "Not at this address", text.as_str())
            }
            // Not 401: browsers would ask for a password themselves (RFC 9110 section 15.5.2).
            ErrorPage::SessionEnded => (
                StatusCode::FORBIDDEN,
                "Your session has ended",
                "Nothing was changed. What you typed is still on the page before this one: go back and copy what you want to keep. Then sign in, and send it again.",
            ),
            ErrorPage::NotAllowed => (
                StatusCode::FORBIDDEN,
                "You may not do this",
                "Nothing was changed. Your role does not allow it: an admin can do it, or give you a role that does.",
            ),
            ErrorPage::NoPagesForRole => (
                StatusCode::FORBIDDEN,
                "There is nothing here for your role",
                "It is for publishing events, and does not allow to look at webhooks and deliveries. Sign out, and sign in with another key or account.",
            ),
            ErrorPage::Refused(text) => (StatusCode::CONFLICT, "Not now", text.as_str()),
            ErrorPage::TooManyRequests(_) => (
                StatusCode::TOO_MANY_REQUESTS,
                "Too often",
                "Too many wrong keys have come from your address. Wait a minute, and try again.",
            ),
            ErrorPage::Busy => (
                StatusCode::SERVICE_UNAVAILABLE,
                "Too much at once",
                "As much is being asked for, or read, in your organization at the moment as may be. Try again in a little while.",
            ),
            ErrorPage::ServiceUnavailable => {
                (StatusCode::SERVICE_UNAVAILABLE, "A service does not answer", SERVICE_UNAVAILABLE)
            }
            ErrorPage::Internal | ErrorPage::ServiceFailed { .. } => (
                StatusCode::INTERNAL_SERVER_ERROR,
                "Something went wrong",
                "It is our fault, and has been logged. If it happens again, show_outcome the operators when it did.",
            ),
        }
    }

    /// The request names a host that is not allowed.
    pub(crate) fn foreign_host(host: &str) -> ErrorPage {
        // Without the port, where the console itself speaks plain HTTP.
        let name = host.parse::<Authority>();
        let url = name.map_or("https://host".to_owned(), |name| format!("https://{}", name.host()));
        ErrorPage::ForeignHost(format!(
            "The request names the host \u{201c}{host}\u{201d}, but this console answers as localhost or 127.0.0.1 only. If a proxy that terminates TLS serves it under that name, start it with --console-public-url {url} (and the proxy's port, unless that is 443)."
        ))
    }

    /// A form from elsewhere. The proxy's configuration may be at fault, or ours.
    pub(crate) fn foreign_form(
        foreign: &ForeignRequest,
        host: &str,
        public_url: Option<&PublicUrl>,
    ) -> ErrorPage {
        ErrorPage::ForeignOrigin(match (foreign, public_url) {
            (ForeignRequest::Site(site), _) => format!(
                "Nothing was changed. The browser says that a page of another site sent it (Sec-Fetch-Site: {site}). Open the console itself, and send the form from there."
            ),
            (ForeignRequest::Origin(origin), _) if origin == "null" => {
                let home = public_url.map_or_else(String::new, |url| format!(" at {url}"));
                format!(
                    "Nothing was changed. The browser does not say which page sent it (Origin: null), as for a page in a sandbox or a file, or when a proxy or a filter adds Referrer-Policy: no-referrer. Open the console itself{home}, and send the form from there."
                )
            }
            (ForeignRequest::Origin(origin), Some(url)) => format!(
                "Nothing was changed. It was sent from a page at {origin}, but this console is at {url} (--console-public-url). Open it there; or, if {origin} is right, correct the flag."
            ),
            (ForeignRequest::Origin(origin), None) => format!(
                "Nothing was changed. It was sent from a page at {origin}, but the request names the host \u{201c}{host}\u{201d}. If a proxy serves the console at {origin}, start it with --console-public-url and that address, which must be https://."
            ),
        })
    }

    pub(crate) fn text(&self) -> &str {
        self.message().2
    }

    pub(crate) fn page(&self, frame: Frame) -> Response {
        let (code, title, text) = self.message();
        let page = ErrorPageTemplate {
            frame,
            title,
            text,
            trace_id: match self {
                ErrorPage::ServiceFailed { trace_id } => Some(trace_id.as_str()),
                _ => None,
            },
            can_try_again: matches!(
                self,
                ErrorPage::ServiceUnavailable
                    | ErrorPage::Busy
                    | ErrorPage::Internal
                    | ErrorPage::ServiceFailed { .. }
                    | ErrorPage::TooManyRequests(_)
            ),
            leads_to: match self {
                ErrorPage::SessionEnded => Some(("/sign-in", "Sign in")),
                ErrorPage::NoPagesForRole => None,
                _ => Some(("/webhooks", "Back to the start")),
            },
        };
        let mut response = match page.render() {
            Ok(html) => (code, Html(html)).into_response(),
            Err(error) => {
                tracing::error!(%error, "the page of an error cannot be rendered");
                (code, text.to_owned()).into_response()
            }
        };
        let retry_after = match self {
            ErrorPage::TooManyRequests(delay) => Some(delay.as_secs().max(1)),
            ErrorPage::Busy => Some(1),
            _ => None,
        };
        if let Some(seconds) = retry_after {
            response.headers_mut().insert(RETRY_AFTER, seconds.into());
        }
        response
    }
}

/// The page without anything of the visitor's around it; `require_sign_in` adds that.
impl IntoResponse for ErrorPage {
    fn into_response(self) -> Response {
        let mut response = self.page(Frame::bare());
        response.extensions_mut().insert(Arc::new(self));
        response
    }
}
