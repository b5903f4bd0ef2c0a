//! Sets the stages' state back to the checkpoint: the records after it are read again, and routed
//! by the state at their positions (invariant 2).

use std::collections::HashSet;

use keeptrusts_webhooks_domain::ids::{ChannelId, EndpointId, OrganizationId};
use keeptrusts_webhooks_domain::log::{Position, Stream, Version};
use keeptrusts_webhooks_store::StoreError;
use keeptrusts_webhooks_store::log::projection::Fold;

use super::limits::RECORDS_PER_READ;
use super::owned_shard::OwnedShard;

#[derive(Default)]
pub(crate) struct ChangedStreams {
    pub(crate) endpoints: HashSet<(OrganizationId, EndpointId)>,
    pub(crate) channels: HashSet<(OrganizationId, ChannelId)>,
}

pub(crate) async fn changed_since(
    shard: &OwnedShard,
    checkpoint: Position,
) -> Result<ChangedStreams, StoreError> {
    let mut changed = ChangedStreams::default();
    let mut after = checkpoint;
    loop {
        let records = shard.log.read(shard.lease.shard(), after, RECORDS_PER_READ).await?;
        let Some(last) = records.last() else { return Ok(changed) };
        after = last.position;
        for record in records {
            let organization = record.organization_id.clone();
            match record.stream {
                Stream::Endpoint(id) => _ = changed.endpoints.insert((organization, id)),
                Stream::Channel(id) => _ = changed.channels.insert((organization, id)),
                _ => {}
            }
        }
    }
}

/// Folds the records of a stream up to a position. Empty if the stream began later.
pub(crate) async fn rewind(
    shard: &OwnedShard,
    stream: Stream,
    position: Position,
) -> Result<Fold, StoreError> {
    tracing::debug!(%stream, %position, "rewinding");
    let (store, number) = (shard.log.store(), shard.lease.shard());
    let mut fold = Fold::default();
    let mut after = Version(0);
    loop {
        let records = store.read_stream(number, stream, after, RECORDS_PER_READ).await?;
        let Some(last) = records.last() else { return Ok(fold) };
        after = last.version;
        for record in &records {
            if record.position > position {
                return Ok(fold);
            }
            fold.apply(record).map_err(|damage| damage.of(number))?;
        }
    }
}
