//! A request of somebody who has signed in: the visitor, the session, and the response.

use std::sync::Arc;

use askama::Template;
use axum::extract::FromRequestParts;
use axum::response::{Html, IntoResponse, Redirect};
use http::StatusCode;
use http::request::Parts;
use keeptrusts_webhooks_contracts::v1;
use tonic::Status;

use super::page::Page;
use crate::app_state::AppState;
use crate::assets::ASSETS;
use crate::credentials::Credentials;
use crate::error_page::{ErrorPage, SERVICE_UNAVAILABLE};
use crate::flash::{FlashMessage, NewSecret, Tone};
use crate::services::OrganizationClient;
use crate::session::Session;
use crate::view::frame::{Frame, Section};
use crate::visitor::Visitor;

/// The header by which the script asks for the outcome alone instead of a page.
const INLINE_HEADER: &str = "x-inline";

/// A request of a visitor.
#[derive(Clone)]
pub(crate) struct Visit {
    app: Arc<AppState>,
    pub(super) session: Session,
    visitor: Visitor,
    pub(super) credentials: Credentials,
    /// The script has sent the request, and stays on its page.
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
    /// A client of the services that acts as this visitor.
    pub(crate) fn organization(&self) -> OrganizationClient {
        self.app.services.of(&self.visitor, &self.credentials)
    }

    pub(crate) fn visitor(&self) -> &Visitor {
        &self.visitor
    }

    pub(crate) async fn event_types(&self) -> Result<&[v1::EventType], Status> {
        let organization = self.organization();
        let known = &self.app.event_types;
        Ok(known.get_or_try_init(async || organization.event_types().await).await?)
    }

    pub(crate) fn app(&self) -> &Arc<AppState> {
        &self.app
    }

    /// The frame of a page, with the session's flash message.
    pub(super) fn frame(&self, section: Section) -> Frame {
        Frame {
            assets: &ASSETS,
            section,
            visitor: Some(self.visitor.clone()),
            form_token: self.session.form_token(),
            flash: self.app.flash_messages.take(&self.session),
        }
    }

    /// Shows the outcome of an action: to the script at once, otherwise on the page `back`.
    pub(super) fn show_outcome(&self, outcome: Result<FlashMessage, Status>, back: &str) -> Page {
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

    /// Keeps the new secret of an endpoint or key for the next page.
    pub(super) fn keep_secret(&self, of: &str, secret: String) {
        let secret = NewSecret { of: of.to_owned(), secret: secret.into() };
        self.app.flash_messages.put_secret(&self.session, secret);
    }

    pub(super) fn take_secret(&self, of: &str) -> Option<NewSecret> {
        self.app.flash_messages.take_secret(&self.session, of)
    }

    pub(super) fn keep_flash(&self, flash: FlashMessage) {
        self.app.flash_messages.put(&self.session, flash);
    }
}

#[derive(Template)]
#[template(path = "parts/flash.html")]
pub(crate) struct FlashPart<'a> {
    pub(crate) flash: &'a FlashMessage,
}
