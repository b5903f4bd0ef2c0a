//! Records what an operator does with a command, before it is done.
//!
//! Decision: docs/decisions/the-audit-trail-is-a-reading-of-the-log.md

use keeptrusts_webhooks_contracts::log_codec::Metadata;
use keeptrusts_webhooks_domain::fact::{Fact, OperatorFact};
use keeptrusts_webhooks_domain::ids::{OperationId, OrganizationId};
use keeptrusts_webhooks_domain::log::{Shard, Stream};
use keeptrusts_webhooks_store::{
    ExpectedVersion, NewRecord, Operation, Refusal, Store, StoreError, new_ulid, system_clock,
};

/// The actor in the audit trail for commands on the server.
const ACTOR: &str = "operator";

/// Why an action could not be recorded, and so was not done.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RecordError {
    #[error("cannot write to the audit trail, and nothing was changed")]
    Store(#[from] StoreError),
    #[error("cannot write to the audit trail, and nothing was changed: {0}")]
    Refused(#[from] Refusal),
}

/// Records what is about to be done to an organization.
pub(crate) async fn record(
    store: &dyn Store,
    shard: Shard,
    organization: &OrganizationId,
    fact: OperatorFact,
) -> Result<(), RecordError> {
    let id = OperationId::new(new_ulid(system_clock()()));
    let record = NewRecord {
        stream: Stream::Operation(id),
        expected: ExpectedVersion::New,
        fact: Fact::Operator(fact),
    };
    append(store, shard, operation(organization, vec![record])).await
}

/// An operation with the operator as its actor.
pub(crate) fn operation(organization: &OrganizationId, records: Vec<NewRecord>) -> Operation {
    let metadata = Metadata {
        actor: ACTOR.to_owned(),
        actor_name: user_name().unwrap_or_default(),
        correlation_id: organization.to_string(),
        ..Metadata::default()
    };
    Operation::recording(organization, records, metadata, system_clock()())
}

/// Appends an operation, and announces it to other processes, which may follow the log.
pub(crate) async fn append(
    store: &dyn Store,
    shard: Shard,
    operation: Operation,
) -> Result<(), RecordError> {
    let appended = store.append(shard, &[operation]).await?;
    for result in appended.results {
        result?;
    }
    if let Some(last) = appended.records.last() {
        store.announce(shard, last.position);
    }
    Ok(())
}

/// The operator's user name from the environment, before sudo if that was used. It is not proven:
/// whoever may run the command may set it.
fn user_name() -> Option<String> {
    let named = |variable| std::env::var(variable).ok().filter(|name| !name.is_empty());
    ["SUDO_USER", "USER", "LOGNAME"].into_iter().find_map(named)
}
