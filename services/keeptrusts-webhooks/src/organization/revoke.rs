//! Revokes the keys and sessions of an organization that is being erased.

use keeptrusts_webhooks_domain::ids::{KeyId, OrganizationId};
use keeptrusts_webhooks_domain::key::Key;
use keeptrusts_webhooks_domain::log::Shard;
use keeptrusts_webhooks_store::queries::KeyFilter;
use keeptrusts_webhooks_store::{NewRecord, Refusal, Store};

use crate::operator::{self, RecordError};

const KEYS_PER_PAGE: usize = 500;

/// Revokes all keys, and returns how many. Repeats until there is none left, since a key that still
/// works may create another meanwhile.
pub(super) async fn all_keys(
    store: &dyn Store,
    organization: &OrganizationId,
) -> Result<usize, RecordError> {
    let mut total = 0;
    loop {
        let revoked = revoke_once(store, organization).await?;
        total += revoked;
        if revoked == 0 {
            return Ok(total);
        }
    }
}

async fn revoke_once(
    store: &dyn Store,
    organization: &OrganizationId,
) -> Result<usize, RecordError> {
    let (mut before, mut revoked) = (KeyId::MAX, 0);
    loop {
        let every = KeyFilter::default();
        let keys = store.list_keys(organization, every, before, KEYS_PER_PAGE).await?;
        let Some(last) = keys.last() else { return Ok(revoked) };
        before = last.id;
        let records: Vec<_> = keys.iter().filter_map(revocation).collect();
        if records.is_empty() {
            continue;
        }
        revoked += records.len();
        let operation = operator::operation(organization, records);
        match operator::append(store, Shard::OF_KEYS, operation).await {
            // Somebody else has revoked one of them; the next pass revokes the others.
            Ok(()) | Err(RecordError::Refused(Refusal::StaleVersion { .. })) => {}
            Err(error) => return Err(error),
        }
    }
}

fn revocation(key: &Key) -> Option<NewRecord> {
    Some(NewRecord::following(key, key.revoke()?))
}
