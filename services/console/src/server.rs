//! Routes, and what stands before every page.

use std::future::IntoFuture;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::{get, post};
use axum::serve::ListenerExt;
use http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, HOST, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
};
use http::uri::Authority;
use http::{HeaderName, HeaderValue};
use keeptrusts_webhooks_contracts::v1;
use keeptrusts_webhooks_domain::ids::OrganizationId;
use keeptrusts_webhooks_process::grpc_server::{ListenError, Listener};
use tokio::sync::OnceCell;
use tokio_util::sync::CancellationToken;
use tower_http::csrf::{CsrfLayer, ProtectionError};
use tower_http::set_header::SetResponseHeaderLayer;

use crate::fields::with_checked_form;
use crate::flags::{ConsoleFlags, DEFAULT_LISTEN};
use crate::notices::Notices;
use crate::pages::{create, delivery, edit, endpoint, events, webhooks};
use crate::services::Services;
use crate::session::with_session;
use crate::trouble::Trouble;
use crate::{assets, live};

/// Everything from here, nothing from elsewhere; no script and no style inside of a page.
const CONTENT_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; \
     img-src 'self'; connect-src 'self'; form-action 'self'; base-uri 'none'; \
     frame-ancestors 'none'";

/// What pages under way may take when the process is asked to stop.
const GRACE_PERIOD: Duration = Duration::from_secs(5);

/// A console that listens, and does not answer yet.
#[derive(Debug)]
pub struct Console {
    listener: Listener,
    organization: OrganizationId,
}

/// Why there is no console.
#[derive(Debug, thiserror::Error)]
pub enum ConsoleError {
    /// The address cannot be listened on.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// Everybody who reaches the console may do everything.
    #[error(
        "cannot let the console listen on {0}: nobody has to log in yet, so it must be an address of this machine's own, such as 127.0.0.1:8080; to use it from elsewhere, forward the port through SSH"
    )]
    NotLoopback(SocketAddr),
    /// The listening socket failed.
    #[error("the console's server failed")]
    Serve(#[from] io::Error),
}

/// What all pages share.
pub(crate) struct Shared {
    pub(crate) organization: OrganizationId,
    pub(crate) services: Services,
    pub(crate) notices: Notices,
    /// The event types, once a service has told them: they are the same as long as it runs.
    pub(crate) event_types: OnceCell<Vec<v1::EventType>>,
    /// Streams that would go on for ever end.
    pub(crate) shutdown: CancellationToken,
}

impl Console {
    /// Listens where the flags say.
    pub async fn bind(flags: &ConsoleFlags) -> Result<Console, ConsoleError> {
        let address = flags.console_listen.unwrap_or(DEFAULT_LISTEN);
        if !address.ip().is_loopback() {
            return Err(ConsoleError::NotLoopback(address));
        }
        let listener = Listener::bind(address, "--console-listen").await?;
        Ok(Console { listener, organization: flags.organization.clone() })
    }

    /// The address with its actual port.
    pub fn address(&self) -> SocketAddr {
        self.listener.local_address()
    }

    /// Serves until `shutdown` is cancelled; pages under way are finished.
    pub async fn serve(
        self,
        services: Services,
        shutdown: CancellationToken,
    ) -> Result<(), ConsoleError> {
        tracing::info!(organization = %self.organization, "the console is at http://{}/", self.address());
        let shared = Shared {
            organization: self.organization,
            services,
            notices: Notices::default(),
            event_types: OnceCell::new(),
            shutdown: shutdown.clone(),
        };
        // Small answers must not wait for the acknowledgement of earlier ones.
        let listener = self.listener.into_socket().tap_io(|connection| {
            _ = connection.set_nodelay(true);
        });
        let served = axum::serve(listener, router(Arc::new(shared)))
            .with_graceful_shutdown(shutdown.clone().cancelled_owned());
        let out_of_patience = async {
            shutdown.cancelled().await;
            tokio::time::sleep(GRACE_PERIOD).await;
        };
        tokio::select! {
            served = served.into_future() => Ok(served?),
            () = out_of_patience => Ok(()),
        }
    }
}

fn router(shared: Arc<Shared>) -> Router {
    let pages = Router::new()
        .route("/", get(async || Redirect::to("/webhooks")))
        .route("/webhooks", get(webhooks::show))
        .route("/webhooks/new", get(create::show).post(create::submit))
        .route("/webhooks/{endpoint}", get(endpoint::show))
        .route("/webhooks/{endpoint}/live", get(live::endpoint))
        .route("/webhooks/{endpoint}/created", get(create::created))
        .route("/webhooks/{endpoint}/secret", get(create::new_secret))
        .route("/webhooks/{endpoint}/test", post(endpoint::test))
        .route("/webhooks/{endpoint}/enable", post(endpoint::enable))
        .route("/webhooks/{endpoint}/disable", post(endpoint::disable))
        .route("/webhooks/{endpoint}/edit", get(edit::show).post(edit::submit))
        .route("/webhooks/{endpoint}/delete", get(endpoint::ask_delete).post(endpoint::delete))
        .route("/deliveries/{delivery}", get(delivery::show))
        .route("/deliveries/{delivery}/live", get(live::delivery))
        .route("/deliveries/{delivery}/response", get(delivery::response))
        .route("/deliveries/{delivery}/retry", post(delivery::retry))
        .route("/deliveries/{delivery}/cancel", post(delivery::cancel))
        .route("/events", get(events::list))
        .route("/events/{event}", get(events::show))
        .route("/events/{event}/body", get(events::body));
    pages
        .with_state(shared)
        .layer(from_fn(with_checked_form))
        .layer(from_fn(with_session))
        .route("/assets/{digest}/{file}", get(assets::serve))
        .fallback(async || Trouble::NotFound)
        .method_not_allowed_fallback(async || Trouble::NotFound)
        .layer(CsrfLayer::new().with_rejection_response(|error: ProtectionError| {
            tracing::warn!(%error, "refused a form of another site");
            Trouble::ForeignForm.into_response()
        }))
        .layer(from_fn(only_for_this_machine))
        .layer(header(CONTENT_SECURITY_POLICY, CONTENT_POLICY))
        .layer(header(X_CONTENT_TYPE_OPTIONS, "nosniff"))
        .layer(header(REFERRER_POLICY, "same-origin"))
        .layer(header(CACHE_CONTROL, "no-store"))
}

/// A header of every answer that does not have its own.
fn header(name: HeaderName, value: &'static str) -> SetResponseHeaderLayer<HeaderValue> {
    SetResponseHeaderLayer::if_not_present(name, HeaderValue::from_static(value))
}

/// A page of another site whose name has been made to resolve to 127.0.0.1 (DNS rebinding) is
/// of the console's origin as far as a browser can tell; the name gives it away.
async fn only_for_this_machine(request: Request, next: Next) -> Response {
    let host = request.headers().get(HOST).and_then(|host| host.to_str().ok());
    if host.is_some_and(is_this_machine) {
        return next.run(request).await;
    }
    Trouble::ForeignHost.into_response()
}

fn is_this_machine(authority: &str) -> bool {
    let Ok(authority) = authority.parse::<Authority>() else { return false };
    let host = authority.host().trim_start_matches('[').trim_end_matches(']');
    host.eq_ignore_ascii_case("localhost")
        || host.parse().is_ok_and(|address: IpAddr| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_is_not_this_machines_is_refused() {
        for host in ["localhost", "localhost:8080", "127.0.0.1:8080", "[::1]:8080", "LocalHost"] {
            assert!(is_this_machine(host), "{host}");
        }
        for host in ["attacker.example", "attacker.example:8080", "localhost.attacker.example", ""]
        {
            assert!(!is_this_machine(host), "{host}");
        }
    }

    #[tokio::test]
    async fn it_listens_for_this_machine_only() {
        let flags = ConsoleFlags {
            console_listen: Some("0.0.0.0:0".parse().expect("an address")),
            organization: "default".parse().expect("an id"),
        };
        assert!(matches!(Console::bind(&flags).await, Err(ConsoleError::NotLoopback(_))));
    }
}
