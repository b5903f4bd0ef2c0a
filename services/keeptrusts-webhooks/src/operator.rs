//! What an operator does with a command, on record before it is done.
//!
//! Decision: docs/decisions/the-audit-trail-is-a-reading-of-the-log.md

use keeptrusts_webhooks_contracts::log_codec::Metadata;
use keeptrusts_webhooks_domain::fact::{Fact, OperatorFact};
use keeptrusts_webhooks_domain::ids::{OperationId, OrganizationId};
use keeptrusts_webhooks_domain::log::{Shard, Stream};
use keeptrusts_webhooks_store::{
    ExpectedVersion, NewRecord, Operation, Refusal, Store, StoreError, new_ulid, system_clock,
};

/// What the audit trail calls whoever runs a command on the server.
const ACTOR: &str = "operator";

/// Why something is not on record, and was not done.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RecordError {
    #[error("cannot write to the audit trail, and nothing was changed")]
    Store(#[from] StoreError),
    #[error("cannot write to the audit trail, and nothing was changed: {0}")]
    Refused(#[from] Refusal),
}

/// Puts something that is about to be done to an organization on record.
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

/// What an operator causes, as an operation.
pub(crate) fn operation(organization: &OrganizationId, records: Vec<NewRecord>) -> Operation {
    let metadata = Metadata {
        actor: ACTOR.to_owned(),
        actor_name: user_name().unwrap_or_default(),
        correlation_id: organization.to_string(),
        ..Metadata::default()
    };
    Operation::recording(organization, records, metadata, system_clock()())
}

/// Appends it, and tells other processes, which may wait for what comes next in the log.
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

/// The operator's name on this machine, as the environment has it: whoever may run the command
/// may call itself what it likes. Before sudo, if that was used.
fn user_name() -> Option<String> {
    let named = |variable| std::env::var(variable).ok().filter(|name| !name.is_empty());
    ["SUDO_USER", "USER", "LOGNAME"].into_iter().find_map(named)
}
