//! Keys and sessions of the organization, for its admins.

use std::time::Duration;

use askama::Template;
use axum::extract::Path;
use axum::response::{IntoResponse, Redirect};
use keeptrusts_webhooks_contracts::v1;
use keeptrusts_webhooks_domain::access::Role;
use keeptrusts_webhooks_domain::endpoint_config::check_display_name;
use serde::Deserialize;
use tonic::Status;

use super::form_errors::FormErrors;
use super::page::{Page, render};
use super::query::Parameters;
use super::visit::Visit;
use crate::confidential::Confidential;
use crate::error_page::ErrorPage;
use crate::fields::Fields;
use crate::flash::{FlashMessage, Tone};
use crate::services::PageRef;
use crate::view::SelectOption;
use crate::view::frame::{Frame, Section};
use crate::view::key::KeyRow;
use crate::view::paging::{PagePosition, Paging};

const PAGE_SIZE: i32 = 25;
/// The value of `kind` for sessions; every other value means API keys.
const SESSIONS: &str = "sessions";
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// How long a new key may be valid: the form's value, the option's text, and the duration. None:
/// for ever.
const LIVES: [(&str, &str, Option<Duration>); 6] = [
    ("1", "1 day", Some(DAY)),
    ("7", "7 days", Some(DAY.saturating_mul(7))),
    ("30", "30 days", Some(DAY.saturating_mul(30))),
    ("90", "90 days", Some(DAY.saturating_mul(90))),
    ("365", "1 year", Some(DAY.saturating_mul(365))),
    ("never", "Never", None),
];
const DEFAULT_LIFE: &str = "90";

/// The roles for one organization, each with its purpose.
const ROLES: [(Role, &str); 3] = [
    (Role::Publisher, "publisher: publishes events, and reads those that it has published"),
    (Role::Viewer, "viewer: sees everything but secrets, keys and the audit trail"),
    (Role::Admin, "admin: may do everything"),
];

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct KeyFilter {
    kind: String,
    page: String,
    trail: String,
}

#[derive(Template)]
#[template(path = "keys.html")]
struct KeysPage {
    frame: Frame,
    rows: Vec<KeyRow>,
    are_sessions: bool,
    /// The session that the visitor is using.
    own_id: String,
    paging: Paging,
}

pub(crate) async fn list(visit: Visit, Parameters(filter): Parameters<KeyFilter>) -> Page {
    let are_sessions = filter.kind == SESSIONS;
    let kind = if are_sessions { v1::key::Kind::Session } else { v1::key::Kind::ApiKey };
    let page = PageRef { size: PAGE_SIZE, token: &filter.page };
    let listed = visit.organization().keys(page, kind).await?;
    let position = PagePosition { page: filter.page.clone(), trail: filter.trail.clone() };
    let kept = [("kind", if are_sessions { SESSIONS } else { "" })];
    render(&KeysPage {
        frame: visit.frame(Section::Keys),
        rows: listed.keys.into_iter().map(KeyRow::of).collect(),
        are_sessions,
        own_id: visit.visitor().actor.clone(),
        paging: Paging::new("/keys", &kept, &position, &listed.next_page_token, ""),
    })
}

#[derive(Template)]
#[template(path = "create_key.html")]
struct CreateKeyPage {
    frame: Frame,
    name: String,
    roles: Vec<SelectOption>,
    lives: Vec<SelectOption>,
    errors: FormErrors,
}

struct KeyInput {
    name: String,
    role: String,
    life: String,
}

pub(crate) async fn show(visit: Visit) -> Page {
    let (role, life) = (Role::Publisher.name().to_owned(), DEFAULT_LIFE.to_owned());
    form(&visit, KeyInput { name: String::new(), role, life }, FormErrors::default())
}

fn form(visit: &Visit, input: KeyInput, errors: FormErrors) -> Page {
    let roles =
        ROLES.iter().map(|(role, words)| SelectOption::new(role.name(), words, &input.role));
    let lives = LIVES.iter().map(|(value, words, _)| SelectOption::new(value, words, &input.life));
    let code = errors.status_code();
    let page = CreateKeyPage {
        frame: visit.frame(Section::Keys),
        name: input.name,
        roles: roles.collect(),
        lives: lives.collect(),
        errors,
    };
    Ok((code, render(&page)?).into_response())
}

pub(crate) async fn submit(visit: Visit, fields: Fields) -> Page {
    let input = KeyInput {
        name: fields.get("display_name").to_owned(),
        role: fields.get("role").to_owned(),
        life: fields.get("ttl").to_owned(),
    };
    let mut errors = FormErrors::default();
    errors.check(check_display_name("display_name", input.name.clone()));
    let role = ROLES.iter().find(|(role, _)| role.name() == input.role);
    if role.is_none() {
        errors.add("role", "Choose a role.".to_owned());
    }
    let life = LIVES.iter().find(|(value, _, _)| *value == input.life);
    if life.is_none() {
        errors.add("ttl", "Choose how long it is valid.".to_owned());
    }
    let (Some((role, _)), Some((_, _, life)), true) = (role, life, errors.is_empty()) else {
        return form(&visit, input, errors);
    };
    let (name, role, life) = (input.name.clone(), v1::Role::from(*role), *life);
    // Goes on if the browser disconnects: the token of the key must be kept.
    let creating = tokio::spawn({
        let visit = visit.clone();
        async move {
            let created = visit.organization().create_key(name, role, life).await?;
            let id = created.key.unwrap_or_default().id;
            visit.keep_secret(&id, created.token);
            Ok::<_, Status>(id)
        }
    });
    match creating.await.map_err(|_| ErrorPage::Internal)? {
        Ok(id) => Ok(Redirect::to(&format!("/keys/{id}/created")).into_response()),
        Err(status) => form(&visit, input, FormErrors::of_status(status)?),
    }
}

#[derive(Template)]
#[template(path = "key_created.html")]
struct KeyCreatedPage {
    frame: Frame,
    key: KeyRow,
    /// None: it has been shown before.
    token: Option<Confidential>,
}

/// After a redirect, so that a reload creates no other key. The token is shown the first time only.
pub(crate) async fn created(visit: Visit, Path(id): Path<String>) -> Page {
    let key = find(&visit, &id).await?;
    let token = visit.take_secret(&key.id).map(|new| new.secret.as_str().to_owned().into());
    render(&KeyCreatedPage { frame: visit.frame(Section::Keys), key, token })
}

#[derive(Template)]
#[template(path = "revoke_key.html")]
struct RevokeKeyPage {
    frame: Frame,
    key: KeyRow,
    /// It is the session that the visitor is using.
    is_own: bool,
}

pub(crate) async fn confirm_revoke(visit: Visit, Path(id): Path<String>) -> Page {
    let key = find(&visit, &id).await?;
    let is_own = key.id == visit.visitor().actor;
    render(&RevokeKeyPage { frame: visit.frame(Section::Keys), key, is_own })
}

pub(crate) async fn revoke(visit: Visit, Path(id): Path<String>, fields: Fields) -> Page {
    let with_made = fields.get("made") == "yes";
    let revoked = visit.organization().revoke_key(&id, with_made).await?;
    let (text, back) = match revoked.kind() {
        v1::key::Kind::Session => ("The session has ended.".to_owned(), "/keys?kind=sessions"),
        _ => {
            let name = revoked.display_name;
            let more = if with_made { " So is all that was made with it." } else { "" };
            let text =
                format!("{name} is revoked: within 5 seconds nothing accepts it any more.{more}");
            (text, "/keys")
        }
    };
    visit.keep_flash(FlashMessage::new(Tone::Neutral, text));
    Ok(Redirect::to(back).into_response())
}

async fn find(visit: &Visit, id: &str) -> Result<KeyRow, ErrorPage> {
    Ok(KeyRow::of(visit.organization().key(id).await?))
}

#[cfg(test)]
mod tests {
    use keeptrusts_webhooks_domain::access::OrganizationScope;
    use keeptrusts_webhooks_domain::key::{check_key_life, check_role};

    use super::*;

    #[test]
    fn what_the_form_offers_is_what_the_api_takes() {
        let organizations = OrganizationScope::One("acme".parse().expect("an id"));
        for (role, _) in ROLES {
            assert!(check_role(Some(role), &organizations).is_ok(), "{role:?}");
        }
        for life in LIVES.into_iter().filter_map(|(_, _, life)| life) {
            assert!(check_key_life("life", life).is_ok(), "{life:?}");
        }
        assert!(LIVES.iter().any(|(value, _, _)| *value == DEFAULT_LIFE));
    }
}
