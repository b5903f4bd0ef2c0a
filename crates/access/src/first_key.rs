//! Creates the first key of a database, with which all other keys are made.

use std::sync::Arc;

use keeptrusts_webhooks_contracts::log_codec::Metadata;
use keeptrusts_webhooks_domain::access::Role;
use keeptrusts_webhooks_domain::fact::Fact;
use keeptrusts_webhooks_domain::ids::{KeyId, OrganizationId};
use keeptrusts_webhooks_domain::key::{KeyFact, NewKey, Token, TokenDigest};
use keeptrusts_webhooks_domain::log::{Shard, Stream, Version};
use keeptrusts_webhooks_store::random;
use keeptrusts_webhooks_store::{
    AppendError, Clock, ExpectedVersion, Log, NewRecord, Operation, Refusal, StoreError,
};
use ulid::Ulid;

#[derive(Debug, thiserror::Error)]
pub(crate) enum FirstKeyError {
    #[error("cannot look up the first key")]
    Query(#[from] StoreError),
    #[error("cannot make the first key")]
    Append(#[from] AppendError),
}

/// Makes sure that the given key exists. Without one, creates a key in a database that has never had
/// any, and returns its token to be shown once. If several processes do this at the same time, one
/// of them creates the key.
pub(crate) async fn ensure(
    log: &Arc<Log>,
    clock: &Clock,
    given: Option<&Token>,
) -> Result<Option<Token>, FirstKeyError> {
    let store = log.store();
    if let Some(token) = given {
        match store.key_by_token(token.digest()).await? {
            // The id follows from the token, so that all processes with the flag use the same one.
            None => drop(create(log, clock, id_of(token.digest()), token).await?),
            Some(key) if !key.is_valid_at(clock()) => {
                tracing::warn!(key_id = %key.id, "the key of --bootstrap-admin-key was revoked and stays so: give another one");
            }
            Some(_) => {}
        }
        return Ok(None);
    }
    if store.has_keys().await? {
        return Ok(None);
    }
    let token = Token::from_random(random());
    let was_first = create(log, clock, KeyId::new(Ulid(1)), &token).await?;
    Ok(was_first.then_some(token))
}

/// An id that sorts before all ids with a time.
fn id_of(digest: TokenDigest) -> KeyId {
    let [a, b, c, d, e, f, g, h, ..] = digest.0;
    KeyId::new(Ulid(u64::from_be_bytes([a, b, c, d, e, f, g, h]).into()))
}

/// False: another process has created it.
async fn create(log: &Log, clock: &Clock, id: KeyId, token: &Token) -> Result<bool, FirstKeyError> {
    let new = NewKey {
        display_name: "the first key".to_owned(),
        role: Role::Admin,
        token: token.digest(),
        expire_time: None,
        session: None,
    };
    let record = NewRecord {
        stream: Stream::Key(id),
        expected: ExpectedVersion::Exactly(Version(0)),
        fact: Fact::Key(KeyFact::Created(new)),
    };
    let metadata = Metadata {
        actor: "bootstrap".to_owned(),
        correlation_id: id.to_string(),
        ..Metadata::default()
    };
    let operation = Operation::recording(&OrganizationId::all(), vec![record], metadata, clock());
    match log.append(Shard::OF_KEYS, operation).await {
        Ok(_) => Ok(true),
        Err(AppendError::Refused(Refusal::StaleVersion { .. })) => Ok(false),
        Err(error) => Err(error.into()),
    }
}
