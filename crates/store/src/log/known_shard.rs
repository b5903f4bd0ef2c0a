//! What a process knows of a shard after it has appended to it. As long as nobody else appends, it
//! need not be read again for the next append.
//!
//! Decision: docs/decisions/an-append-begins-with-what-is-known.md

use std::collections::{BTreeMap, HashMap};

use keeptrusts_webhooks_domain::delivery::Delivery;
use keeptrusts_webhooks_domain::ids::DeliveryId;
use keeptrusts_webhooks_domain::log::{Epoch, Position};

use crate::limits::MAX_KNOWN_DELIVERIES;
use crate::log::plan::{LockedShard, Plan};
use crate::log::projection::AffectedRows;
use crate::store::AppendedBatch;

/// A shard as it is at a position.
#[derive(Debug, Default)]
pub(crate) struct KnownShard {
    pub(crate) last_position: Position,
    pub(crate) checkpoint: Position,
    pub(crate) epoch: Epoch,
    /// The newest deliveries that have not ended: the outcomes of their attempts follow soon.
    deliveries: BTreeMap<DeliveryId, Delivery>,
}

impl KnownShard {
    /// The shard before a batch, without its rows.
    pub(crate) fn state(&self) -> LockedShard {
        let KnownShard { last_position, checkpoint, epoch, .. } = *self;
        LockedShard { last_position, checkpoint, epoch, ..LockedShard::default() }
    }

    /// Whether others have appended to the shard since.
    pub(crate) fn is_behind(&self, shard: &LockedShard) -> bool {
        self.last_position != shard.last_position
    }

    /// Takes the affected rows that are known, and leaves those that must be read.
    pub(crate) fn take_rows(
        &mut self,
        affected: &mut AffectedRows,
    ) -> HashMap<DeliveryId, Delivery> {
        let mut known = HashMap::new();
        affected.deliveries.retain(|(organization, id)| {
            let Some(row) = self.deliveries.remove(id) else { return true };
            let is_theirs = row.organization_id == *organization;
            if is_theirs {
                known.insert(*id, row);
            }
            !is_theirs
        });
        known
    }

    /// Notes a batch that was committed at this epoch, after the rows that it changed were taken.
    pub(crate) fn note(&mut self, plan: Plan<'_>, epoch: Epoch) -> AppendedBatch {
        let Plan { results, records, changes, last_position, checkpoint, .. } = plan;
        (self.last_position, self.checkpoint, self.epoch) = (last_position, checkpoint, epoch);
        let written = changes.new_deliveries.into_iter().chain(changes.changed_deliveries);
        self.deliveries.extend(written.filter(|(_, row)| !row.state.has_ended()));
        while self.deliveries.len() > MAX_KNOWN_DELIVERIES {
            self.deliveries.pop_first();
        }
        AppendedBatch { results, records }
    }
}
