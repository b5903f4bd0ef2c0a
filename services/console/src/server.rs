//! The server, and what stands before every page.

use std::future::IntoFuture;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::serve::ListenerExt;
use http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, HOST, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
};
use http::uri::Authority;
use http::{HeaderName, HeaderValue};
use ipnet::IpNet;
use keeptrusts_webhooks_contracts::v1;
use keeptrusts_webhooks_domain::ids::OrganizationId;
use keeptrusts_webhooks_process::grpc_server::{ListenError, Listener};
use keeptrusts_webhooks_process::shares::Pool;
use keeptrusts_webhooks_process::shutdown::{Phase, Shutdown};
use tokio::sync::OnceCell;
use tokio_util::sync::CancellationToken;
use tower_http::csrf::{CsrfLayer, ProtectionError};
use tower_http::set_header::SetResponseHeaderLayer;

use crate::account::{Accounts, AccountsError};
use crate::assets;
use crate::choices::Choices;
use crate::door::{SIGN_OUT, for_anybody, for_visitors, only_with};
use crate::fields::with_checked_form;
use crate::flags::{ConsoleFlags, DEFAULT_LISTEN, Trust};
use crate::live;
use crate::notices::Notices;
use crate::pages::sign_in;
use crate::public_url::PublicUrl;
use crate::routes::{self, Pages};
use crate::services::Services;
use crate::trouble::Trouble;
use crate::visitor::LastSeen;

/// Everything from here, nothing from elsewhere; no script and no style inside of a page.
const CONTENT_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; \
     img-src 'self'; connect-src 'self'; form-action 'self'; base-uri 'none'; \
     frame-ancestors 'none'";

/// A console that listens, and does not answer yet.
pub struct Console {
    listener: Listener,
    flags: ConsoleFlags,
    trust: Trust,
    accounts: Option<Accounts>,
}

/// Why there is no console.
#[derive(Debug, thiserror::Error)]
pub enum ConsoleError {
    /// The address cannot be listened on.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// Keys and sessions would cross a network in clear.
    #[error(
        "cannot let the console listen on {0}: it speaks plain HTTP, so it must be an address of this machine's own, such as 127.0.0.1:8080; to use it from elsewhere, forward the port through SSH, or let a proxy terminate TLS before it and give --console-public-url"
    )]
    NotLoopback(SocketAddr),
    /// Nobody could sign in with an account.
    #[error(transparent)]
    Accounts(#[from] AccountsError),
    /// The listening socket failed.
    #[error("the console's server failed")]
    Serve(#[from] io::Error),
}

/// What all pages share.
pub(crate) struct Shared {
    /// What is proposed to who could see any organization.
    pub(crate) organization: OrganizationId,
    /// Where browsers find the console, if that is not on this machine.
    pub(crate) public_url: Option<PublicUrl>,
    /// Who may say whom they ask for.
    pub(crate) trusted_proxies: Vec<IpNet>,
    pub(crate) services: Services,
    /// None: one signs in with keys only.
    pub(crate) accounts: Option<Accounts>,
    pub(crate) notices: Notices,
    pub(crate) last_seen: LastSeen,
    pub(crate) choices: Choices,
    /// The event types, once a service has told them: they are the same as long as it runs.
    pub(crate) event_types: OnceCell<Vec<v1::EventType>>,
    /// The places of pages that are kept up to date.
    pub(crate) live_pages: Arc<Pool<String>>,
    /// Streams that would go on for ever end.
    pub(crate) shutdown: CancellationToken,
}

impl Shared {
    /// Whether browsers reach the console over TLS only.
    pub(crate) fn is_behind_tls(&self) -> bool {
        self.public_url.is_some()
    }
}

impl Console {
    /// Listens where the flags say.
    pub async fn bind(flags: &ConsoleFlags, trust: Trust) -> Result<Console, ConsoleError> {
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
    pub async fn serve(self, services: Services, ending: Shutdown) -> Result<(), ConsoleError> {
        let shutdown = ending.asked().clone();
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
        let shared = Shared {
            organization: self.flags.organization,
            public_url: self.flags.console_public_url,
            trusted_proxies: self.trust.proxies,
            services,
            accounts: self.accounts,
            notices: Notices::default(),
            last_seen: LastSeen::default(),
            choices: Choices::default(),
            event_types: OnceCell::new(),
            live_pages: live::live_pages(),
            shutdown: shutdown.clone(),
        };
        // Small answers must not wait for the acknowledgement of earlier ones.
        let listener = self.listener.into_socket().tap_io(|connection| {
            _ = connection.set_nodelay(true);
        });
        let router = router(Arc::new(shared));
        let service = router.into_make_service_with_connect_info::<SocketAddr>();
        let served = axum::serve(listener, service)
            .with_graceful_shutdown(shutdown.clone().cancelled_owned());
        let out_of_patience = async {
            shutdown.cancelled().await;
            tokio::time::sleep(ending.left(Phase::Pages)).await;
        };
        tokio::select! {
            served = served.into_future() => Ok(served?),
            () = out_of_patience => Ok(()),
        }
    }
}

fn router(shared: Arc<Shared>) -> Router {
    for_those_who_have_signed_in(&shared)
        .merge(for_those_who_sign_in(&shared))
        .with_state(Arc::clone(&shared))
        .route("/assets/{digest}/{file}", get(assets::serve))
        .layer(CsrfLayer::new().with_rejection_response(|error: ProtectionError| {
            tracing::warn!(%error, "refused a form of another site");
            Trouble::ForeignForm.into_response()
        }))
        .layer(from_fn_with_state(shared, only_under_its_own_name))
        .layer(header(CONTENT_SECURITY_POLICY, CONTENT_POLICY))
        .layer(header(X_CONTENT_TYPE_OPTIONS, "nosniff"))
        .layer(header(REFERRER_POLICY, "same-origin"))
        .layer(header(CACHE_CONTROL, "no-store"))
}

fn for_those_who_have_signed_in(shared: &Arc<Shared>) -> Pages {
    let mut pages = Router::new().route(SIGN_OUT, post(sign_in::sign_out));
    for (permission, routes) in routes::by_permission() {
        pages = pages.merge(routes.pages.route_layer(from_fn_with_state(permission, only_with)));
    }
    pages
        .fallback(async || Trouble::NotFound)
        .method_not_allowed_fallback(async || Trouble::NotFound)
        .layer(from_fn(with_checked_form))
        .layer(from_fn_with_state(Arc::clone(shared), for_visitors))
}

fn for_those_who_sign_in(shared: &Arc<Shared>) -> Pages {
    let pages = routes::for_signing_in().pages;
    pages
        .method_not_allowed_fallback(async || Trouble::NotFound)
        .layer(from_fn(with_checked_form))
        .layer(from_fn_with_state(Arc::clone(shared), for_anybody))
}

/// A header of every answer that does not have its own.
fn header(name: HeaderName, value: &'static str) -> SetResponseHeaderLayer<HeaderValue> {
    SetResponseHeaderLayer::if_not_present(name, HeaderValue::from_static(value))
}

/// A page of another site whose name has been made to resolve to 127.0.0.1 (DNS rebinding) is
/// of the console's origin as far as a browser can tell; the name gives it away.
async fn only_under_its_own_name(
    State(shared): State<Arc<Shared>>,
    request: Request,
    next: Next,
) -> Response {
    let host = request.headers().get(HOST).and_then(|host| host.to_str().ok());
    if host.is_some_and(|host| is_own_name(host, shared.public_url.as_ref())) {
        return next.run(request).await;
    }
    Trouble::ForeignHost.into_response()
}

/// This machine's own names, and the one that the operator has given the console.
fn is_own_name(authority: &str, public_url: Option<&PublicUrl>) -> bool {
    let Ok(authority) = authority.parse::<Authority>() else { return false };
    let host = authority.host().trim_start_matches('[').trim_end_matches(']');
    host.eq_ignore_ascii_case("localhost")
        || host.parse().is_ok_and(|address: IpAddr| address.is_loopback())
        || public_url.is_some_and(|url| url.is_host(host))
}

#[cfg(test)]
mod tests {
    use keeptrusts_webhooks_access::issuer::IssuerSettings;

    use super::*;
    use crate::flags::AccountFlags;

    #[test]
    fn a_name_that_is_not_its_own_is_refused() {
        for host in ["localhost", "localhost:8080", "127.0.0.1:8080", "[::1]:8080", "LocalHost"] {
            assert!(is_own_name(host, None), "{host}");
        }
        let public_url = "https://hooks.example.com".parse().ok();
        assert!(is_own_name("hooks.example.com", public_url.as_ref()));
        assert!(is_own_name("127.0.0.1:8080", public_url.as_ref()), "for its own machine's checks");
        for host in ["attacker.example", "attacker.example:8080", "localhost.attacker.example", ""]
        {
            assert!(!is_own_name(host, public_url.as_ref()), "{host}");
        }
        assert!(!is_own_name("hooks.example.com", None));
    }

    #[tokio::test]
    async fn it_listens_for_this_machine_only_unless_a_proxy_terminates_tls() {
        let mut flags = ConsoleFlags {
            console_listen: Some("0.0.0.0:0".parse().expect("an address")),
            console_public_url: None,
            organization: "default".parse().expect("an id"),
            accounts: accounts(None),
        };
        let bound = Console::bind(&flags, Trust::default()).await;
        assert!(matches!(bound, Err(ConsoleError::NotLoopback(_))));
        flags.console_public_url = "https://hooks.example.com".parse().ok();
        assert!(Console::bind(&flags, Trust::default()).await.is_ok());
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
            };
            let issuer = issuer.map(|identifier| IssuerSettings {
                identifier: identifier.to_owned(),
                jwks_file: None,
                ca: None,
            });
            let audiences =
                audiences.map(|names| names.iter().map(|it| (*it).to_owned()).collect());
            let bound = Console::bind(&flags, Trust { issuer, audiences, ..Trust::default() });
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
