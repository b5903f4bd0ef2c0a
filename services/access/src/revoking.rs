//! Ends keys and sessions, and what was made with them.

use std::collections::{BTreeMap, HashSet};

use keeptrusts_webhooks_contracts::log_codec::Metadata;
use keeptrusts_webhooks_contracts::status::{self, Resource};
use keeptrusts_webhooks_domain::access::Caller;
use keeptrusts_webhooks_domain::fact::Fact;
use keeptrusts_webhooks_domain::ids::{KeyId, OrganizationId};
use keeptrusts_webhooks_domain::key::Key;
use keeptrusts_webhooks_domain::log::Stream;
use keeptrusts_webhooks_process::answer;
use keeptrusts_webhooks_store::{Expected, NewRecord, Refusal};
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
            let mut attempts = answer::Attempts::default();
            loop {
                let read = self.log.store().keys_made_by(maker, before, KEYS_AT_ONCE).await;
                let mut made = read.map_err(answer::query_failed)?;
                let Some(last) = made.last().map(|key| key.id) else { break };
                // Nobody makes what reaches further than itself, so that this leaves nothing out.
                let is_within = |id: OrganizationId| caller.reaches(&id);
                made.retain(|key| key.reach.organization_id().is_some_and(is_within));
                if let Err(refusal) = self.revoke_together(&made, &metadata).await? {
                    attempts.again(refusal, answer::in_doubt)?;
                    continue;
                }
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
            of.entry(organization).or_default().push(NewRecord {
                stream: Stream::Key(key.id),
                expected: Expected::Version(key.version),
                fact: Fact::Key(fact),
            });
        }
        for (organization, records) in of {
            if let Err(refusal) = self.append(&organization, records, metadata.clone()).await? {
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
