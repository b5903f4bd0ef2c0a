//! The pages, a file for each. A handler asks the services, makes a view, and renders it.

pub(crate) mod account;
pub(crate) mod audit;
pub(crate) mod channels;
pub(crate) mod create;
pub(crate) mod delivery;
pub(crate) mod edit;
pub(crate) mod endpoint;
pub(crate) mod events;
mod form;
pub(crate) mod health;
pub(crate) mod keys;
pub(crate) mod organization;
mod payload;
pub(crate) mod replay;
pub(crate) mod sign_in;
pub(crate) mod webhooks;

use std::sync::Arc;

use askama::Template;
use axum::extract::{FromRequestParts, Query};
use axum::response::{Html, IntoResponse, Redirect, Response};
use http::StatusCode;
use http::header::CONTENT_TYPE;
use http::request::Parts;
use keeptrusts_webhooks_contracts::v1;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use tonic::Status;

use crate::assets::ASSETS;
use crate::confidential;
use crate::credentials::Credentials;
use crate::error_page::{ErrorPage, SERVICE_UNAVAILABLE};
use crate::flash::{FlashMessage, NewSecret, Tone};
use crate::server::AppState;
use crate::services::Organization;
use crate::session::Session;
use crate::view::frame::{Frame, Section};
use crate::view::json;
use crate::visitor::Visitor;

/// A page, or why not.
pub(crate) type Page = Result<Response, ErrorPage>;

/// The header by which the script says that it wants the outcome alone, not a page.
const INLINE_HEADER: &str = "x-inline";

/// One request: who asks, and whom to ask.
#[derive(Clone)]
pub(crate) struct Visit {
    app: Arc<AppState>,
    session: Session,
    visitor: Visitor,
    credentials: Credentials,
    /// The script asks, and stays on its page.
    is_inline: bool,
}

impl FromRequestParts<Arc<AppState>> for Visit {
    type Rejection = StatusCode;

    async fn from_request_parts(
        parts: &mut Parts,
        app: &Arc<AppState>,
    ) -> Result<Visit, StatusCode> {
        let session = Session::from_request_parts(parts, app).await?;
        // `require_sign_in` runs before every handler that takes a visit.
        let missing = StatusCode::INTERNAL_SERVER_ERROR;
        let visitor = parts.extensions.get().cloned().ok_or(missing)?;
        let credentials = parts.extensions.get().cloned().ok_or(missing)?;
        let is_inline = parts.headers.contains_key(INLINE_HEADER);
        Ok(Visit { app: Arc::clone(app), session, visitor, credentials, is_inline })
    }
}

impl Visit {
    /// The services.
    pub(crate) fn organization(&self) -> Organization {
        self.app.services.of(&self.visitor, &self.credentials)
    }

    /// Who asks.
    pub(crate) fn visitor(&self) -> &Visitor {
        &self.visitor
    }

    /// The event types that there are.
    pub(crate) async fn event_types(&self) -> Result<&[v1::EventType], Status> {
        let organization = self.organization();
        let known = &self.app.event_types;
        Ok(known.get_or_try_init(async || organization.event_types().await).await?)
    }

    pub(crate) fn app(&self) -> &Arc<AppState> {
        &self.app
    }

    /// What is around a page; what was waiting to be told is told.
    fn frame(&self, section: Section) -> Frame {
        Frame {
            assets: &ASSETS,
            section,
            visitor: Some(self.visitor.clone()),
            form_token: self.session.form_token(),
            flash: self.app.flash_messages.take(&self.session),
        }
    }

    /// Tells the outcome of an action: to the script at once, otherwise on the page `back`.
    fn tell(&self, outcome: Result<FlashMessage, Status>, back: &str) -> Page {
        let flash = match outcome.map_err(ErrorPage::from) {
            Ok(flash) => flash,
            Err(ErrorPage::Refused(text)) => FlashMessage::new(Tone::Bad, text),
            Err(ErrorPage::ServiceUnavailable) => FlashMessage::new(Tone::Bad, SERVICE_UNAVAILABLE),
            Err(error) => return Err(error),
        };
        if self.is_inline {
            return Ok(Html(FlashPart { flash: &flash }.render()?).into_response());
        }
        self.app.flash_messages.put(&self.session, flash);
        Ok(Redirect::to(back).into_response())
    }

    /// Keeps the new secret of an endpoint or of a key for the next page.
    fn keep_secret(&self, of: &str, secret: String) {
        let secret = NewSecret { of: of.to_owned(), secret: secret.into() };
        self.app.flash_messages.put_secret(&self.session, secret);
    }

    fn take_secret(&self, of: &str) -> Option<NewSecret> {
        self.app.flash_messages.take_secret(&self.session, of)
    }

    fn keep_flash(&self, flash: FlashMessage) {
        self.app.flash_messages.put(&self.session, flash);
    }
}

#[derive(Template)]
#[template(path = "parts/flash.html")]
pub(crate) struct FlashPart<'a> {
    pub(crate) flash: &'a FlashMessage,
}

fn render(page: &impl Template) -> Page {
    Ok(confidential::answer(page)?)
}

/// An address's parameters; those that cannot be read are left out, as if they were not there.
pub(crate) struct Parameters<T>(pub(crate) T);

impl<S: Send + Sync, T: DeserializeOwned + Default> FromRequestParts<S> for Parameters<T> {
    type Rejection = StatusCode;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Parameters<T>, StatusCode> {
        let query = Query::try_from_uri(&parts.uri);
        Ok(Parameters(query.map(|Query(parameters)| parameters).unwrap_or_default()))
    }
}

/// How a text that is too long for its page is shown on one of its own.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct View {
    view: String,
}

/// Indenting a whole body takes at most so much memory; what would take more stays as it is.
const MAX_INDENTED_BYTES: usize = 4 * 1024 * 1024;

/// A text that is nothing but text, whatever it contains.
fn whole_text(text: String, View { view }: &View) -> Page {
    if text.is_empty() {
        return Err(ErrorPage::NotFound);
    }
    let indented = (view == "pretty").then(|| json::indented(&text, MAX_INDENTED_BYTES)).flatten();
    let plain = [(CONTENT_TYPE, "text/plain; charset=utf-8")];
    Ok((plain, indented.unwrap_or(text)).into_response())
}
