//! Revokes keys and sessions, and the keys and sessions that were made with them.

use std::collections::{BTreeMap, HashSet};

use keeptrusts_webhooks_contracts::log_codec::Metadata;
use keeptrusts_webhooks_contracts::status::{self, Resource};
use keeptrusts_webhooks_domain::access::Caller;
use keeptrusts_webhooks_domain::ids::{KeyId, OrganizationId};
use keeptrusts_webhooks_domain::key::Key;
use keeptrusts_webhooks_process::database_errors;
use keeptrusts_webhooks_process::log_writer::{WriteError, retry_on_conflict};
use keeptrusts_webhooks_store::NewRecord;
use tonic::Status;

use crate::keys::AccessApi;

/// Keys that are read and revoked in one transaction.
const BATCH_SIZE: usize = 500;

impl AccessApi {
    /// Revokes a key, or ends a session.
    pub(crate) async fn revoke(
        &self,
        organization: &OrganizationId,
        id: KeyId,
        metadata: Metadata,
    ) -> Result<Key, Status> {
        let decide = || async {
            let key = self.read(organization, id).await?;
            let decided = key.revoke();
            Ok((key, decided))
        };
        let metadata = |_: &Key| metadata.clone();
        Ok(self.writer(organization).change(decide, metadata).await?)
    }

    /// Revokes everything that was made with a key, directly or indirectly. The key itself must be
    /// revoked already, and each maker is revoked before what it has made: so none of them can make
    /// another key meanwhile. After an interruption a second call completes the work.
    pub(crate) async fn revoke_made_by(
        &self,
        maker: KeyId,
        caller: &Caller,
        metadata: Metadata,
    ) -> Result<(), Status> {
        let mut makers = vec![maker];
        let mut visited = HashSet::from([maker]);
        while let Some(maker) = makers.pop() {
            let mut before = KeyId::MAX;
            loop {
                let revoke = || async {
                    let read = self.log.store().keys_made_by(maker, before, BATCH_SIZE).await;
                    let mut made = read.map_err(database_errors::query_failed)?;
                    let last = made.last().map(|key| key.id);
                    // This leaves nothing out: nobody makes keys with more access than their own.
                    let is_within = |id: OrganizationId| caller.reaches(&id);
                    made.retain(|key| key.organizations.organization_id().is_some_and(is_within));
                    self.revoke_batch(&made, &metadata).await?;
                    Ok((made, last))
                };
                let (made, last) = retry_on_conflict(revoke).await?;
                let Some(last) = last else { break };
                // Sessions make nothing: the key that opened the session counts as the maker.
                let keys = made.iter().filter(|key| key.session.is_none()).map(|key| key.id);
                makers.extend(keys.filter(|id| visited.insert(*id)));
                before = last;
            }
        }
        Ok(())
    }

    /// Revokes the keys that are not revoked yet, with one append for each organization.
    async fn revoke_batch(&self, keys: &[Key], metadata: &Metadata) -> Result<(), WriteError> {
        let mut by_organization = BTreeMap::<OrganizationId, Vec<NewRecord>>::new();
        for key in keys {
            let Some(fact) = key.revoke() else { continue };
            // Never None: a key is for one organization or for all.
            let Some(organization) = key.organizations.organization_id() else { continue };
            let record = NewRecord::following(key, fact);
            by_organization.entry(organization).or_default().push(record);
        }
        for (organization, records) in by_organization {
            self.writer(&organization).try_append(records, metadata.clone()).await?;
        }
        Ok(())
    }

    pub(crate) async fn read(
        &self,
        organization: &OrganizationId,
        id: KeyId,
    ) -> Result<Key, Status> {
        let key = self.log.store().key(id).await.map_err(database_errors::query_failed)?;
        let own = key.filter(|key| key.organizations.is_of(organization));
        own.ok_or_else(|| status::not_found(Resource::Key, id))
    }
}
