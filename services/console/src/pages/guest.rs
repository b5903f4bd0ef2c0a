//! Requests of people who have not signed in: the sign-in page, and how a token becomes a session.

use std::sync::Arc;

use askama::Template;
use axum::extract::FromRequestParts;
use axum::response::{IntoResponse, Redirect, Response};
use http::StatusCode;
use http::header::RETRY_AFTER;
use http::request::Parts;
use jiff::Timestamp;
use keeptrusts_webhooks_contracts::time::timestamp_from_proto;
use keeptrusts_webhooks_contracts::v1;
use keeptrusts_webhooks_domain::key::Token;
use keeptrusts_webhooks_domain::plural::pluralize;
use tonic::{Code, Status};
use tonic_types::StatusExt;
use zeroize::Zeroizing;

use super::form_errors::FormErrors;
use super::page::{Page, render};
use crate::account::Accounts;
use crate::app_state::AppState;
use crate::authentication::{BrowserAddress, NewSession};
use crate::credentials::Credentials;
use crate::error_page::{ErrorPage, SERVICE_UNAVAILABLE, retry_delay, sentence};
use crate::organization_choices::OrganizationChoice;
use crate::return_path::local_path;
use crate::session::Session;
use crate::view::frame::Frame;
use crate::visitor::Visitor;

pub(crate) const CHOOSE_ORGANIZATION: &str = "/sign-in/organization";

/// A request to a sign-in page.
#[derive(Clone)]
pub(crate) struct Guest {
    pub(super) app: Arc<AppState>,
    session: Session,
    address: BrowserAddress,
    /// The browser has a session already.
    pub(super) is_signed_in: bool,
}

impl FromRequestParts<Arc<AppState>> for Guest {
    type Rejection = StatusCode;

    async fn from_request_parts(
        parts: &mut Parts,
        app: &Arc<AppState>,
    ) -> Result<Guest, StatusCode> {
        let session = Session::from_request_parts(parts, app).await?;
        let address = BrowserAddress::from_request_parts(parts, app).await?;
        let is_signed_in = parts.extensions.get::<Visitor>().is_some();
        Ok(Guest { app: Arc::clone(app), session, address, is_signed_in })
    }
}

#[derive(Template)]
#[template(path = "sign_in.html")]
struct SignInPage<'a> {
    frame: Frame,
    next: String,
    organization: String,
    errors: FormErrors,
    /// The issuer with whose accounts people can sign in as well.
    issuer: Option<&'a str>,
}

/// A session that was opened.
pub(super) struct OpenedSession(NewSession);

impl OpenedSession {
    /// Replaces the browser's cookie, so that nobody can have planted the session there before
    /// (session fixation).
    pub(super) fn redirect_to(self, next: &str) -> Response {
        let mut response = Redirect::to(local_path(next)).into_response();
        response.extensions_mut().insert(self.0);
        response
    }
}

/// Why there is no session.
struct SignInFailure {
    code: StatusCode,
    /// The field at fault. None: no field.
    field: Option<&'static str>,
    sentence: String,
    /// In seconds.
    retry_after: Option<u64>,
}

impl SignInFailure {
    /// Says nothing about what is wrong with the key.
    fn wrong_key() -> SignInFailure {
        let text = "This key is not valid.";
        SignInFailure::of(StatusCode::UNPROCESSABLE_ENTITY, Some("key"), text)
    }

    fn of(code: StatusCode, field: Option<&'static str>, text: impl Into<String>) -> SignInFailure {
        SignInFailure { code, field, sentence: text.into(), retry_after: None }
    }
}

impl From<Status> for SignInFailure {
    fn from(status: Status) -> SignInFailure {
        let wrong = StatusCode::UNPROCESSABLE_ENTITY;
        match status.code() {
            // FAILED_PRECONDITION: the token of a session, which nobody types.
            Code::Unauthenticated | Code::FailedPrecondition => SignInFailure::wrong_key(),
            Code::PermissionDenied => SignInFailure::of(wrong, Some("key"), sentence(&status)),
            Code::InvalidArgument | Code::NotFound => {
                let details = status.get_details_bad_request();
                let said = details.and_then(|mut details| details.field_violations.pop());
                let said = said.map_or("is not one of this key's".into(), |said| said.description);
                SignInFailure::of(
                    wrong,
                    Some("organization"),
                    format!("OrganizationClient {said}."),
                )
            }
            Code::ResourceExhausted => {
                let seconds = retry_delay(&status).map_or(60, |delay| delay.as_secs().max(1));
                let text = format!(
                    "Too many wrong keys have come from your address. Try again in {}.",
                    pluralize(seconds, "second", "seconds")
                );
                let code = StatusCode::TOO_MANY_REQUESTS;
                SignInFailure { retry_after: Some(seconds), ..SignInFailure::of(code, None, text) }
            }
            _ => match ErrorPage::from(status) {
                ErrorPage::ServiceUnavailable => {
                    SignInFailure::of(StatusCode::SERVICE_UNAVAILABLE, None, SERVICE_UNAVAILABLE)
                }
                _ => {
                    let text = "Something went wrong, and was logged.";
                    SignInFailure::of(StatusCode::INTERNAL_SERVER_ERROR, None, text)
                }
            },
        }
    }
}

impl Guest {
    /// Signs in with a key or a web token. If the token is valid in several organizations and none
    /// is given, asks which.
    pub(super) async fn sign_in(
        &self,
        token: Zeroizing<String>,
        organization: &str,
        next: &str,
    ) -> Result<Response, Status> {
        let organizations = self.organizations_of(&token).await?;
        if organizations.is_empty() || organizations.iter().any(|own| own == organization) {
            return Ok(self.open(&token, organization).await?.redirect_to(next));
        }
        Ok(self.ask_for_organization(OrganizationChoice {
            token,
            organizations,
            next: next.to_owned(),
        }))
    }

    /// The sign-in page, with why there is no session.
    pub(super) fn sign_in_failed(
        &self,
        status: Status,
        next: String,
        organization: String,
    ) -> Page {
        let mut errors = FormErrors::default();
        let SignInFailure { code, field, sentence, retry_after } = status.into();
        match field {
            Some(field) => errors.add(field, sentence),
            None => errors.note(&sentence),
        }
        let mut response = self.refused(code, next, organization, errors)?;
        if let Some(seconds) = retry_after {
            response.headers_mut().insert(RETRY_AFTER, seconds.into());
        }
        Ok(response)
    }

    pub(super) fn app(&self) -> &AppState {
        &self.app
    }

    /// The accounts that people can sign in with. None: keys only.
    pub(super) fn accounts(&self) -> Option<&Accounts> {
        self.app.accounts.as_ref()
    }

    /// Opens a session with a token; `organization` matters only if the token is valid in several
    /// organizations or in all.
    pub(super) async fn open(
        &self,
        token: &str,
        organization: &str,
    ) -> Result<OpenedSession, Status> {
        let credentials = Credentials::new(token, self.address.0);
        let credentials = credentials.map_err(|_| Status::unauthenticated(""))?;
        let services = &self.app.services;
        let who = services.who_am_i(&credentials).await?;
        let has_a_choice = who.organization_id == "*" || !who.organization_ids.is_empty();
        let organization = if has_a_choice { organization.to_owned() } else { String::new() };
        let created = services.create_session(&credentials, organization).await?;
        let token: Token = created.token.parse().map_err(|_| {
            tracing::error!("a session's token is not one that this console knows");
            Status::internal("")
        })?;
        let max_age = created.session.as_ref().and_then(seconds_left);
        Ok(OpenedSession(NewSession { session: Session::signed_in(&token), max_age }))
    }

    /// The organizations among which a token's owner must choose. Empty: there is one, or it is
    /// valid in all.
    pub(super) async fn organizations_of(&self, token: &str) -> Result<Vec<String>, Status> {
        let credentials = Credentials::new(token, self.address.0);
        let credentials = credentials.map_err(|_| Status::unauthenticated(""))?;
        Ok(self.app.services.who_am_i(&credentials).await?.organization_ids)
    }

    /// The choice that this browser has to make.
    pub(super) fn choice(&self) -> Option<Arc<OrganizationChoice>> {
        self.app.organization_choices.get(&self.session)
    }

    /// Asks this browser to choose an organization. It gets a new anonymous session, which nobody
    /// can have planted there before (session fixation), since that session opens the account.
    pub(super) fn ask_for_organization(&self, choice: OrganizationChoice) -> Response {
        let new_session = NewSession::anonymous();
        self.app.organization_choices.put(&new_session.session, choice);
        let mut response = Redirect::to(CHOOSE_ORGANIZATION).into_response();
        response.extensions_mut().insert(new_session);
        response
    }

    pub(super) fn forget_choice(&self) {
        self.app.organization_choices.forget(&self.session);
    }

    pub(super) fn refused(
        &self,
        code: StatusCode,
        next: String,
        organization: String,
        errors: FormErrors,
    ) -> Page {
        Ok((code, self.page(next, organization, errors)?).into_response())
    }

    pub(super) fn page(&self, next: String, organization: String, errors: FormErrors) -> Page {
        let (frame, next) = (self.frame(), local_path(&next).to_owned());
        let issuer = self.accounts().map(Accounts::name);
        render(&SignInPage { frame, next, organization, errors, issuer })
    }

    /// The frame of a page for somebody who has not signed in.
    pub(super) fn frame(&self) -> Frame {
        Frame {
            form_token: self.session.form_token(),
            flash: self.app.flash_messages.take(&self.session),
            ..Frame::bare()
        }
    }
}

/// How long a session lasts.
fn seconds_left(session: &v1::Key) -> Option<i64> {
    let end = timestamp_from_proto(&session.expire_time()?)?;
    Some(end.duration_since(Timestamp::now()).as_secs().max(0))
}
