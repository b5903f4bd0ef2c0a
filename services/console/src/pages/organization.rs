//! Asks which organization somebody wants to see whose account or web token is valid in several.

use askama::Template;
use axum::response::{IntoResponse, Redirect, Response};
use http::StatusCode;

use super::form_errors::FormErrors;
use super::guest::Guest;
use super::page::{Page, render};
use crate::account::SignInError;
use crate::error_page::ErrorPage;
use crate::fields::Fields;
use crate::organization_choices::OrganizationChoice;
use crate::view::frame::Frame;

#[derive(Template)]
#[template(path = "organization.html")]
struct OrganizationPage<'a> {
    frame: Frame,
    organizations: &'a [String],
    errors: FormErrors,
}

pub(crate) async fn show(guest: Guest) -> Page {
    match guest.choice() {
        Some(choice) => ask(&guest, &choice, FormErrors::default()),
        None => Ok(Redirect::to("/sign-in").into_response()),
    }
}

pub(crate) async fn submit(guest: Guest, fields: Fields) -> Page {
    let Some(choice) = guest.choice() else {
        return match guest.accounts() {
            Some(accounts) => {
                super::account::refused(&guest, accounts, &SignInError::UnknownSignIn, "")
            }
            // Only a token that was pasted leads here.
            None => Ok(Redirect::to("/sign-in").into_response()),
        };
    };
    let chosen = fields.get("organization");
    if !choice.organizations.iter().any(|organization| organization == chosen) {
        let mut errors = FormErrors::default();
        errors.add("organization", "Choose one of your organizations.".to_owned());
        let page = ask(&guest, &choice, errors)?;
        return Ok((StatusCode::UNPROCESSABLE_ENTITY, page).into_response());
    }
    match guest.open(&choice.token, chosen).await {
        Ok(opened) => {
            guest.forget_choice();
            Ok(opened.redirect_to(&choice.next))
        }
        Err(status) => match guest.accounts() {
            Some(accounts) => {
                super::account::refused(&guest, accounts, &SignInError::from(status), &choice.next)
            }
            None => guest.sign_in_failed(status, choice.next.clone(), chosen.to_owned()),
        },
    }
}

fn ask(
    guest: &Guest,
    choice: &OrganizationChoice,
    errors: FormErrors,
) -> Result<Response, ErrorPage> {
    let (frame, organizations) = (guest.frame(), &choice.organizations);
    render(&OrganizationPage { frame, organizations, errors })
}
