//! Authentication, as two layers: [`require_sign_in`] before the pages of people who have signed
//! in, [`allow_anonymous`] before the sign-in pages.

use std::net::IpAddr;
use std::sync::Arc;

use axum::extract::{FromRequestParts, Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Redirect, Response};
use http::StatusCode;
use http::header::{ACCEPT, SET_COOKIE};
use http::request::Parts;
use keeptrusts_webhooks_access::forwarded_for;
use keeptrusts_webhooks_domain::access::Permission;
use keeptrusts_webhooks_process::grpc_server::Peer;
use tonic::Code;

use crate::app_state::AppState;
use crate::credentials::Credentials;
use crate::error_page::ErrorPage;
use crate::flash::{FlashMessage, Tone};
use crate::return_path::sign_in_address;
use crate::session::Session;
use crate::view::frame::Frame;
use crate::visitor::Visitor;

pub(crate) const SIGN_OUT: &str = "/sign-out";

/// In a response's extensions: the session that the browser gets with it.
#[derive(Clone)]
pub(crate) struct NewSession {
    pub(crate) session: Session,
    /// In seconds. None: until the browser is closed.
    pub(crate) max_age: Option<i64>,
}

impl NewSession {
    /// A session in which nobody has signed in.
    pub(crate) fn anonymous() -> NewSession {
        NewSession { session: Session::anonymous(), max_age: None }
    }
}

/// None: it is not known.
#[derive(Debug, Clone, Copy)]
pub(crate) struct BrowserAddress(pub(crate) Option<IpAddr>);

impl BrowserAddress {
    /// The peer's address, or the one that a trusted proxy reports.
    fn of(request: &Request, app: &AppState) -> BrowserAddress {
        let peer = Peer::of(request.extensions()).and_then(|peer| peer.address);
        // An unknown peer may not speak for others.
        let address = peer.and_then(|peer| {
            let peer = Some(peer.ip().to_canonical());
            forwarded_for(request.headers(), peer, &app.trusted_proxies)
        });
        BrowserAddress(address)
    }
}

impl<S: Sync> FromRequestParts<S> for BrowserAddress {
    type Rejection = StatusCode;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<BrowserAddress, StatusCode> {
        parts.extensions.get().copied().ok_or(StatusCode::INTERNAL_SERVER_ERROR)
    }
}

/// Serves only people who have signed in. Handlers find session, visitor and credentials in the
/// request's extensions.
pub(crate) async fn require_sign_in(
    State(app): State<Arc<AppState>>,
    mut request: Request,
    next: Next,
) -> Response {
    let refused = RefusedRequest::of(&request);
    let shown = Session::of(request.headers());
    let address = BrowserAddress::of(&request, &app);
    let token = shown.as_ref().and_then(Session::token);
    let credentials = token.map(|token| Credentials::of(&token, address.0));
    let (Some(session), Some(Ok(credentials))) = (shown.clone(), credentials) else {
        return refused.not_signed_in(shown, &app);
    };
    let recent_visitors = &app.recent_visitors;
    let visitor = match app.services.who_am_i(&credentials).await {
        // A key must not be in a cookie.
        Ok(who) if !who.session => return refused.ended(&app),
        Ok(who) => match Visitor::of(who) {
            Some(visitor) => visitor,
            None => return ErrorPage::NoPagesForRole.into_response(),
        },
        Err(status) => match (ErrorPage::from(status), recent_visitors.get(&session)) {
            (ErrorPage::SessionEnded, _) => {
                recent_visitors.forget(&session);
                return refused.ended(&app);
            }
            (ErrorPage::ServiceUnavailable, Some(visitor)) => visitor,
            (error, _) => return error.into_response(),
        },
    };
    recent_visitors.note(&session, &visitor);
    let form_token = session.form_token();
    request.extensions_mut().insert(session);
    request.extensions_mut().insert(address);
    request.extensions_mut().insert(credentials);
    request.extensions_mut().insert(visitor.clone());
    let may_enter = visitor.may(Permission::Read) || request.uri().path() == SIGN_OUT;
    let mut response = match may_enter {
        true => next.run(request).await,
        false => ErrorPage::NoPagesForRole.into_response(),
    };
    match response.extensions_mut().remove::<Arc<ErrorPage>>().as_deref() {
        // The session ended between our request and the handler's, or during the handler's.
        Some(ErrorPage::SessionEnded) => return refused.ended(&app),
        Some(error) => {
            let frame = Frame { form_token, visitor: Some(visitor), ..Frame::bare() };
            response = error.page(frame);
        }
        None => {
            response = match app.response_memory.hold(&visitor.organization, response).await {
                Ok(response) => response,
                Err(error) => {
                    error.page(Frame { form_token, visitor: Some(visitor), ..Frame::bare() })
                }
            };
        }
    }
    set_session_cookie(response, &app)
}

/// Serves everybody. A browser without a session gets an anonymous one.
pub(crate) async fn allow_anonymous(
    State(app): State<Arc<AppState>>,
    mut request: Request,
    next: Next,
) -> Response {
    let address = BrowserAddress::of(&request, &app);
    let mut known = Session::of(request.headers());
    let mut replacement = None;
    if let Some(token) = known.as_ref().and_then(Session::token)
        && let Ok(credentials) = Credentials::of(&token, address.0)
    {
        match app.services.who_am_i(&credentials).await.map(Visitor::of) {
            Ok(visitor) => _ = visitor.map(|visitor| request.extensions_mut().insert(visitor)),
            Err(status) if status.code() == Code::Unauthenticated => {
                known = None;
                replacement = Some(session_after_ended(&app));
            }
            // The visitor is not known, which does not matter here.
            Err(_) => {}
        }
    }
    let is_new = known.is_none();
    let session = known.or(replacement).unwrap_or_else(Session::anonymous);
    request.extensions_mut().insert(session.clone());
    request.extensions_mut().insert(address);
    let mut response = next.run(request).await;
    if is_new && response.extensions().get::<NewSession>().is_none() {
        response.extensions_mut().insert(NewSession { session, max_age: None });
    }
    set_session_cookie(response, &app)
}

/// Serves only visitors with a permission. Runs inside [`require_sign_in`].
pub(crate) async fn require_permission(
    State(permission): State<Permission>,
    request: Request,
    next: Next,
) -> Response {
    match request.extensions().get::<Visitor>() {
        Some(visitor) if visitor.may(permission) => next.run(request).await,
        _ => ErrorPage::NotAllowed.into_response(),
    }
}

/// Sets the cookie of the session that a handler has opened.
fn set_session_cookie(mut response: Response, app: &AppState) -> Response {
    if let Some(NewSession { session, max_age }) = response.extensions_mut().remove() {
        let cookie = session.cookie(max_age, app.is_behind_tls());
        response.headers_mut().append(SET_COOKIE, cookie);
    }
    response
}

/// An anonymous session whose first page says that the last one has ended.
fn session_after_ended(app: &AppState) -> Session {
    let session = Session::anonymous();
    let text = "Your session has ended. Sign in again to go on.";
    app.flash_messages.put(&session, FlashMessage::new(Tone::Neutral, text));
    session
}

/// A request that is refused because it has no valid session. A page redirects to the sign-in page;
/// a form and a stream get an error, since neither can be resumed after signing in.
struct RefusedRequest {
    is_page: bool,
    return_path: String,
}

impl RefusedRequest {
    fn of(request: &Request) -> RefusedRequest {
        let accepted = request.headers().get(ACCEPT).and_then(|value| value.to_str().ok());
        let is_stream = accepted.is_some_and(|types| types.contains("text/event-stream"));
        let is_sign_out = request.uri().path() == SIGN_OUT;
        let address = request.uri().path_and_query().map(|address| address.as_str());
        RefusedRequest {
            is_page: (request.method().is_safe() && !is_stream) || is_sign_out,
            return_path: match is_sign_out {
                true => String::new(),
                false => address.unwrap_or_default().to_owned(),
            },
        }
    }

    fn not_signed_in(self, known: Option<Session>, app: &AppState) -> Response {
        if !self.is_page {
            return ErrorPage::SessionEnded.into_response();
        }
        let mut response = Redirect::to(&sign_in_address(&self.return_path)).into_response();
        if known.is_none() {
            response.extensions_mut().insert(NewSession::anonymous());
        }
        set_session_cookie(response, app)
    }

    /// The session was valid once.
    fn ended(self, app: &AppState) -> Response {
        if !self.is_page {
            return ErrorPage::SessionEnded.into_response();
        }
        let new_session = NewSession { session: session_after_ended(app), max_age: None };
        let mut response = Redirect::to(&sign_in_address(&self.return_path)).into_response();
        response.extensions_mut().insert(new_session);
        set_session_cookie(response, app)
    }
}
