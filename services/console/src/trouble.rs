//! Pages that cannot be shown, and why.

use std::error::Error;

use askama::Template;
use axum::response::{Html, IntoResponse, Response};
use http::StatusCode;
use tonic::{Code, Status};
use tonic_types::StatusExt;

use crate::view::frame::Frame;

/// To the person at the browser, when a service or its database is not available.
pub(crate) const SERVICE_AWAY: &str = "The service behind this page, or its database, is not available at the moment. Try again in a little while.";

/// What went wrong, by what the person at the browser can do about it.
#[derive(Debug)]
pub(crate) enum Trouble {
    /// There is no such page, endpoint, delivery or event.
    NotFound,
    /// An address with parameters that make no sense.
    Unreadable,
    /// A form that this session was not given.
    ForeignForm,
    /// The request named a host that is not this machine.
    ForeignHost,
    /// Not as things stand; the service said why.
    Refused(String),
    /// A service does not answer.
    Away,
    /// A defect of ours.
    Internal,
}

impl From<Status> for Trouble {
    fn from(status: Status) -> Trouble {
        match status.code() {
            Code::NotFound => Trouble::NotFound,
            // An id in an address that is none.
            Code::InvalidArgument if names_an_id(&status) => Trouble::NotFound,
            Code::InvalidArgument => Trouble::Unreadable,
            Code::FailedPrecondition | Code::Aborted => Trouble::Refused(sentence(&status)),
            code @ (Code::Unavailable | Code::DeadlineExceeded | Code::Cancelled) => {
                tracing::warn!(?code, error = status.source(), "a service does not answer");
                Trouble::Away
            }
            // A certificate that the service does not accept, for example: with TLS 1.3 that is
            // told after the connection was made (RFC 8446 section 4.4.2.4).
            code if status.source().is_some_and(|cause| cause.is::<tonic::transport::Error>()) => {
                tracing::warn!(?code, error = status.source(), "a connection to a service failed");
                Trouble::Away
            }
            code => {
                tracing::error!(?code, message = status.message(), "a service failed");
                Trouble::Internal
            }
        }
    }
}

impl From<askama::Error> for Trouble {
    fn from(error: askama::Error) -> Trouble {
        tracing::error!(%error, "a page cannot be rendered");
        Trouble::Internal
    }
}

fn names_an_id(status: &Status) -> bool {
    let details = status.get_details_bad_request();
    let violations = details.into_iter().flat_map(|details| details.field_violations);
    { violations }.any(|violation| violation.field.ends_with("_id"))
}

/// A service's message, as a sentence.
fn sentence(status: &Status) -> String {
    let mut characters = status.message().chars();
    let first = characters.next().into_iter().flat_map(char::to_uppercase);
    first.chain(characters).chain(['.']).collect()
}

#[derive(Template)]
#[template(path = "trouble.html")]
struct TroublePage<'a> {
    frame: Frame,
    title: &'static str,
    text: &'a str,
    can_try_again: bool,
}

impl IntoResponse for Trouble {
    fn into_response(self) -> Response {
        let (code, title, text) = match &self {
            Trouble::NotFound => (
                StatusCode::NOT_FOUND,
                "Not found",
                "There is nothing at this address. It may have been deleted.",
            ),
            Trouble::Unreadable => (
                StatusCode::BAD_REQUEST,
                "This address cannot be read",
                "A part of it was changed, or cut off. Go back to the start, and follow the links from there.",
            ),
            Trouble::ForeignForm => (
                StatusCode::FORBIDDEN,
                "This form is not valid any more",
                "It was opened in another session, or did not come from this console. Go back, reload the page, and send it again.",
            ),
            Trouble::ForeignHost => (
                StatusCode::FORBIDDEN,
                "Not at this address",
                "The console answers only on this machine, as localhost or 127.0.0.1.",
            ),
            Trouble::Refused(text) => (StatusCode::CONFLICT, "Not now", text.as_str()),
            Trouble::Away => {
                (StatusCode::SERVICE_UNAVAILABLE, "A service does not answer", SERVICE_AWAY)
            }
            Trouble::Internal => (
                StatusCode::INTERNAL_SERVER_ERROR,
                "Something went wrong",
                "It is our fault, and has been logged. If it happens again, tell the operators when it did.",
            ),
        };
        let can_try_again = matches!(self, Trouble::Away | Trouble::Internal);
        let page = TroublePage { frame: Frame::bare(), title, text, can_try_again };
        match page.render() {
            Ok(html) => (code, Html(html)).into_response(),
            Err(error) => {
                tracing::error!(%error, "the page of an error cannot be rendered");
                (code, text.to_owned()).into_response()
            }
        }
    }
}
