//! The gRPC AccessService: keys and sessions.
//!
//! Decision: docs/decisions/a-session-is-a-key.md

use std::collections::HashMap;
use std::sync::Arc;

use keeptrusts_webhooks_contracts::api::{
    AuthorizedRequest, CreateKey, CreateSession, EmptyRequest, KeyRef, ListChunk, ListKeys,
    RevokeKey, caller_of, key_message,
};
use keeptrusts_webhooks_contracts::log_codec::Metadata;
use keeptrusts_webhooks_contracts::status::{self, Reason};
use keeptrusts_webhooks_contracts::time::timestamp_to_proto;
use keeptrusts_webhooks_contracts::v1;
use keeptrusts_webhooks_contracts::v1::access_service_server::{
    AccessService, AccessServiceServer,
};
use keeptrusts_webhooks_domain::Timestamp;
use keeptrusts_webhooks_domain::VERSION;
use keeptrusts_webhooks_domain::access::{Caller, Credential, OrganizationScope};
use keeptrusts_webhooks_domain::fact::Fact;
use keeptrusts_webhooks_domain::ids::{KeyId, OrganizationId};
use keeptrusts_webhooks_domain::key::{
    Expiration, Key, KeyFact, NewKey, SessionOrigin, Token, check_key_expiration,
    check_session_expiration,
};
use keeptrusts_webhooks_domain::key_validity::{KeyState, KeyValidity};
use keeptrusts_webhooks_domain::limits::DEFAULT_SESSION_LIFE;
use keeptrusts_webhooks_domain::log::Stream;
use keeptrusts_webhooks_domain::request::IdentifiedRequest;
use keeptrusts_webhooks_domain::violation::Violation;
use keeptrusts_webhooks_process::grpc_server::limits::NO_DECODING_LIMIT;
use keeptrusts_webhooks_process::log_writer::{LogWriter, WriteError};
use keeptrusts_webhooks_process::{database_errors, long_reads};
use keeptrusts_webhooks_store::limits::ROWS_EXAMINED;
use keeptrusts_webhooks_store::queries::KeyFilter;
use keeptrusts_webhooks_store::random;
use keeptrusts_webhooks_store::{Clock, ExpectedVersion, Log, NewRecord, new_ulid};
use tonic::{Request, Response, Status};

use crate::rate_limit::CreationRateLimit;

pub struct AccessApi {
    pub(crate) log: Arc<Log>,
    clock: Clock,
    rate_limit: CreationRateLimit,
}

impl AccessApi {
    pub fn server(log: Arc<Log>, clock: Clock) -> AccessServiceServer<Self> {
        AccessServiceServer::new(AccessApi { log, clock, rate_limit: CreationRateLimit::new() })
            .max_decoding_message_size(NO_DECODING_LIMIT)
    }

    /// Creates a key or a session with a new token.
    async fn create(
        &self,
        organization: OrganizationId,
        new: impl FnOnce(&Token) -> NewKey,
        caller: &Caller,
        metadata: impl FnOnce(KeyId) -> Metadata,
    ) -> Result<(Key, Token), WriteError> {
        self.rate_limit.check(&caller.actor)?;
        let id = KeyId::new(new_ulid((self.clock)()));
        let token = Token::from_random(random());
        let new = new(&token);
        let record = NewRecord {
            stream: Stream::Key(id),
            expected: ExpectedVersion::New,
            fact: Fact::Key(KeyFact::Created(new.clone())),
        };
        let (_, recorded_at) = self.writer(&organization).append(record, metadata(id)).await?;
        let creator = caller.actor.as_ref().to_owned();
        Ok((Key::created(id, organization, new, creator, recorded_at), token))
    }

    /// The key or session that a request creates and its token; of a repeated request the one that
    /// the first request created, as it is now, without its token, and true. Only the token's hash is
    /// kept, so it cannot be told again.
    async fn once(
        &self,
        organization: &OrganizationId,
        identity: Option<&IdentifiedRequest>,
        create: impl Future<Output = Result<(Key, Token), WriteError>>,
    ) -> Result<(Option<v1::Key>, String, bool), Status> {
        let create = async {
            let (key, token) = create.await?;
            Ok((key, token.expose().to_owned()))
        };
        let repeat = async |stream| {
            let Stream::Key(id) = stream else { return Err(status::internal()) };
            let key = self.log.store().key(id).await.map_err(database_errors::query_failed)?;
            Ok((key.ok_or_else(status::internal)?, String::new()))
        };
        let done = self.writer(organization).once(identity, create, repeat).await?;
        let ((key, token), duplicate) = done;
        Ok((self.messages(&[key]).await?.pop(), token, duplicate))
    }

    pub(crate) fn writer<'a>(&'a self, organization: &'a OrganizationId) -> LogWriter<'a> {
        LogWriter::of_keys(&self.log, &self.clock, organization)
    }

    /// The messages of keys, with their state and the time of their last use.
    async fn messages(&self, keys: &[Key]) -> Result<Vec<v1::Key>, Status> {
        let ids: Vec<_> = keys.iter().map(|key| key.id).collect();
        let uses = self.log.store().key_uses(&ids).await.map_err(database_errors::query_failed)?;
        let mut parents: Vec<_> = keys.iter().filter_map(Key::parent).collect();
        parents.sort_unstable();
        parents.dedup();
        let parents = match parents.is_empty() {
            true => Vec::new(),
            false => {
                self.log.store().keys(&parents).await.map_err(database_errors::query_failed)?
            }
        };
        let parents: HashMap<_, _> = parents.iter().map(|key| (key.id, key)).collect();
        let now = (self.clock)();
        let messages = keys.iter().map(|key| {
            let parent = key.parent().and_then(|id| parents.get(&id).copied());
            key_message(key, KeyValidity::of(key, parent, now), uses.get(&key.id).copied())
        });
        Ok(messages.collect())
    }

    /// The expiry of the credential that a caller makes a key with. None: it does not expire. Reads
    /// the key again, so that one that was revoked a moment ago makes no other.
    async fn maker_expire_time(&self, caller: &Caller) -> Result<Option<Timestamp>, Status> {
        let id = match caller.credential {
            Credential::Key(id) | Credential::Session { id, .. } => id,
            // The token is short-lived, but its issuer gives the user new ones.
            Credential::WebToken => return Ok(None),
        };
        let store = self.log.store();
        let key = store.key(id).await.map_err(database_errors::query_failed)?;
        let parent = match key.as_ref().and_then(Key::parent) {
            Some(parent) => store.key(parent).await.map_err(database_errors::query_failed)?,
            None => None,
        };
        let valid = key.as_ref().filter(|key| {
            let validity = KeyValidity::of(key, parent.as_ref(), (self.clock)());
            validity.state == KeyState::Valid
        });
        let Some(key) = valid else {
            return Err(status::unauthenticated("the token has just ceased to be valid"));
        };
        // A session stands for the credential that has opened it.
        match (key.session, &parent) {
            (None, _) => Ok(key.expire_time),
            (Some(_), Some(parent)) => Ok(parent.expire_time),
            (Some(_), None) => Ok(None),
        }
    }
}

#[tonic::async_trait]
impl AccessService for AccessApi {
    async fn create_key(
        &self,
        request: Request<v1::CreateKeyRequest>,
    ) -> Result<Response<v1::CreateKeyResponse>, Status> {
        let call = AuthorizedRequest::<CreateKey>::of_identified(request)?;
        let CreateKey { organization_id, display_name, role, expiration } = call.request.clone();
        let create = async {
            let limit = self.maker_expire_time(&call.caller).await?;
            let expire_time = check_key_expiration(expiration, limit, (self.clock)());
            let expire_time = expire_time.map_err(|wrong| status::invalid_argument(vec![wrong]))?;
            let new = |token: &Token| NewKey {
                display_name,
                role,
                token: token.digest(),
                expire_time,
                session: None,
            };
            let metadata = |id| call.metadata(id);
            self.create(organization_id.clone(), new, &call.caller, metadata).await
        };
        let identity = call.identity.as_ref();
        let (key, token, duplicate) = self.once(&organization_id, identity, create).await?;
        Ok(Response::new(v1::CreateKeyResponse { key, token, duplicate }))
    }

    async fn get_key(
        &self,
        request: Request<v1::GetKeyRequest>,
    ) -> Result<Response<v1::GetKeyResponse>, Status> {
        let KeyRef { organization_id, key_id } = AuthorizedRequest::of(request)?.request;
        let key = self.read(&organization_id, key_id).await?;
        Ok(Response::new(v1::GetKeyResponse { key: self.messages(&[key]).await?.pop() }))
    }

    async fn list_keys(
        &self,
        request: Request<v1::ListKeysRequest>,
    ) -> Result<Response<v1::ListKeysResponse>, Status> {
        let AuthorizedRequest { request, .. } = AuthorizedRequest::<ListKeys>::of(request)?;
        let ListKeys { organization_id, page, sessions, states } = request;
        let filter = KeyFilter { sessions };
        let organization = &organization_id;
        let states: &Vec<i32> =
            &states.into_iter().map(|state| v1::key::State::from(state).into()).collect();
        let read = |before, limit: usize| async move {
            // A state is none of the database's: it depends on the time, and on the key that opened a
            // session.
            let rows = if states.is_empty() { limit } else { limit.max(ROWS_EXAMINED) };
            let keys = self.log.store().list_keys(organization, filter, before, rows).await;
            let keys = keys.map_err(database_errors::query_failed)?;
            let messages = self.messages(&keys).await?;
            let items = keys.iter().map(|key| key.id).zip(messages).collect();
            let mut chunk = ListChunk::of_all(items, rows);
            chunk.items.retain(|(_, key)| states.is_empty() || states.contains(&key.state));
            Ok::<_, Status>(chunk)
        };
        let permit = long_reads::acquire(&self.log, organization);
        let (keys, next_page_token) = page.fill(permit, read).await?;
        Ok(Response::new(v1::ListKeysResponse { keys, next_page_token }))
    }

    async fn revoke_key(
        &self,
        request: Request<v1::RevokeKeyRequest>,
    ) -> Result<Response<v1::RevokeKeyResponse>, Status> {
        let call = AuthorizedRequest::<RevokeKey>::of(request)?;
        let RevokeKey { organization_id, key_id, cascade } = &call.request;
        let metadata = call.metadata(key_id);
        let key = self.revoke(organization_id, *key_id, metadata.clone()).await?;
        if *cascade {
            self.revoke_made_by(*key_id, &call.caller, metadata).await?;
        }
        let key = self.messages(&[key]).await?.pop();
        Ok(Response::new(v1::RevokeKeyResponse { key }))
    }

    async fn who_am_i(
        &self,
        request: Request<v1::WhoAmIRequest>,
    ) -> Result<Response<v1::WhoAmIResponse>, Status> {
        Ok(Response::new(v1::WhoAmIResponse {
            server_time: Some(timestamp_to_proto((self.clock)())),
            server_version: VERSION.to_owned(),
            ..(&caller_of(&request)?).into()
        }))
    }

    async fn create_session(
        &self,
        request: Request<v1::CreateSessionRequest>,
    ) -> Result<Response<v1::CreateSessionResponse>, Status> {
        let call = AuthorizedRequest::<CreateSession>::any_organization_identified(request)?;
        let caller = &call.caller;
        let organization_id = session_organization(caller, &call.request)?;
        let parent = match caller.credential {
            Credential::Key(id) => Some(id),
            Credential::WebToken => None,
            Credential::Session { .. } => {
                return Err(status::failed_precondition(
                    Reason::AlreadyASession,
                    "the token is a session's already: open another one with the key itself",
                ));
            }
        };
        let create = async {
            // A session does not outlive the key that opens it.
            let now = (self.clock)();
            let wanted = check_session_expiration(call.request.expiration, now)
                .map_err(|wrong| status::invalid_argument(vec![wrong]))?;
            let expire_time = match (parent, caller.expire_time) {
                (Some(_), Some(end)) => end.min(wanted),
                (Some(_), None) => wanted,
                // A web token is short-lived and only proves who signs in, so the session may outlive
                // it. But nobody can revoke a web token, hence the default limit.
                (None, _) => wanted.min(Expiration::After(DEFAULT_SESSION_LIFE).time(now)),
            };
            let new = |token: &Token| NewKey {
                display_name: caller.name.as_ref().to_owned(),
                role: caller.role,
                token: token.digest(),
                expire_time: Some(expire_time),
                session: Some(SessionOrigin { parent }),
            };
            let metadata = |id| call.metadata(id);
            self.create(organization_id.clone(), new, caller, metadata).await
        };
        let identity = call.identity.as_ref();
        let (session, token, duplicate) = self.once(&organization_id, identity, create).await?;
        Ok(Response::new(v1::CreateSessionResponse { session, token, duplicate }))
    }

    async fn end_session(
        &self,
        request: Request<v1::EndSessionRequest>,
    ) -> Result<Response<v1::EndSessionResponse>, Status> {
        let call = AuthorizedRequest::<EmptyRequest>::any_organization(request)?;
        let Credential::Session { id, .. } = call.caller.credential else {
            return Err(status::failed_precondition(
                Reason::NotASession,
                "the token is not a session's: to end a key, use RevokeKey",
            ));
        };
        let organization =
            call.caller.organizations.organization_id().ok_or_else(status::internal)?;
        self.revoke(&organization, id, call.metadata(id)).await?;
        Ok(Response::new(v1::EndSessionResponse {}))
    }
}

/// The organization of a new session: the one that the request names, or the caller's only one.
fn session_organization(
    caller: &Caller,
    request: &CreateSession,
) -> Result<OrganizationId, Status> {
    match (&request.organization_id, &caller.organizations) {
        (Some(named), _) if caller.reaches(named) => Ok(named.clone()),
        (Some(named), _) => Err(status::organization_not_found(named)),
        (None, OrganizationScope::One(own)) => Ok(own.clone()),
        (None, OrganizationScope::All | OrganizationScope::Several(_)) => {
            let description =
                "is required: the key or token is for several organizations, a session is for one";
            Err(status::invalid_argument(vec![Violation::required("organization_id", description)]))
        }
    }
}
