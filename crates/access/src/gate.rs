//! The gate: finds the caller of a request, and checks whether it may call the method.

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
use crate::bearer::{Bearer, Unreadable, bearer};
use crate::failed_logins::FailedLogins;
use crate::keys::KeyCache;
use crate::limits::{CLOCK_SKEW, ISSUER_KEYS_RETRY_DELAY, KEY_CACHE_TTL};
use crate::refused_tokens::RefusedTokenLog;
use crate::rules::{Rule, rule_of};
use crate::web_tokens::{WebTokenError, WebTokens};

pub(crate) struct AccessGate {
    pub(crate) keys: Arc<KeyCache>,
    pub(crate) web_tokens: Option<WebTokens>,
    pub(crate) failed_logins: FailedLogins,
    pub(crate) refused_tokens: RefusedTokenLog,
    pub(crate) trusted_proxies: Vec<IpNet>,
    pub(crate) clock: Clock,
    /// Stops `recording_uses`.
    pub(crate) stop: CancellationToken,
    /// None: the gate has stopped.
    pub(crate) recording_uses: tokio::sync::Mutex<Option<JoinHandle<()>>>,
}

impl AccessGate {
    /// The caller that a request's token belongs to.
    async fn authenticate(&self, request: &Parts) -> Result<Caller, Status> {
        let peer = address::peer(request);
        // Wrong tokens are counted by the address that a call is made for: one browser's wrong keys
        // must not block everybody who uses the same console.
        let address = address::caller(request, peer, &self.trusted_proxies);
        let wrong = |kind, why: &dyn Display| self.wrong_token(address, kind, why, WRONG_TOKEN);
        let caller = match bearer(&request.headers) {
            Bearer::Key(token) => match self.keys.caller(&token).await? {
                Some(caller) => Ok(caller),
                None => Err(wrong("key", &"the key or session is unknown, over or revoked")),
            },
            Bearer::WebToken(token) => match &self.web_tokens {
                Some(web_tokens) => {
                    let caller = web_tokens.caller(token).await;
                    caller.map_err(|error| self.wrong_web_token(address, error))
                }
                None => Err(wrong("flags", &"web tokens are accepted with --oidc-issuer only")),
            },
            Bearer::Unreadable(why @ Unreadable::NotBearer) => {
                Err(self.wrong_token(address, "authorization", &why, WRONG_SCHEME))
            }
            Bearer::Unreadable(why) => Err(wrong("authorization", &why)),
            // Not counted: a request without a token is not an attempt to guess one.
            Bearer::Missing => return Err(status::unauthenticated(NO_TOKEN)),
        };
        Ok(Caller { address, ..caller? })
    }

    fn wrong_web_token(&self, address: Option<IpAddr>, error: WebTokenError) -> Status {
        match error {
            WebTokenError::Invalid(defect) => {
                self.wrong_token(address, defect.kind(), &defect, WRONG_TOKEN)
            }
            WebTokenError::Insufficient(problem) => {
                self.refused_tokens.log(problem.kind, &problem.message, address);
                status::permission_denied(problem.message)
            }
            WebTokenError::NoKeys => {
                let message =
                    "the keys of the issuer of web tokens cannot be had: try again, or use a key";
                status::unavailable(Reason::IssuerUnavailable, message, ISSUER_KEYS_RETRY_DELAY)
            }
        }
    }

    /// Counts a wrong token and logs why it is wrong. The returned status has the message, which does
    /// not say what is wrong with a token.
    ///
    /// Right tokens are never blocked, so sharing an address with somebody who guesses does no harm.
    /// Guessing 256 bits is hopeless; the limit reduces noise, and makes programs with a wrong token
    /// noticeable.
    fn wrong_token(
        &self,
        address: Option<IpAddr>,
        kind: &'static str,
        why: &dyn Display,
        message: &'static str,
    ) -> Status {
        if let Some(left) = address.and_then(|address| self.failed_logins.blocked_for(address)) {
            let message =
                "too many tokens from this address were wrong: wait, and correct the token";
            // Rounded up, so that clients do not try a moment too early.
            let delay = Duration::from_secs(left.as_secs() + 1);
            return status::resource_exhausted_for(delay, Reason::TooManyFailedLogins, message);
        }
        self.refused_tokens.log(kind, why, address);
        if let Some(address) = address {
            self.failed_logins.record(address);
            tracing::info!(%address, "refused a call without a valid token");
        }
        status::unauthenticated(message)
    }
}

const NO_TOKEN: &str =
    "there is no token: send the metadata `authorization: Bearer kt_…` with a key of AccessService";
/// The scheme is no secret.
const WRONG_SCHEME: &str = "the metadata `authorization` must be `Bearer`, a blank and the token of a key, a session or a web token: no other scheme, such as Basic, is accepted";
/// The same text for everything that can be wrong with a token, so that attackers learn nothing.
const WRONG_TOKEN: &str = "the token is not valid: it is wrong, has expired or was revoked";

#[tonic::async_trait]
impl Gate for AccessGate {
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

    async fn access_ended(&self, caller: Caller) -> Status {
        let expires = async {
            let end = end_of(&caller);
            while end.is_none_or(|end| end > (self.clock)()) {
                tokio::time::sleep(KEY_CACHE_TTL).await;
            }
        };
        let is_revoked = async {
            match caller.credential {
                Credential::Key(id) => self.keys.revoked(id, None).await,
                Credential::Session { id, parent } => self.keys.revoked(id, parent).await,
                Credential::WebToken => pending().await,
            }
        };
        tokio::select! {
            () = expires => {}
            () = is_revoked => {}
        }
        status::unauthenticated(WRONG_TOKEN)
    }

    async fn stop(&self, limit: Duration) {
        self.stop.cancel();
        if let Some(recording_uses) = self.recording_uses.lock().await.take() {
            // An error means that the task has panicked, which is logged already.
            _ = tokio::time::timeout(limit, recording_uses).await;
        }
    }
}

/// When a caller's access ends. None: never. Web tokens are admitted with a tolerance for clock skew,
/// which holds here as well: otherwise a token could be admitted and lose access at once.
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
    use keeptrusts_webhooks_domain::access::OrganizationScope;
    use keeptrusts_webhooks_domain::ids::KeyId;

    use super::*;

    #[test]
    fn access_by_a_web_token_ends_when_the_token_would_be_refused() {
        let caller = |credential, end: i64| Caller {
            actor: "oidc:u".into(),
            name: "u".into(),
            role: Role::Viewer,
            organizations: OrganizationScope::All,
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
