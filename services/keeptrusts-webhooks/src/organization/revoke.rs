//! Ends the keys and sessions of an organization that is being erased.

use keeptrusts_webhooks_domain::ids::{KeyId, OrganizationId};
use keeptrusts_webhooks_domain::key::Key;
use keeptrusts_webhooks_domain::log::Shard;
use keeptrusts_webhooks_store::queries::KeyFilter;
use keeptrusts_webhooks_store::{NewRecord, Refusal, Store};

use crate::operator::{self, RecordError};

/// The keys that are read, and revoked, at once.
const KEYS_AT_ONCE: usize = 500;

/// Revokes all that are not revoked; says how many. Goes through them again until it finds none,
/// since one that still works may make another meanwhile.
pub(super) async fn all_keys(
    store: &dyn Store,
    organization: &OrganizationId,
) -> Result<usize, RecordError> {
    let mut total = 0;
    loop {
        let revoked = go_through(store, organization).await?;
        total += revoked;
        if revoked == 0 {
            return Ok(total);
        }
    }
}

async fn go_through(
    store: &dyn Store,
    organization: &OrganizationId,
) -> Result<usize, RecordError> {
    let (mut before, mut revoked) = (KeyId::MAX, 0);
    loop {
        let every = KeyFilter::default();
        let keys = store.list_keys(organization, every, before, KEYS_AT_ONCE).await?;
        let Some(last) = keys.last() else { return Ok(revoked) };
        before = last.id;
        let records: Vec<_> = keys.iter().filter_map(revocation).collect();
        if records.is_empty() {
            continue;
        }
        revoked += records.len();
        let operation = operator::operation(organization, records);
        match operator::append(store, Shard::OF_KEYS, operation).await {
            // Somebody else has revoked one of them: the next time through the others are left.
            Ok(()) | Err(RecordError::Refused(Refusal::StaleVersion { .. })) => {}
            Err(error) => return Err(error),
        }
    }
}

fn revocation(key: &Key) -> Option<NewRecord> {
    Some(NewRecord::following(key, key.revoke()?))
}
