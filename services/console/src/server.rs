//! The server, and the layers before every page.

use std::net::SocketAddr;
use std::sync::{Arc, Once};

use axum::Router;
use axum::extract::{Request, State};
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
};
use http::{HeaderName, HeaderValue};
use keeptrusts_webhooks_process::connections::{ListenError, Listener};
use keeptrusts_webhooks_process::http_server;
use keeptrusts_webhooks_process::shutdown::{Phase, Shutdown};
use tokio::sync::OnceCell;
use tower_http::set_header::SetResponseHeaderLayer;

use crate::account::{Accounts, AccountsError};
use crate::app_state::AppState;
use crate::authentication::{SIGN_OUT, allow_anonymous, require_permission, require_sign_in};
use crate::error_page::ErrorPage;
use crate::fields::with_checked_form;
use crate::flags::{ConsoleFlags, ConsoleTrust, DEFAULT_LISTEN};
use crate::flash::FlashMessages;
use crate::organization_choices::OrganizationChoices;
use crate::pages::{asset, sign_in};
use crate::public_url::PublicUrl;
use crate::request_origin;
use crate::response_memory::ResponseMemory;
use crate::routes::{self, Pages};
use crate::services::Services;
use crate::visitor::RecentVisitors;
use crate::{compression, live_updates};

/// Everything from here, nothing from elsewhere; no script and no style inside a page.
const CONTENT_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; \
     img-src 'self'; connect-src 'self'; form-action 'self'; base-uri 'none'; \
     frame-ancestors 'none'";

/// A console that listens, and does not answer yet.
pub struct Console {
    listener: Listener,
    flags: ConsoleFlags,
    trust: ConsoleTrust,
    accounts: Option<Accounts>,
}

/// Why the console cannot start.
#[derive(Debug, thiserror::Error)]
pub enum ConsoleError {
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// Keys and sessions would cross a network in clear.
    #[error(
        "cannot let the console listen on {0}: it speaks plain HTTP, so it must be an address of this machine's own, such as 127.0.0.1:8080; to use it from elsewhere, forward the port through SSH, or let a proxy terminate TLS before it and give --console-public-url"
    )]
    NotLoopback(SocketAddr),
    #[error(transparent)]
    Accounts(#[from] AccountsError),
}

impl Console {
    /// Listens where the flags say.
    pub async fn bind(flags: &ConsoleFlags, trust: ConsoleTrust) -> Result<Console, ConsoleError> {
        let address = flags.console_listen.unwrap_or(DEFAULT_LISTEN);
        if !address.ip().is_loopback() && flags.console_public_url.is_none() {
            return Err(ConsoleError::NotLoopback(address));
        }
        let listener = Listener::bind(address, "--console-listen").await?;
        let home = match &flags.console_public_url {
            Some(url) => url.to_string(),
            None => format!("http://{}", listener.local_address()),
        };
        let accounts = Accounts::new(&flags.accounts, &trust, home)?;
        Ok(Console { listener, flags: flags.clone(), trust, accounts })
    }

    /// The address with its actual port.
    pub fn address(&self) -> SocketAddr {
        self.listener.local_address()
    }

    /// Serves until the process is asked to stop; pages under way are finished.
    pub async fn serve(self, services: Services, ending: Shutdown) {
        let shutdown = ending.requested().clone();
        match &self.flags.console_public_url {
            Some(url) => tracing::info!(listening = %self.address(), "the console is at {url}/"),
            None => tracing::info!("the console is at http://{}/", self.address()),
        }
        if let Some(accounts) = &self.accounts {
            tracing::info!(
                redirect_uri = accounts.redirect_uri(),
                "people sign in with their accounts at {}; this redirect URI has to be registered there",
                accounts.name()
            );
        }
        let limits = self.flags.limits.limits(self.trust.proxies.clone());
        let app = AppState {
            organization: self.flags.organization,
            public_url: self.flags.console_public_url,
            trusted_proxies: self.trust.proxies,
            proxy_warning: Once::new(),
            services,
            accounts: self.accounts,
            flash_messages: FlashMessages::default(),
            recent_visitors: RecentVisitors::default(),
            organization_choices: OrganizationChoices::default(),
            event_types: OnceCell::new(),
            live_pages: live_updates::live_pages(),
            response_memory: ResponseMemory::default(),
            shutdown: shutdown.clone(),
        };
        let router = router(Arc::new(app));
        let grace_period = move || ending.remaining(Phase::Pages);
        http_server::serve(self.listener, limits, router, shutdown, grace_period).await;
    }
}

fn router(app: Arc<AppState>) -> Router {
    signed_in_pages(&app)
        .merge(sign_in_pages(&app))
        .with_state(Arc::clone(&app))
        .route("/assets/{digest}/{file}", get(asset::show))
        .layer(from_fn_with_state(app, refuse_foreign_origins))
        .layer(header(CONTENT_SECURITY_POLICY, CONTENT_POLICY))
        .layer(header(X_CONTENT_TYPE_OPTIONS, "nosniff"))
        .layer(header(REFERRER_POLICY, "same-origin"))
        .layer(header(CACHE_CONTROL, "no-store"))
        .layer(compression::layer())
}

fn signed_in_pages(app: &Arc<AppState>) -> Pages {
    let mut pages = Router::new().route(SIGN_OUT, post(sign_in::sign_out));
    for (permission, routes) in routes::by_permission() {
        pages = pages
            .merge(routes.pages.route_layer(from_fn_with_state(permission, require_permission)));
    }
    pages
        .fallback(async || ErrorPage::NotFound)
        .method_not_allowed_fallback(async || ErrorPage::NotFound)
        .layer(from_fn(with_checked_form))
        .layer(from_fn_with_state(Arc::clone(app), require_sign_in))
}

fn sign_in_pages(app: &Arc<AppState>) -> Pages {
    let pages = routes::for_signing_in().pages;
    pages
        .method_not_allowed_fallback(async || ErrorPage::NotFound)
        .layer(from_fn(with_checked_form))
        .layer(from_fn_with_state(Arc::clone(app), allow_anonymous))
}

/// Adds a header to every response that does not have its own.
fn header(name: HeaderName, value: &'static str) -> SetResponseHeaderLayer<HeaderValue> {
    SetResponseHeaderLayer::if_not_present(name, HeaderValue::from_static(value))
}

/// Answers only to its own name, and accepts only forms of its own pages. The cause may be the
/// proxy or our configuration, so the page and the log name both.
async fn refuse_foreign_origins(
    State(app): State<Arc<AppState>>,
    request: Request,
    next: Next,
) -> Response {
    match check_source(&request, app.public_url.as_ref()) {
        Ok(()) => {
            if !app.is_behind_tls() && request_origin::came_over_tls(request.headers()) {
                app.proxy_warning.call_once(|| {
                    tracing::warn!(
                        "a proxy that terminates TLS stands before the console, which was not told of it: its cookies are not marked Secure; give --console-public-url with the https:// address"
                    );
                });
            }
            next.run(request).await
        }
        Err(error) => {
            tracing::warn!(reason = error.text(), "refused a request");
            error.into_response()
        }
    }
}

/// With a public URL, a request under another name has no cookie of the console's (which belongs to
/// that URL, and is sent over TLS only), and so gets only the sign-in page; and a proxy may pass on
/// any name. Without a public URL, the name reveals DNS rebinding.
fn check_source(request: &Request, public_url: Option<&PublicUrl>) -> Result<(), ErrorPage> {
    let host = request_origin::shown_host(request.headers());
    if public_url.is_none() && !request_origin::is_this_machine(&host) {
        return Err(ErrorPage::foreign_host(&host));
    }
    if request.method().is_safe() {
        return Ok(());
    }
    let checked = request_origin::check(request.headers(), public_url);
    checked.map_err(|foreign| ErrorPage::foreign_form(&foreign, &host, public_url))
}

#[cfg(test)]
mod tests {
    use keeptrusts_webhooks_access::issuer::IssuerSettings;

    use super::*;
    use crate::flags::{AccountFlags, ConsoleLimitFlags};

    fn source(host: &str, public_url: Option<&str>) -> Result<(), String> {
        let request = Request::builder().header(http::header::HOST, host);
        let request = request.body(axum::body::Body::empty()).expect("a request");
        let public_url = public_url.map(|url| url.parse().expect("a URL"));
        check_source(&request, public_url.as_ref()).map_err(|error| error.text().to_owned())
    }

    #[test]
    fn a_name_that_is_not_its_own_is_refused_unless_a_proxy_may_pass_it_on() {
        assert_eq!(source("127.0.0.1:8080", None), Ok(()));
        let said = source("hooks.example.com", None).expect_err("it may be another site's");
        assert!(said.contains("--console-public-url https://hooks.example.com"), "{said}");
        let said = source("hooks.example.com:8080", None).expect_err("it may be another site's");
        assert!(!said.contains("https://hooks.example.com:8080"), "that is plain HTTP: {said}");
        for host in ["hooks.example.com", "console:8080", "127.0.0.1:8080"] {
            assert_eq!(source(host, Some("https://hooks.example.com")), Ok(()), "{host}");
        }
    }

    #[tokio::test]
    async fn it_listens_for_this_machine_only_unless_a_proxy_terminates_tls() {
        let mut flags = ConsoleFlags {
            console_listen: Some("0.0.0.0:0".parse().expect("an address")),
            console_public_url: None,
            organization: "default".parse().expect("an id"),
            accounts: accounts(None),
            limits: ConsoleLimitFlags::default(),
        };
        let bound = Console::bind(&flags, ConsoleTrust::default()).await;
        assert!(matches!(bound, Err(ConsoleError::NotLoopback(_))));
        flags.console_public_url = "https://hooks.example.com".parse().ok();
        assert!(Console::bind(&flags, ConsoleTrust::default()).await.is_ok());
    }

    fn accounts(client_id: Option<&str>) -> AccountFlags {
        AccountFlags {
            oidc_client_id: client_id.map(str::to_owned),
            oidc_client_secret: None,
            oidc_client_secret_file: None,
            oidc_scope: Vec::new(),
            oidc_label: None,
        }
    }

    #[tokio::test]
    async fn accounts_need_an_issuer_and_services_that_accept_their_tokens() {
        let bound = async |issuer: Option<&str>, audiences: Option<&[&str]>| {
            let flags = ConsoleFlags {
                console_listen: Some("127.0.0.1:0".parse().expect("an address")),
                console_public_url: None,
                organization: "default".parse().expect("an id"),
                accounts: accounts(Some("console")),
                limits: ConsoleLimitFlags::default(),
            };
            let issuer = issuer.map(|identifier| IssuerSettings {
                identifier: identifier.to_owned(),
                jwks_file: None,
                ca: None,
            });
            let audiences =
                audiences.map(|names| names.iter().map(|it| (*it).to_owned()).collect());
            let bound = Console::bind(
                &flags,
                ConsoleTrust { issuer, audiences, ..ConsoleTrust::default() },
            );
            bound.await.map(drop).map_err(|error| error.to_string())
        };
        let issuer = Some("https://id.example");
        assert_eq!(bound(issuer, None).await, Ok(()), "the gate is elsewhere");
        assert_eq!(bound(issuer, Some(&["api", "console"])).await, Ok(()));
        let said = bound(issuer, Some(&["api"])).await.expect_err("not an audience");
        assert!(said.contains("console, which is not an --oidc-audience"), "{said}");
        let said = bound(None, None).await.expect_err("no issuer");
        assert!(said.contains("--oidc-issuer is not"), "{said}");
    }
}
