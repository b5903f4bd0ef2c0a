//! Signing in with an account: to the issuer and back.

use askama::Template;
use axum::response::{Html, IntoResponse, Response};
use http::header::{HOST, RETRY_AFTER, SET_COOKIE};
use http::{HeaderMap, HeaderName, HeaderValue, Uri};
use jiff::Timestamp;

use super::form_errors::FormErrors;
use super::guest::Guest;
use super::page::Page;
use crate::account::{Accounts, Callback, Flow, SignInError, SignInStart, cookies_to_forget};
use crate::error_page::ErrorPage;
use crate::fields::Fields;
use crate::organization_choices::OrganizationChoice;
use crate::view::frame::Frame;

#[derive(Template)]
#[template(path = "leaving.html")]
struct RedirectPage<'a> {
    frame: Frame,
    issuer: &'a str,
    url: &'a str,
}

/// Sends the browser to the issuer. The form is answered with a page that goes on by itself, not
/// with a redirect: browsers check every redirect after a form against `form-action` (Content
/// Security Policy Level 3 section 6.4.2.1), and an issuer may redirect people to hosts that we do
/// not know.
pub(crate) async fn start(guest: Guest, headers: HeaderMap, fields: Fields) -> Page {
    let accounts = guest.accounts().ok_or(ErrorPage::NotFound)?;
    let (now, next) = (Timestamp::now(), fields.get("next"));
    if !guest.app().is_behind_tls() && !is_at(&headers, accounts.home()) {
        return refused(&guest, accounts, &SignInError::OtherAddress, next);
    }
    let SignInStart { url, flow } = match accounts.begin(next, now).await {
        Ok(started) => started,
        Err(error) => return refused(&guest, accounts, &error, next),
    };
    let page = RedirectPage { frame: guest.frame(), issuer: accounts.name(), url: &url };
    let mut response = Html(page.render()?).into_response();
    let onwards = HeaderValue::from_str(&format!("0; url={url}")).map_err(|error| {
        tracing::error!(%error, "the issuer's address cannot stand in a header");
        ErrorPage::Internal
    })?;
    response.headers_mut().insert(HeaderName::from_static("refresh"), onwards);
    let is_secure = guest.app().is_behind_tls();
    for cookie in
        cookies_to_forget(&headers, now, is_secure).into_iter().chain(flow.cookie(is_secure))
    {
        response.headers_mut().append(SET_COOKIE, cookie);
    }
    Ok(response)
}

/// Takes the browser back, and signs it in.
pub(crate) async fn callback(guest: Guest, headers: HeaderMap, address: Uri) -> Page {
    let accounts = guest.accounts().ok_or(ErrorPage::NotFound)?;
    let now = Timestamp::now();
    let Some(callback) = Callback::read(address.query().unwrap_or_default()) else {
        return refused(&guest, accounts, &SignInError::Unreadable, "");
    };
    let Some(flow) = Flow::of(&headers, &callback.state, now) else {
        return refused(&guest, accounts, &SignInError::UnknownSignIn, "");
    };
    let mut response = match signed_in(&guest, accounts, callback, &flow, now).await {
        Ok(response) => response,
        Err(error) => refused(&guest, accounts, &error, &flow.next)?,
    };
    let forget = flow.forget(guest.app().is_behind_tls());
    forget.map(|cookie| response.headers_mut().append(SET_COOKIE, cookie));
    Ok(response)
}

async fn signed_in(
    guest: &Guest,
    accounts: &Accounts,
    callback: Callback,
    flow: &Flow,
    now: Timestamp,
) -> Result<Response, SignInError> {
    let token = accounts.finish(callback, flow, now).await?;
    // For an account that may see all organizations.
    let organization = guest.app().organization.to_string();
    let organizations = guest.organizations_of(&token).await?;
    if !organizations.is_empty() {
        let next = flow.next.clone();
        return Ok(guest.ask_for_organization(OrganizationChoice { token, organizations, next }));
    }
    let opened = guest.open(&token, &organization).await?;
    Ok(opened.redirect_to(&flow.next))
}

/// The sign-in page, where one can try again.
pub(super) fn refused(guest: &Guest, accounts: &Accounts, error: &SignInError, next: &str) -> Page {
    let (code, sentence) = error.message(accounts.name(), accounts.home());
    let mut errors = FormErrors::default();
    errors.note(&sentence);
    let organization = guest.app().organization.to_string();
    let mut response = guest.refused(code, next.to_owned(), organization, errors)?;
    if let SignInError::TooManyRequests(seconds) = error {
        response.headers_mut().insert(RETRY_AFTER, (*seconds).into());
    }
    Ok(response)
}

/// Whether the browser is at the address that the issuer sends it back to. Its cookies are not sent
/// to another one: 127.0.0.1 and localhost differ. (Behind a proxy this cannot be checked: some
/// change the Host.)
fn is_at(headers: &HeaderMap, home: &str) -> bool {
    let host = headers.get(HOST).and_then(|host| host.to_str().ok());
    host.is_some_and(|host| {
        home.strip_prefix("http://").is_some_and(|own| own.eq_ignore_ascii_case(host))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_browser_begins_where_it_is_sent_back_to() {
        let asked_at = |host: &str| {
            let headers = HeaderMap::from_iter([(HOST, host.parse().expect("a value"))]);
            is_at(&headers, "http://127.0.0.1:8080")
        };
        assert!(asked_at("127.0.0.1:8080"));
        for elsewhere in ["localhost:8080", "127.0.0.1", "127.0.0.1:9090", ""] {
            assert!(!asked_at(elsewhere), "{elsewhere}");
        }
    }
}
