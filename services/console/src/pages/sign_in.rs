//! Sign in and sign out. A key is exchanged for a session, whose token becomes the cookie; the key
//! itself is stored nowhere. Signing in with an account is in [`super::account`].

use axum::response::{IntoResponse, Redirect, Response};
use http::StatusCode;
use serde::Deserialize;
use zeroize::Zeroizing;

use super::form_errors::FormErrors;
use super::guest::Guest;
use super::page::Page;
use super::query::Parameters;
use super::visit::Visit;
use crate::authentication::NewSession;
use crate::fields::Fields;
use crate::flash::{FlashMessage, Tone};
use crate::return_path::local_path;

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct SignInQuery {
    next: String,
}

pub(crate) async fn show(guest: Guest, Parameters(query): Parameters<SignInQuery>) -> Page {
    if guest.is_signed_in {
        return Ok(Redirect::to(local_path(&query.next)).into_response());
    }
    let organization = guest.app.organization.to_string();
    guest.page(query.next, organization, FormErrors::default())
}

pub(crate) async fn submit(guest: Guest, fields: Fields) -> Page {
    let key = Zeroizing::new(fields.get("key").trim().to_owned());
    let organization = fields.get("organization").trim().to_owned();
    let next = fields.get("next").to_owned();
    let mut errors = FormErrors::default();
    if key.is_empty() {
        errors.add("key", "Paste your key.".to_owned());
        return guest.refused(StatusCode::UNPROCESSABLE_ENTITY, next, organization, errors);
    }
    match guest.sign_in(key, &organization, &next).await {
        Ok(response) => Ok(response),
        Err(status) => guest.sign_in_failed(status, next, organization),
    }
}

/// Ends the session, here and at the services.
pub(crate) async fn sign_out(visit: Visit) -> Response {
    let ended = visit.app().services.end_session(&visit.credentials).await;
    let flash = match ended {
        Ok(()) => FlashMessage::new(Tone::Good, "You have signed out."),
        Err(status) => {
            tracing::warn!(code = ?status.code(), "a session could not be ended");
            let text = "This browser is signed out. The services did not answer, so that the session itself goes on until it expires; an admin can end it.";
            FlashMessage::new(Tone::Bad, text)
        }
    };
    visit.app().recent_visitors.forget(&visit.session);
    let new_session = NewSession::anonymous();
    visit.app().flash_messages.put(&new_session.session, flash);
    let mut response = Redirect::to("/sign-in").into_response();
    response.extensions_mut().insert(new_session);
    response
}
