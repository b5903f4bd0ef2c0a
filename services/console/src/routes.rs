//! The list of pages with the permission that each requires. The router is made from it, and tests
//! read it.

use std::sync::Arc;

use axum::Router;
use axum::handler::Handler;
use axum::response::Redirect;
use axum::routing::{get, post};
use keeptrusts_webhooks_domain::access::Permission;

use crate::account::CALLBACK;
use crate::app_state::AppState;
use crate::live_updates;
use crate::pages::guest::CHOOSE_ORGANIZATION;
use crate::pages::{
    account, audit, channels, create, delivery, edit, endpoint, events, health, keys, organization,
    replay, sign_in, webhooks,
};

pub(crate) type Pages = Router<Arc<AppState>>;

/// Routes, and the paths that answer GET.
#[derive(Default)]
pub(crate) struct Routes {
    pub(crate) pages: Pages,
    shown: Vec<&'static str>,
}

impl Routes {
    /// A page to read.
    fn page<H, T>(mut self, path: &'static str, show: H) -> Routes
    where
        H: Handler<T, Arc<AppState>>,
        T: 'static,
    {
        self.shown.push(path);
        self.pages = self.pages.route(path, get(show));
        self
    }

    /// A form, and what it submits to.
    fn form<H, T, G, U>(mut self, path: &'static str, show: H, submit: G) -> Routes
    where
        H: Handler<T, Arc<AppState>>,
        T: 'static,
        G: Handler<U, Arc<AppState>>,
        U: 'static,
    {
        self.shown.push(path);
        self.pages = self.pages.route(path, get(show).post(submit));
        self
    }

    /// A button.
    fn action<H, T>(mut self, path: &'static str, act: H) -> Routes
    where
        H: Handler<T, Arc<AppState>>,
        T: 'static,
    {
        self.pages = self.pages.route(path, post(act));
        self
    }
}

/// Every path that answers GET, as axum writes it: `/webhooks/{endpoint}`. Those that end with
/// `/live` are streams of events.
pub fn shown_paths() -> Vec<&'static str> {
    let signed_in = by_permission().into_iter().map(|(_, routes)| routes);
    signed_in.chain([for_signing_in()]).flat_map(|routes| routes.shown).collect()
}

/// Each group with the permission that it requires: what a page does not offer cannot be requested
/// either.
pub(crate) fn by_permission() -> [(Permission, Routes); 5] {
    [
        (Permission::Read, reading()),
        (Permission::Manage, managing()),
        (Permission::Send, sending()),
        (Permission::ManageKeys, managing_keys()),
        (Permission::ReadAudit, auditing()),
    ]
}

/// For people who have not signed in.
pub(crate) fn for_signing_in() -> Routes {
    Routes::default()
        .form("/sign-in", sign_in::show, sign_in::submit)
        .action("/sign-in/account", account::start)
        .page(CALLBACK, account::callback)
        .form(CHOOSE_ORGANIZATION, organization::show, organization::submit)
}

fn reading() -> Routes {
    Routes::default()
        .page("/", async || Redirect::to("/webhooks"))
        .page("/webhooks", webhooks::show)
        .page("/webhooks/{endpoint}", endpoint::show)
        .page("/webhooks/{endpoint}/live", live_updates::endpoint)
        .page("/deliveries/{delivery}", delivery::show)
        .page("/deliveries/{delivery}/live", live_updates::delivery)
        .page("/deliveries/{delivery}/request", delivery::request)
        .page("/deliveries/{delivery}/response", delivery::response)
        .page("/channels", channels::list)
        .page("/channels/{channel}", channels::show)
        .page("/health", health::show)
        .page("/replays/{replay}", replay::show_replay)
        .page("/replays/{replay}/live", live_updates::replay)
        .page("/events", events::list)
        .page("/events/{event}", events::show)
        .page("/events/{event}/body", events::body)
}

fn managing() -> Routes {
    Routes::default()
        .form("/channels/new", channels::show_create_form, channels::create)
        .form("/channels/{channel}/edit", channels::show_edit_form, channels::edit)
        .form("/channels/{channel}/delete", channels::confirm_delete, channels::delete)
        .form("/webhooks/new", create::show, create::submit)
        .page("/webhooks/{endpoint}/created", create::created)
        .page("/webhooks/{endpoint}/secret", create::new_secret)
        .action("/webhooks/{endpoint}/enable", endpoint::enable)
        .action("/webhooks/{endpoint}/disable", endpoint::disable)
        .form("/webhooks/{endpoint}/edit", edit::show, edit::submit)
        .form("/webhooks/{endpoint}/delete", endpoint::confirm_delete, endpoint::delete)
}

fn sending() -> Routes {
    Routes::default()
        .action("/channels/{channel}/test", channels::test)
        .action("/webhooks/{endpoint}/test", endpoint::test)
        .form("/webhooks/{endpoint}/replay", replay::show, replay::submit)
        .action("/replays/{replay}/cancel", replay::cancel)
        .action("/deliveries/{delivery}/retry", delivery::retry)
        .action("/deliveries/{delivery}/cancel", delivery::cancel)
}

fn managing_keys() -> Routes {
    Routes::default()
        .page("/keys", keys::list)
        .form("/keys/new", keys::show, keys::submit)
        .page("/keys/{key}/created", keys::created)
        .form("/keys/{key}/revoke", keys::confirm_revoke, keys::revoke)
}

fn auditing() -> Routes {
    Routes::default().page("/audit", audit::list).page("/audit.csv", audit::export)
}
