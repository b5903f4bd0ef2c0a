//! What a form was sent with.

use axum::extract::{FromRequest, Request};
use axum::response::{IntoResponse, Response};
use http::StatusCode;

use crate::session::Session;
use crate::trouble::Trouble;

/// A form with every name and secret filled in is far below that.
const MAX_FORM_BYTES: usize = 64 * 1024;

/// The fields of a form that this session was given: there is no other way to get at them, so
/// that no handler can forget to ask (cross-site request forgery).
pub(crate) struct Fields(Vec<(String, String)>);

impl Fields {
    /// A field's value; empty if there is none.
    pub(crate) fn get(&self, name: &str) -> &str {
        let found = self.0.iter().find(|(field, _)| field == name);
        found.map_or("", |(_, value)| value)
    }

    /// The values of a field that may be there any number of times.
    pub(crate) fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.0.iter().filter(move |(field, _)| field == name).map(|(_, value)| value.as_str())
    }

    pub(crate) fn parse(body: &[u8]) -> Fields {
        Fields(form_urlencoded::parse(body).into_owned().collect())
    }
}

impl<S: Send + Sync> FromRequest<S> for Fields {
    type Rejection = Response;

    async fn from_request(request: Request, _: &S) -> Result<Fields, Response> {
        let session = request.extensions().get::<Session>().cloned();
        let body = axum::body::to_bytes(request.into_body(), MAX_FORM_BYTES).await;
        let body = body.map_err(|_| StatusCode::PAYLOAD_TOO_LARGE.into_response())?;
        let fields = Fields::parse(&body);
        match session {
            Some(session) if session.is_form_token(fields.get("csrf")) => Ok(fields),
            _ => Err(Trouble::ForeignForm.into_response()),
        }
    }
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
}
