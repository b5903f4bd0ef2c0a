//! Ends keys and sessions, and what was made with them.

use std::collections::{BTreeMap, HashSet};

use keeptrusts_webhooks_contracts::log_codec::Metadata;
use keeptrusts_webhooks_contracts::status::{self, Resource};
use keeptrusts_webhooks_domain::access::Caller;
use keeptrusts_webhooks_domain::ids::{KeyId, OrganizationId};
use keeptrusts_webhooks_domain::key::Key;
use keeptrusts_webhooks_process::answer;
use keeptrusts_webhooks_process::log_writer::retry_when_outpaced;
use keeptrusts_webhooks_store::{NewRecord, Refusal};
use tonic::Status;

use crate::keys::AccessApi;

/// The keys that are read, and revoked, at once.
const KEYS_AT_ONCE: usize = 500;

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
        self.writer(organization).change(decide, metadata, answer::in_doubt).await
    }

    /// Revokes all that was made with a key, and all that was made with that. The key itself is
    /// revoked already, and each maker before what it has made, so that none makes another one.
    /// What was interrupted goes on if it is asked for again.
    pub(crate) async fn revoke_made_by(
        &self,
        maker: KeyId,
        caller: &Caller,
        metadata: Metadata,
    ) -> Result<(), Status> {
        let mut makers = vec![maker];
        let mut seen = HashSet::from([maker]);
        while let Some(maker) = makers.pop() {
            let mut before = KeyId::MAX;
            loop {
                let revoke = || async {
                    let read = self.log.store().keys_made_by(maker, before, KEYS_AT_ONCE).await;
                    let mut made = read.map_err(answer::query_failed)?;
                    let last = made.last().map(|key| key.id);
                    // Nobody makes what reaches further than itself, so that this leaves nothing out.
                    let is_within = |id: OrganizationId| caller.reaches(&id);
                    made.retain(|key| key.reach.organization_id().is_some_and(is_within));
                    let revoked = self.revoke_together(&made, &metadata).await?;
                    Ok(revoked.map(|()| (made, last)))
                };
                let (made, last) = retry_when_outpaced(revoke, answer::in_doubt).await?;
                let Some(last) = last else { break };
                // Nothing is made with a session itself.
                let keys = made.iter().filter(|key| key.session.is_none()).map(|key| key.id);
                makers.extend(keys.filter(|id| seen.insert(*id)));
                before = last;
            }
        }
        Ok(())
    }

    /// Revokes those of the keys that are not: those of an organization together.
    async fn revoke_together(
        &self,
        keys: &[Key],
        metadata: &Metadata,
    ) -> Result<Result<(), Refusal>, Status> {
        let mut of = BTreeMap::<OrganizationId, Vec<NewRecord>>::new();
        for key in keys {
            let Some(fact) = key.revoke() else { continue };
            // A key is of one organization, or of all.
            let Some(organization) = key.reach.organization_id() else { continue };
            of.entry(organization).or_default().push(NewRecord::following(key, fact));
        }
        for (organization, records) in of {
            let appended = self.writer(&organization).try_append(records, metadata.clone()).await?;
            if let Err(refusal) = appended {
                return Ok(Err(refusal));
            }
        }
        Ok(Ok(()))
    }

    async fn read(&self, organization: &OrganizationId, id: KeyId) -> Result<Key, Status> {
        let found = self.log.store().key(id).await.map_err(answer::query_failed)?;
        let own = found.filter(|key| key.reach.is_of(organization));
        own.ok_or_else(|| status::not_found(Resource::Key, id))
    }
}
