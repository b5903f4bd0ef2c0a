//! The gate: from a request to the caller that may make it.

use std::fmt::Display;
use std::future::pending;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use http::request::Parts;
use ipnet::IpNet;
use keeptrusts_webhooks_contracts::status::{self, Reason};
use keeptrusts_webhooks_domain::Timestamp;
use keeptrusts_webhooks_domain::access::{Caller, Credential, Permission, Role};
use keeptrusts_webhooks_process::grpc_server::Gate;
use keeptrusts_webhooks_store::Clock;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tonic::Status;

use crate::address;
use crate::bearer::{Bearer, bearer};
use crate::failures::Failures;
use crate::keys::Keys;
use crate::limits::{CLOCK_SKEW, ISSUER_KEYS_PAUSE, KEY_MEMORY};
use crate::refusals::Refusals;
use crate::rules::{Rule, rule_of};
use crate::web_tokens::{NoCaller, WebTokens};

/// Who may ask what in this process.
pub(crate) struct Access {
    pub(crate) keys: Arc<Keys>,
    pub(crate) web_tokens: Option<WebTokens>,
    pub(crate) failures: Failures,
    pub(crate) refusals: Refusals,
    pub(crate) trusted_proxies: Vec<IpNet>,
    pub(crate) clock: Clock,
    pub(crate) stop: CancellationToken,
    pub(crate) noting: tokio::sync::Mutex<Option<JoinHandle<()>>>,
}

impl Access {
    /// Whose the request's token is.
    async fn authenticate(&self, request: &Parts) -> Result<Caller, Status> {
        let peer = address::peer(request);
        // Failures are counted by whom a call is made for: one browser's wrong keys must not
        // keep out everybody who uses the same console.
        let address = address::caller(request, peer, &self.trusted_proxies);
        let wrong = |kind, why: &dyn Display| self.failed(address, kind, why);
        let found = match bearer(&request.headers) {
            Bearer::Key(token) => match self.keys.caller(&token).await? {
                Some(caller) => Ok(caller),
                None => Err(wrong("key", &"the key or session is unknown, over or revoked")),
            },
            Bearer::WebToken(token) => match &self.web_tokens {
                Some(web_tokens) => {
                    web_tokens.caller(token).await.map_err(|why| self.no_caller(address, why))
                }
                None => Err(wrong("flags", &"web tokens are accepted with --oidc-issuer only")),
            },
            Bearer::Unreadable(why) => Err(wrong("authorization", &why)),
            // Who shows nothing guesses nothing.
            Bearer::Missing => return Err(status::unauthenticated(NO_TOKEN)),
        };
        Ok(Caller { address, ..found? })
    }

    /// The answer to a web token that makes nobody a caller.
    fn no_caller(&self, address: Option<IpAddr>, why: NoCaller) -> Status {
        match why {
            NoCaller::Invalid(defect) => self.failed(address, defect.kind(), &defect),
            NoCaller::Insufficient(lacks) => {
                self.refusals.log(lacks.kind, &lacks.what, address);
                status::permission_denied(lacks.what)
            }
            NoCaller::NoKeys => {
                let message =
                    "the keys of the issuer of web tokens cannot be had: try again, or use a key";
                status::unavailable(Reason::IssuerUnavailable, message, ISSUER_KEYS_PAUSE)
            }
        }
    }

    /// Counts a wrong token, and tells the operator why it is; the answer to it, which does not. A
    /// right one is always right: whoever shares an address with somebody who guesses is not locked
    /// out. (Guessing 256 bits is hopeless; the limit is for the noise that it makes, and for
    /// programs that should look at their token.)
    fn failed(&self, address: Option<IpAddr>, kind: &'static str, why: &dyn Display) -> Status {
        if let Some(left) = address.and_then(|address| self.failures.blocked_for(address)) {
            let message =
                "too many tokens from this address were wrong: wait, and correct the token";
            // Whole seconds, so that nobody tries a moment too early.
            let delay = Duration::from_secs(left.as_secs() + 1);
            return status::resource_exhausted_for(delay, Reason::TooManyFailedLogins, message);
        }
        self.refusals.log(kind, why, address);
        if let Some(address) = address {
            self.failures.note(address);
            tracing::info!(%address, "refused a call without a valid token");
        }
        status::unauthenticated(WRONG_TOKEN)
    }
}

const NO_TOKEN: &str =
    "there is no token: send the metadata `authorization: Bearer kt_…` with a key of AccessService";
/// One text for all that can be wrong with a token, so that nothing can be learned from it.
const WRONG_TOKEN: &str = "the token is not valid: it is wrong, has expired or was revoked";

#[tonic::async_trait]
impl Gate for Access {
    async fn admit(&self, request: &Parts) -> Result<Option<Caller>, Status> {
        let path = request.uri.path();
        let permission = match rule_of(path) {
            Rule::Open => return Ok(None),
            Rule::Needs(permission) => Some(permission),
            Rule::Missing => None,
        };
        let caller = self.authenticate(request).await?;
        match permission {
            Some(permission) if caller.role.may(permission) => Ok(Some(caller)),
            Some(permission) => Err(denied(caller.role, permission)),
            None => Err(status::unimplemented(Reason::MethodNotFound, "there is no such method")),
        }
    }

    async fn lapse(&self, caller: Caller) -> Status {
        let expires = async {
            let end = end_of(&caller);
            while end.is_none_or(|end| end > (self.clock)()) {
                tokio::time::sleep(KEY_MEMORY).await;
            }
        };
        let is_revoked = async {
            match caller.credential {
                Credential::Key(id) => self.keys.is_revoked(id, None).await,
                Credential::Session { id, parent } => self.keys.is_revoked(id, parent).await,
                Credential::WebToken => pending().await,
            }
        };
        tokio::select! {
            () = expires => {}
            () = is_revoked => {}
        }
        status::unauthenticated(WRONG_TOKEN)
    }

    async fn stop(&self, patience: Duration) {
        self.stop.cancel();
        if let Some(noting) = self.noting.lock().await.take() {
            // An error says that it panicked, which has been logged.
            _ = tokio::time::timeout(patience, noting).await;
        }
    }
}

/// Until when a caller is let in. None: for ever. What has been let in with the issuer's clock taken
/// for slow must not lapse at once because it is taken for right.
fn end_of(caller: &Caller) -> Option<Timestamp> {
    let skew = match caller.credential {
        Credential::WebToken => CLOCK_SKEW,
        Credential::Key(_) | Credential::Session { .. } => Duration::ZERO,
    };
    caller.expire_time.map(|end| end.checked_add(skew).unwrap_or(Timestamp::MAX))
}

fn denied(role: Role, permission: Permission) -> Status {
    let able = Role::ALL.iter().filter(|role| role.may(permission)).map(|role| role.name());
    let able = able.collect::<Vec<_>>().join(" or ");
    let name = role.name();
    status::permission_denied(format!(
        "this key's or token's role is {name}, which may not do this: it takes {able}"
    ))
}

#[cfg(test)]
mod tests {
    use keeptrusts_webhooks_domain::access::Reach;
    use keeptrusts_webhooks_domain::ids::KeyId;

    use super::*;

    #[test]
    fn a_web_token_lets_in_for_as_long_as_it_is_accepted() {
        let caller = |credential, end: i64| Caller {
            actor: "oidc:u".into(),
            name: "u".into(),
            role: Role::Viewer,
            reach: Reach::Everywhere,
            expire_time: Timestamp::from_second(end).ok(),
            credential,
            address: None,
        };
        let end = |caller: &Caller| end_of(caller).expect("it has an end").as_second();
        assert_eq!(end(&caller(Credential::WebToken, 1_000)), 1_030);
        assert_eq!(end(&caller(Credential::Key(KeyId::MAX), 1_000)), 1_000);
        let last = Timestamp::MAX.as_second();
        assert_eq!(end(&caller(Credential::WebToken, last)), last, "no clock shows more");
    }
}
