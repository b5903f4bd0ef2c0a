//! What a handler returns: a rendered page, a text, or an error page.

use askama::Template;
use axum::response::{IntoResponse, Response};
use http::header::CONTENT_TYPE;
use serde::Deserialize;

use crate::confidential;
use crate::error_page::ErrorPage;
use crate::view::json;

/// A page, or the error page in its place.
pub(crate) type Page = Result<Response, ErrorPage>;

pub(super) fn render(page: &impl Template) -> Page {
    Ok(confidential::response(page)?)
}

/// How a text is shown on a page of its own.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct TextView {
    view: String,
}

/// The limit for an indented body, which is built in memory; larger ones are shown as they are.
const MAX_INDENTED_BYTES: usize = 4 * 1024 * 1024;

/// A response of plain text, whatever the text contains.
pub(super) fn whole_text(text: String, TextView { view }: &TextView) -> Page {
    if text.is_empty() {
        return Err(ErrorPage::NotFound);
    }
    let indented = (view == "pretty").then(|| json::indented(&text, MAX_INDENTED_BYTES)).flatten();
    let plain = [(CONTENT_TYPE, "text/plain; charset=utf-8")];
    Ok((plain, indented.unwrap_or(text)).into_response())
}
