//! Who is let in, and to what. Two doors: one before the pages of those who have signed in, one
//! before the pages on which one signs in.

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

use crate::credentials::Credentials;
use crate::destination::sign_in_address;
use crate::error_page::ErrorPage;
use crate::notices::{Notice, Tone};
use crate::server::Shared;
use crate::session::Session;
use crate::view::frame::Frame;
use crate::visitor::Visitor;

/// Where signing out is asked for.
pub(crate) const SIGN_OUT: &str = "/sign-out";

/// In the extensions of an answer: the session that the browser has from now on.
#[derive(Clone)]
pub(crate) struct Given {
    pub(crate) session: Session,
    /// In seconds. None: until the browser is closed.
    pub(crate) max_age: Option<i64>,
}

impl Given {
    /// A session of nobody.
    pub(crate) fn anonymous() -> Given {
        Given { session: Session::anonymous(), max_age: None }
    }
}

/// Where a request comes from. None: that is not known.
#[derive(Debug, Clone, Copy)]
pub(crate) struct BrowserAddress(pub(crate) Option<IpAddr>);

impl BrowserAddress {
    /// The peer, or whom a trusted proxy says that it asks for.
    fn of(request: &Request, shared: &Shared) -> BrowserAddress {
        let peer = Peer::of(request.extensions()).and_then(|peer| peer.address);
        // An unknown peer is not one that may speak for others.
        let address = peer.and_then(|peer| {
            let peer = Some(peer.ip().to_canonical());
            forwarded_for(request.headers(), peer, &shared.trusted_proxies)
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

/// Lets nobody in but those who have signed in. Handlers find session, visitor and credentials
/// in the request.
pub(crate) async fn for_visitors(
    State(shared): State<Arc<Shared>>,
    mut request: Request,
    next: Next,
) -> Response {
    let refusal = Refusal::of(&request);
    let shown = Session::of(request.headers());
    let address = BrowserAddress::of(&request, &shared);
    let token = shown.as_ref().and_then(Session::token);
    let credentials = token.map(|token| Credentials::of(&token, address.0));
    let (Some(session), Some(Ok(credentials))) = (shown.clone(), credentials) else {
        return refusal.not_signed_in(shown, &shared);
    };
    let last_seen = &shared.last_seen;
    let visitor = match shared.services.who_am_i(&credentials).await {
        // A key has no business in a cookie.
        Ok(who) if !who.is_session => return refusal.ended(&shared),
        Ok(who) => match Visitor::of(who) {
            Some(visitor) => visitor,
            None => return ErrorPage::NoPagesForRole.into_response(),
        },
        Err(status) => match (ErrorPage::from(status), last_seen.get(&session)) {
            (ErrorPage::SessionEnded, _) => {
                last_seen.forget(&session);
                return refusal.ended(&shared);
            }
            (ErrorPage::ServiceUnavailable, Some(visitor)) => visitor,
            (error, _) => return error.into_response(),
        },
    };
    last_seen.note(&session, &visitor);
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
        // Between our question and the handler's, or while it was answered.
        Some(ErrorPage::SessionEnded) => return refusal.ended(&shared),
        Some(error) => {
            let frame = Frame { form_token, visitor: Some(visitor), ..Frame::bare() };
            response = error.page(frame);
        }
        None => {
            response = match shared.unread.page(&visitor.organization, response).await {
                Ok(response) => response,
                Err(error) => {
                    error.page(Frame { form_token, visitor: Some(visitor), ..Frame::bare() })
                }
            };
        }
    }
    give(response, &shared)
}

/// Lets everybody in. Who has no session gets one that is nobody's.
pub(crate) async fn for_anybody(
    State(shared): State<Arc<Shared>>,
    mut request: Request,
    next: Next,
) -> Response {
    let address = BrowserAddress::of(&request, &shared);
    let mut known = Session::of(request.headers());
    let mut replacement = None;
    if let Some(token) = known.as_ref().and_then(Session::token)
        && let Ok(credentials) = Credentials::of(&token, address.0)
    {
        match shared.services.who_am_i(&credentials).await.map(Visitor::of) {
            Ok(visitor) => _ = visitor.map(|visitor| request.extensions_mut().insert(visitor)),
            Err(status) if status.code() == Code::Unauthenticated => {
                known = None;
                replacement = Some(after_an_ended_one(&shared));
            }
            // It is not known whose it is, and does not matter here.
            Err(_) => {}
        }
    }
    let is_new = known.is_none();
    let session = known.or(replacement).unwrap_or_else(Session::anonymous);
    request.extensions_mut().insert(session.clone());
    request.extensions_mut().insert(address);
    let mut response = next.run(request).await;
    if is_new && response.extensions().get::<Given>().is_none() {
        response.extensions_mut().insert(Given { session, max_age: None });
    }
    give(response, &shared)
}

/// Lets in who has a permission. Behind the door for visitors.
pub(crate) async fn only_with(
    State(permission): State<Permission>,
    request: Request,
    next: Next,
) -> Response {
    match request.extensions().get::<Visitor>() {
        Some(visitor) if visitor.may(permission) => next.run(request).await,
        _ => ErrorPage::NotAllowed.into_response(),
    }
}

/// Makes the browser have the session that a handler has given it.
fn give(mut response: Response, shared: &Shared) -> Response {
    if let Some(Given { session, max_age }) = response.extensions_mut().remove() {
        let cookie = session.cookie(max_age, shared.is_behind_tls());
        response.headers_mut().append(SET_COOKIE, cookie);
    }
    response
}

/// A session of nobody, whose first page says what has become of the one before.
fn after_an_ended_one(shared: &Shared) -> Session {
    let session = Session::anonymous();
    let text = "Your session has ended. Sign in again to go on.";
    shared.notices.put(&session, Notice::new(Tone::Neutral, text));
    session
}

/// How a request is refused whose sender is not signed in: a page leads to where one signs in; a
/// form and a stream are told, since neither can be taken up again after that.
struct Refusal {
    is_page: bool,
    destination: String,
}

impl Refusal {
    fn of(request: &Request) -> Refusal {
        let accepted = request.headers().get(ACCEPT).and_then(|value| value.to_str().ok());
        let is_stream = accepted.is_some_and(|types| types.contains("text/event-stream"));
        let is_sign_out = request.uri().path() == SIGN_OUT;
        let address = request.uri().path_and_query().map(|address| address.as_str());
        Refusal {
            is_page: (request.method().is_safe() && !is_stream) || is_sign_out,
            destination: match is_sign_out {
                true => String::new(),
                false => address.unwrap_or_default().to_owned(),
            },
        }
    }

    fn not_signed_in(self, known: Option<Session>, shared: &Shared) -> Response {
        if !self.is_page {
            return ErrorPage::SessionEnded.into_response();
        }
        let mut response = Redirect::to(&sign_in_address(&self.destination)).into_response();
        if known.is_none() {
            response.extensions_mut().insert(Given::anonymous());
        }
        give(response, shared)
    }

    /// The session was one.
    fn ended(self, shared: &Shared) -> Response {
        if !self.is_page {
            return ErrorPage::SessionEnded.into_response();
        }
        let given = Given { session: after_an_ended_one(shared), max_age: None };
        let mut response = Redirect::to(&sign_in_address(&self.destination)).into_response();
        response.extensions_mut().insert(given);
        give(response, shared)
    }
}
