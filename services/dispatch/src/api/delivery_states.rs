//! Computes deliveries' states after records, for readers of the log.
//!
//! Decision: docs/decisions/watches-show-deliveries-as-records-left-them.md

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use keeptrusts_webhooks_domain::delivery::Delivery;
use keeptrusts_webhooks_domain::fact::{DeliveryFact, Fact};
use keeptrusts_webhooks_domain::ids::{DeliveryId, OrganizationId};
use keeptrusts_webhooks_domain::log::{Shard, Stream, Version};
use keeptrusts_webhooks_store::log::projection::scheduled_deliveries;
use keeptrusts_webhooks_store::{Log, Record, StoreError};

/// Waiting deliveries that are remembered from one read to the next.
const MAX_REMEMBERED: usize = 1_000;
/// An event's stream has its acceptance and its routing.
const EVENT_RECORDS: usize = 2;

/// Folds the records of one shard, in order. The table's row may be ahead of the log that is being
/// read: it is used only if it has the record's version.
pub(super) struct DeliveryStates {
    log: Arc<Log>,
    shard: Shard,
    remembered: HashMap<DeliveryId, Delivery>,
}

impl DeliveryStates {
    pub(super) fn new(log: Arc<Log>, shard: Shard) -> DeliveryStates {
        DeliveryStates { log, shard, remembered: HashMap::new() }
    }

    /// Moves everything out, and leaves nothing behind.
    pub(super) fn take(&mut self) -> DeliveryStates {
        let remembered = std::mem::take(&mut self.remembered);
        DeliveryStates { log: Arc::clone(&self.log), shard: self.shard, remembered }
    }

    /// For each of an organization's next records, the deliveries that look different after it.
    pub(super) async fn after(
        &mut self,
        organization: &OrganizationId,
        records: &[&Arc<Record>],
    ) -> Result<Vec<Vec<Delivery>>, StoreError> {
        let rows = self.rows(organization, records).await?;
        let mut after = Vec::with_capacity(records.len());
        for record in records {
            let mut changed: Vec<_> = scheduled_deliveries(record).collect();
            if let (Fact::Delivery(fact), Stream::Delivery(id), true) =
                (&record.fact, record.stream, changed.is_empty())
                && let Some(delivery) = self.next(id, fact, record, rows.get(&id)).await?
            {
                match fact.is_visible() {
                    true => changed.push(delivery),
                    // Not visible, but its version is needed for the next record.
                    false => drop(self.remembered.insert(id, delivery)),
                }
            }
            self.remembered.extend(changed.iter().map(|delivery| (delivery.id, delivery.clone())));
            after.push(changed);
        }
        self.remembered.retain(|_, delivery| !delivery.state.has_ended());
        if self.remembered.len() > MAX_REMEMBERED {
            self.remembered.clear();
        }
        Ok(after)
    }

    /// The rows of the deliveries that are neither remembered nor created by one of the records.
    async fn rows(
        &self,
        organization: &OrganizationId,
        records: &[&Arc<Record>],
    ) -> Result<HashMap<DeliveryId, Delivery>, StoreError> {
        let made = records.iter().flat_map(|record| scheduled_deliveries(record));
        let made: HashSet<_> = made.map(|delivery| delivery.id).collect();
        let changed = records.iter().filter_map(|record| match record.stream {
            Stream::Delivery(id) => Some(id),
            _ => None,
        });
        let mut ids: Vec<_> =
            changed.filter(|id| !self.remembered.contains_key(id) && !made.contains(id)).collect();
        ids.sort_unstable();
        ids.dedup();
        if ids.is_empty() {
            return Ok(HashMap::new());
        }
        let rows = self.log.store().deliveries(self.shard, organization, &ids).await?;
        Ok(rows.into_iter().map(|row| (row.id, row)).collect())
    }

    /// A delivery after one of its records. None: it does not exist.
    async fn next(
        &self,
        id: DeliveryId,
        fact: &DeliveryFact,
        record: &Record,
        row: Option<&Delivery>,
    ) -> Result<Option<Delivery>, StoreError> {
        let before = self.remembered.get(&id);
        if let Some(before) = before.filter(|before| before.version.next() == record.version) {
            let mut after = before.clone();
            after.apply(fact, record.recorded_at, record.metadata.steady_time);
            return Ok(Some(after));
        }
        match row {
            Some(row) if row.version == record.version => Ok(Some(row.clone())),
            Some(row) => self.folded(row, record.version).await.map(Some),
            None => Ok(None),
        }
    }

    /// A delivery's state at a version, folded from its whole stream.
    async fn folded(&self, row: &Delivery, version: Version) -> Result<Delivery, StoreError> {
        let store = self.log.store();
        let limit = usize::try_from(version.0).unwrap_or(0);
        let own =
            store.read_stream(self.shard, Stream::Delivery(row.id), Version(0), limit).await?;
        let event = Stream::Event(row.event_id);
        let event = store.read_stream(self.shard, event, Version(0), EVENT_RECORDS).await?;
        let mut made = event.iter().chain(own.first()).flat_map(scheduled_deliveries);
        let Some(mut delivery) = made.find(|made| made.id == row.id) else {
            return Ok(row.clone());
        };
        let first = delivery.version;
        for record in own.iter().filter(|record| record.version > first) {
            if let Fact::Delivery(fact) = &record.fact {
                delivery.apply(fact, record.recorded_at, record.metadata.steady_time);
            }
        }
        Ok(delivery)
    }
}
