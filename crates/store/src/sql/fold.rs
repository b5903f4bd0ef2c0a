//! One step of a rebuild or a check.

use std::collections::HashSet;

use keeptrusts_webhooks_domain::event::Event;
use keeptrusts_webhooks_domain::fact::Fact;
use keeptrusts_webhooks_domain::ids::{EventId, OrganizationId};
use keeptrusts_webhooks_domain::log::{Shard, Stream};

use crate::error::StoreError;
use crate::log::damage::LogDamage;
use crate::log::operation::Record;
use crate::log::projection::{AffectedRows, Changes, Fold};
use crate::tables::{self, TableReads};

/// Loads the rows that the records touch and folds the records into them. Answers with what is to
/// be written.
pub(crate) async fn fold_records(
    tables: &mut impl TableReads,
    shard: Shard,
    records: &[Record],
) -> Result<Changes, StoreError> {
    let facts = records.iter().map(|record| (&record.organization_id, record.stream, &record.fact));
    let loaded = tables::load(tables, &AffectedRows::of(facts)).await?;
    let mut fold = Fold::new(loaded);
    let folded = records.iter().try_for_each(|record| fold.apply(record));
    folded.map_err(|damage| damage.of(shard))?;
    let changes = fold.into_changes();
    check_routed_events(tables, shard, records, &changes).await?;
    Ok(changes)
}

/// Judges whether each routed event was accepted, for the same organization. Appends do not need
/// the event to route it, so the fold does not have it.
async fn check_routed_events(
    tables: &mut impl TableReads,
    shard: Shard,
    records: &[Record],
    changes: &Changes,
) -> Result<(), StoreError> {
    let key = |event: &Event| (event.organization_id.clone(), event.id);
    let mut accepted: HashSet<(OrganizationId, EventId)> = changes.events.iter().map(key).collect();
    let routed = records.iter().filter_map(|record| match (&record.fact, record.stream) {
        (Fact::DeliveriesScheduled(_), Stream::Event(id)) => {
            Some((record, (record.organization_id.clone(), id)))
        }
        _ => None,
    });
    let routed: Vec<_> = routed.filter(|(_, event)| !accepted.contains(event)).collect();
    let events: Vec<_> = routed.iter().map(|(_, event)| event.clone()).collect();
    let stored = tables.look_up::<Event, _>(&events).await?;
    accepted.extend(stored.iter().map(key));
    match routed.iter().find(|(_, event)| !accepted.contains(event)) {
        None => Ok(()),
        Some((record, _)) => {
            let Record { position, stream, .. } = **record;
            Err(LogDamage::Unfounded { position, stream }.of(shard))
        }
    }
}
