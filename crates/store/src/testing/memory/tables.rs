//! The [`Tables`] of the store in memory.

use std::collections::BTreeMap;
use std::ops::Range;

use async_trait::async_trait;
use keeptrusts_webhooks_domain::Timestamp;
use keeptrusts_webhooks_domain::audit::AuditAction;
use keeptrusts_webhooks_domain::audit::action_label;
use keeptrusts_webhooks_domain::ids::{EndpointId, OrganizationId};
use keeptrusts_webhooks_domain::log::{Position, Shard, Stream};
use keeptrusts_webhooks_domain::replay::{ReplayCursor, ReplaySelection};

use super::{MemoryStore, replays};
use crate::error::StoreError;
use crate::log::operation::Record;
use crate::log::projection::CountKey;
use crate::queries::replay_candidates::CandidatePage;
use crate::queries::selection::ErasedSelection;
use crate::queries::{AuditFilter, Extreme};
use crate::store::{AttemptSum, DueKey, DuePage, Tables, WaitingEndpoints};
use crate::tables::{Keys, Rows};

#[async_trait]
impl Tables for MemoryStore {
    async fn select(&self, shard: Shard, selection: &ErasedSelection) -> Result<Rows, StoreError> {
        self.table(shard, selection.table, |table| table.select(selection))
    }

    async fn look_up(&self, shard: Shard, keys: &Keys<'_>) -> Result<Rows, StoreError> {
        self.table(shard, keys.table.name, |table| table.look_up(keys))
    }

    async fn count(&self, shard: Shard, selection: &ErasedSelection) -> Result<u64, StoreError> {
        self.table(shard, selection.table, |table| table.count(selection))
    }

    async fn grouped(
        &self,
        shard: Shard,
        selection: &ErasedSelection,
        group: &'static str,
        extreme: Extreme,
    ) -> Result<Vec<(String, i64)>, StoreError> {
        let numbers = self.table(shard, selection.table, |table| {
            let (Extreme::Least(column) | Extreme::Greatest(column)) = extreme;
            table.numbers(selection, group, column)
        })?;
        let mut groups = BTreeMap::new();
        for (group, number) in numbers {
            let found = groups.entry(group).or_insert(number);
            *found = match extreme {
                Extreme::Least(_) => number.min(*found),
                Extreme::Greatest(_) => number.max(*found),
            };
        }
        Ok(groups.into_iter().collect())
    }

    async fn audit_records(
        &self,
        shard: Shard,
        organization: &OrganizationId,
        filter: &AuditFilter,
        (before, floor): (Position, Option<Position>),
        limit: usize,
    ) -> Result<Vec<Record>, StoreError> {
        let data = self.shard(shard);
        let endpoint_of = |record: &Record| match record.stream {
            Stream::Endpoint(id) => Some(id),
            Stream::Delivery(id) => data.tables.deliveries.get(&id).map(|row| row.endpoint_id),
            Stream::Replay(id) => {
                data.tables.replays.get(&id).map(|row| row.request.selection.endpoint_id)
            }
            _ => None,
        };
        let endpoints = &filter.endpoint_ids;
        let is_about = |record: &Record| {
            endpoints.is_all()
                || endpoint_of(record).is_some_and(|id| endpoints.iter().any(|one| *one == id))
        };
        let matches = |record: &&Record| {
            let label = action_label(&record.fact);
            record.position < before
                && floor.is_none_or(|floor| record.position >= floor)
                && record.organization_id == *organization
                && label.is_some_and(|label| {
                    let named = |action: &AuditAction| action.labels().contains(&label);
                    filter.actions.is_all() || filter.actions.iter().any(named)
                })
                && filter.actor.as_ref().is_none_or(|actor| *actor == record.metadata.actor)
                && is_about(record)
                && filter.recorded.contains(record.recorded_at)
        };
        Ok(data.records.iter().rev().filter(matches).take(limit).cloned().collect())
    }

    async fn attempt_sums(
        &self,
        shard: Shard,
        organization: &OrganizationId,
        hours: Range<Timestamp>,
    ) -> Result<Vec<AttemptSum>, StoreError> {
        let tables = &self.shard(shard).tables;
        let mut sums = BTreeMap::<_, u64>::new();
        for (key, count) in &tables.attempt_counts {
            let CountKey { endpoint_id, hour, outcome, duration_bucket } = *key;
            let endpoint = tables.endpoints.get(&endpoint_id);
            let is_theirs = endpoint.is_some_and(|row| row.organization_id == *organization);
            if is_theirs && hours.contains(&hour) {
                *sums.entry((endpoint_id, outcome, duration_bucket)).or_default() += count;
            }
        }
        let sums = sums.into_iter().map(|((endpoint_id, outcome, duration_bucket), count)| {
            AttemptSum { endpoint_id, outcome, duration_bucket, count }
        });
        Ok(sums.collect())
    }

    async fn due_deliveries(
        &self,
        shard: Shard,
        endpoint: EndpointId,
        after: DueKey,
        limit: usize,
    ) -> Result<DuePage, StoreError> {
        let data = self.shard(shard);
        let waiting = data.tables.deliveries.values().filter(|row| row.endpoint_id == endpoint);
        let mut due: Vec<_> = waiting
            .filter_map(|row| {
                Some((DueKey { due_time: row.due_time()?, delivery_id: row.id }, row))
            })
            .filter(|(key, _)| *key > after)
            .collect();
        due.sort_by_key(|(key, _)| *key);
        let deliveries = due.into_iter().take(limit).map(|(_, row)| row.clone()).collect();
        Ok(DuePage { as_of: data.last_position(), deliveries })
    }

    async fn waiting_endpoints(&self, shard: Shard) -> Result<WaitingEndpoints, StoreError> {
        let data = self.shard(shard);
        let mut earliest = BTreeMap::<EndpointId, Timestamp>::new();
        for row in data.tables.deliveries.values() {
            if let Some(due_time) = row.due_time() {
                let entry = earliest.entry(row.endpoint_id).or_insert(due_time);
                *entry = (*entry).min(due_time);
            }
        }
        let endpoints = earliest.into_iter().collect();
        Ok(WaitingEndpoints { as_of: data.last_position(), endpoints })
    }

    async fn replay_candidates(
        &self,
        shard: Shard,
        organization: &OrganizationId,
        selection: &ReplaySelection,
        before: Position,
        after: ReplayCursor,
        limit: usize,
    ) -> Result<CandidatePage, StoreError> {
        let now = (self.clock)();
        let data = self.shard(shard);
        Ok(replays::candidates(&data, now, organization, (selection, before), after, limit))
    }
}
