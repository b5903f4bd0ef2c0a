//! AccessService: keys and sessions.

use std::sync::Arc;
use std::time::Duration;

use keeptrusts_webhooks_contracts::api::{
    Asked, CreateKey, CreateSession, KeyRef, ListKeys, Nothing, caller_of, key_with_last_use,
};
use keeptrusts_webhooks_contracts::log_codec::Metadata;
use keeptrusts_webhooks_contracts::status::{self, Reason, Resource};
use keeptrusts_webhooks_contracts::v1;
use keeptrusts_webhooks_contracts::v1::access_service_server::{
    AccessService, AccessServiceServer,
};
use keeptrusts_webhooks_domain::Timestamp;
use keeptrusts_webhooks_domain::access::{Caller, Credential, Reach};
use keeptrusts_webhooks_domain::fact::Fact;
use keeptrusts_webhooks_domain::ids::{KeyId, OrganizationId};
use keeptrusts_webhooks_domain::key::{Key, KeyFact, NewKey, SessionOrigin, Token};
use keeptrusts_webhooks_domain::limits::DEFAULT_SESSION_LIFE;
use keeptrusts_webhooks_domain::log::{Shard, Stream};
use keeptrusts_webhooks_domain::violation::Violation;
use keeptrusts_webhooks_process::answer;
use keeptrusts_webhooks_process::grpc_server::limits::UNLIMITED_HERE;
use keeptrusts_webhooks_store::keyring::random;
use keeptrusts_webhooks_store::query::KeyFilter;
use keeptrusts_webhooks_store::{
    AppendError, Clock, Expected, Log, NewRecord, Operation, Refusal, new_ulid,
};
use tonic::{Request, Response, Status};

use crate::pace::Pace;

/// The gRPC service.
pub struct AccessApi {
    log: Arc<Log>,
    clock: Clock,
    pace: Pace,
}

impl AccessApi {
    /// The service on a log.
    pub fn server(log: Arc<Log>, clock: Clock) -> AccessServiceServer<Self> {
        AccessServiceServer::new(AccessApi { log, clock, pace: Pace::new() })
            .max_decoding_message_size(UNLIMITED_HERE)
    }

    /// Makes a key or a session, and its token.
    async fn create(
        &self,
        organization: OrganizationId,
        new: impl FnOnce(&Token) -> NewKey,
        caller: &Caller,
        metadata: impl FnOnce(KeyId) -> Metadata,
    ) -> Result<(Key, Token), Status> {
        self.pace.keep(&caller.actor)?;
        let id = KeyId::new(new_ulid((self.clock)()));
        let token = Token::from_random(random());
        let new = new(&token);
        let record = NewRecord {
            stream: Stream::Key(id),
            expected: Expected::New,
            fact: Fact::Key(KeyFact::Created(new.clone())),
        };
        let appended = self.append(&organization, vec![record], metadata(id)).await?;
        let recorded_at =
            appended.map_err(|refusal| answer::append_failed(AppendError::Refused(refusal)))?;
        let creator = caller.actor.as_ref().to_owned();
        Ok((Key::created(id, organization, new, creator, recorded_at), token))
    }

    /// Revokes a key, or ends a session.
    async fn revoke(
        &self,
        organization: &OrganizationId,
        id: KeyId,
        metadata: Metadata,
    ) -> Result<Key, Status> {
        let mut attempts = answer::Attempts::default();
        loop {
            let mut key = self.read(organization, id).await?;
            let Some(fact) = key.revoke() else { return Ok(key) };
            let record = NewRecord {
                stream: Stream::Key(id),
                expected: Expected::Version(key.version),
                fact: Fact::Key(fact.clone()),
            };
            match self.append(organization, vec![record], metadata.clone()).await? {
                Ok(recorded_at) => {
                    key.apply(&fact, recorded_at);
                    return Ok(key);
                }
                Err(refusal) => attempts.again(refusal, answer::in_doubt)?,
            }
        }
    }

    async fn read(&self, organization: &OrganizationId, id: KeyId) -> Result<Key, Status> {
        let found = self.log.store().key(id).await.map_err(answer::query_failed)?;
        let own = found.filter(|key| key.reach.organization_id() == *organization);
        own.ok_or_else(|| status::not_found(Resource::Key, id))
    }

    async fn append(
        &self,
        organization: &OrganizationId,
        records: Vec<NewRecord>,
        metadata: Metadata,
    ) -> Result<Result<Timestamp, Refusal>, Status> {
        let operation = Operation::recording(organization, records, metadata, (self.clock)());
        answer::record(&self.log, Shard::OF_KEYS, operation).await
    }

    fn time_after(&self, life: Duration) -> Timestamp {
        (self.clock)().checked_add(life).unwrap_or(Timestamp::MAX)
    }

    async fn with_last_uses(&self, keys: &[Key]) -> Result<Vec<v1::Key>, Status> {
        let ids: Vec<_> = keys.iter().map(|key| key.id).collect();
        let uses = self.log.store().key_uses(&ids).await.map_err(answer::query_failed)?;
        Ok(keys.iter().map(|key| key_with_last_use(key, uses.get(&key.id).copied())).collect())
    }
}

#[tonic::async_trait]
impl AccessService for AccessApi {
    async fn create_key(
        &self,
        request: Request<v1::CreateKeyRequest>,
    ) -> Result<Response<v1::CreateKeyResponse>, Status> {
        let asked = Asked::<CreateKey>::of(request)?;
        let CreateKey { organization_id, name, role, life } = asked.request.clone();
        let expire_time = life.map(|life| self.time_after(life));
        let new = |token: &Token| NewKey {
            name,
            role,
            token: token.digest(),
            expire_time,
            session: None,
        };
        let metadata = |id| asked.metadata(id);
        let (key, token) = self.create(organization_id, new, &asked.caller, metadata).await?;
        Ok(Response::new(v1::CreateKeyResponse {
            key: Some(key_with_last_use(&key, None)),
            token: token.expose().to_owned(),
        }))
    }

    async fn list_keys(
        &self,
        request: Request<v1::ListKeysRequest>,
    ) -> Result<Response<v1::ListKeysResponse>, Status> {
        let Asked { request, .. } = Asked::<ListKeys>::of(request)?;
        let ListKeys { organization_id, page, sessions } = request;
        let filter = KeyFilter { sessions };
        let store = self.log.store();
        let read = store.list_keys(&organization_id, filter, page.before, page.limit()).await;
        let read = read.map_err(answer::query_failed)?;
        let (keys, next_page_token) = page.split(read, |key| key.id);
        let keys = self.with_last_uses(&keys).await?;
        Ok(Response::new(v1::ListKeysResponse { keys, next_page_token }))
    }

    async fn revoke_key(
        &self,
        request: Request<v1::RevokeKeyRequest>,
    ) -> Result<Response<v1::RevokeKeyResponse>, Status> {
        let asked = Asked::<KeyRef>::of(request)?;
        let KeyRef { organization_id, key_id } = &asked.request;
        let key = self.revoke(organization_id, *key_id, asked.metadata(key_id)).await?;
        let key = self.with_last_uses(&[key]).await?.pop();
        Ok(Response::new(v1::RevokeKeyResponse { key }))
    }

    async fn who_am_i(
        &self,
        request: Request<v1::WhoAmIRequest>,
    ) -> Result<Response<v1::WhoAmIResponse>, Status> {
        Ok(Response::new((&caller_of(&request)?).into()))
    }

    async fn create_session(
        &self,
        request: Request<v1::CreateSessionRequest>,
    ) -> Result<Response<v1::CreateSessionResponse>, Status> {
        let asked = Asked::<CreateSession>::anywhere(request)?;
        let caller = &asked.caller;
        let organization_id = session_organization(caller, &asked.request)?;
        let parent = match caller.credential {
            Credential::Key(id) => Some(id),
            Credential::WebToken => None,
            Credential::Session(_) => {
                return Err(status::failed_precondition(
                    Reason::AlreadyASession,
                    "the token is a session's already: open another one with the key itself",
                ));
            }
        };
        // No longer than what it is opened with.
        let wanted = self.time_after(asked.request.life);
        let expire_time = match (parent, caller.expire_time) {
            (Some(_), Some(end)) => end.min(wanted),
            (Some(_), None) => wanted,
            // A web token is short-lived and shows who signs in. The session may outlast it, but
            // nobody can revoke what it was opened with.
            (None, _) => wanted.min(self.time_after(DEFAULT_SESSION_LIFE)),
        };
        let new = |token: &Token| NewKey {
            name: caller.name.as_ref().to_owned(),
            role: caller.role,
            token: token.digest(),
            expire_time: Some(expire_time),
            session: Some(SessionOrigin { parent }),
        };
        let metadata = |id| asked.metadata(id);
        let (session, token) = self.create(organization_id, new, caller, metadata).await?;
        Ok(Response::new(v1::CreateSessionResponse {
            session: Some(key_with_last_use(&session, None)),
            token: token.expose().to_owned(),
        }))
    }

    async fn end_session(
        &self,
        request: Request<v1::EndSessionRequest>,
    ) -> Result<Response<v1::EndSessionResponse>, Status> {
        let asked = Asked::<Nothing>::anywhere(request)?;
        let Credential::Session(id) = asked.caller.credential else {
            return Err(status::failed_precondition(
                Reason::NotASession,
                "the token is not a session's: to end a key, use RevokeKey",
            ));
        };
        let organization = asked.caller.reach.organization_id();
        self.revoke(&organization, id, asked.metadata(id)).await?;
        Ok(Response::new(v1::EndSessionResponse {}))
    }
}

/// The organization that a session is for: the caller's only one, or the one that it names.
fn session_organization(
    caller: &Caller,
    request: &CreateSession,
) -> Result<OrganizationId, Status> {
    match (&request.organization_id, &caller.reach) {
        (Some(named), _) if caller.reaches(named) => Ok(named.clone()),
        (Some(named), _) => Err(status::organization_not_found(named)),
        (None, Reach::Organization(own)) => Ok(own.clone()),
        (None, Reach::Everywhere) => {
            let description =
                "is required: the key is for every organization, a session is for one";
            Err(status::invalid_argument(vec![Violation::new("organization_id", description)]))
        }
    }
}
