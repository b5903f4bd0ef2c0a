//! The fields of a submitted form.

use std::error::Error;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::{FromRequestParts, Request};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use http::request::Parts;
use keeptrusts_webhooks_process::http_server::TimedBodyError;

use crate::confidential::Confidential;
use crate::error_page::ErrorPage;
use crate::session::Session;

/// Larger than any form that is filled in completely: a template has 16 KiB, and each of its bytes
/// may take three.
const MAX_FORM_BYTES: usize = 96 * 1024;

/// The fields of a form that this session was given.
#[derive(Clone)]
pub(crate) struct Fields(Arc<[(String, String)]>);

impl Fields {
    /// A field's value; empty if there is none.
    pub(crate) fn get(&self, name: &str) -> &str {
        let pair = self.0.iter().find(|(field, _)| field == name);
        pair.map_or("", |(_, value)| value)
    }

    /// The value of a field of several lines. Browsers send them with CR LF (HTML,
    /// "form-urlencoded").
    pub(crate) fn lines(&self, name: &str) -> String {
        self.get(name).replace("\r\n", "\n")
    }

    /// All other fields, for the form of the next step to send them again. They may contain a
    /// secret.
    pub(crate) fn without(&self, names: &[&str]) -> Vec<(String, Confidential)> {
        let kept = self.0.iter().filter(|(field, _)| !names.contains(&field.as_str()));
        kept.map(|(field, value)| (field.clone(), value.clone().into())).collect()
    }

    /// The values of a field that may occur any number of times.
    pub(crate) fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.0.iter().filter(move |(field, _)| field == name).map(|(_, value)| value.as_str())
    }

    pub(crate) fn parse(body: &[u8]) -> Fields {
        Fields(form_urlencoded::parse(body).into_owned().collect())
    }
}

impl<S: Sync> FromRequestParts<S> for Fields {
    type Rejection = StatusCode;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Fields, StatusCode> {
        // `with_checked_form` runs before every handler.
        parts.extensions.get().cloned().ok_or(StatusCode::INTERNAL_SERVER_ERROR)
    }
}

/// Refuses every change that does not come with a form of this session (cross-site request
/// forgery). It runs before all handlers, so that none can forget to check.
pub(crate) async fn with_checked_form(request: Request, next: Next) -> Response {
    if request.method().is_safe() {
        return next.run(request).await;
    }
    let (mut parts, body) = request.into_parts();
    let body = match axum::body::to_bytes(body, MAX_FORM_BYTES).await {
        Ok(body) => body,
        Err(error) if is_too_slow(&error) => return StatusCode::REQUEST_TIMEOUT.into_response(),
        Err(_) => return StatusCode::PAYLOAD_TOO_LARGE.into_response(),
    };
    if Session::of(&parts.headers).is_none() {
        return ErrorPage::NoCookie.into_response();
    }
    let fields = Fields::parse(&body);
    let session = parts.extensions.get::<Session>();
    if !session.is_some_and(|session| session.is_form_token(fields.get("csrf"))) {
        return ErrorPage::ForeignForm.into_response();
    }
    parts.extensions.insert(fields);
    next.run(Request::from_parts(parts, Body::empty())).await
}

fn is_too_slow(error: &axum::Error) -> bool {
    let first: &(dyn Error + 'static) = error;
    let mut causes = std::iter::successors(Some(first), |&error| error.source());
    causes.any(|cause| matches!(cause.downcast_ref(), Some(TimedBodyError::TooSlow)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_may_be_there_once_often_or_not_at_all() {
        let fields = Fields::parse(b"name=a+b%26&event_types=x&event_types=y");
        assert_eq!(fields.get("name"), "a b&");
        assert_eq!(fields.get("url"), "");
        assert_eq!(fields.all("event_types").collect::<Vec<_>>(), ["x", "y"]);
    }

    #[test]
    fn fields_of_other_steps_are_sent_again() {
        let fields = Fields::parse(b"csrf=t&name=a&event_types=x&secret=s&event_types=y");
        let kept = fields.without(&["csrf", "event_types"]);
        let kept: Vec<_> =
            kept.iter().map(|(name, value)| (name.as_str(), value.expose())).collect();
        assert_eq!(kept, [("name", "a"), ("secret", "s")]);
    }

    #[test]
    fn lines_end_as_elsewhere() {
        assert_eq!(Fields::parse(b"text=a%0D%0Ab%0Ac").lines("text"), "a\nb\nc");
    }
}
