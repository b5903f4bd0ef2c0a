//! The [`Tables`] in a Postgres database.

use std::ops::Range;

use async_trait::async_trait;
use keeptrusts_webhooks_domain::Timestamp;
use keeptrusts_webhooks_domain::ids::{EndpointId, OrganizationId};
use keeptrusts_webhooks_domain::log::{Position, Shard};
use keeptrusts_webhooks_domain::replay::{ReplayCursor, ReplaySelection};
use sqlx::AssertSqlSafe;

use super::arguments::key_arguments;
use super::errors::store_error;
use super::session::{fetch, fetch_rows, fetch_statement};
use super::store::PostgresStore;
use super::{due, load, replays};
use crate::error::StoreError;
use crate::log::operation::Record;
use crate::queries::replay_candidates::CandidatePage;
use crate::queries::selection::ErasedSelection;
use crate::queries::{AuditFilter, Extreme};
use crate::sql;
use crate::sql::replay_scan::ReplaySearch;
use crate::sql::rows::SumRow;
use crate::store::{AttemptSum, DueKey, DuePage, Tables, WaitingEndpoints};
use crate::tables::{Keys, Rows, Stored, read_all};

#[async_trait]
impl Tables for PostgresStore {
    async fn select(&self, shard: Shard, selection: &ErasedSelection) -> Result<Rows, StoreError> {
        Ok(Rows::stored(fetch_rows(&self.readers, sql::select(shard, selection)).await?))
    }

    async fn look_up(&self, shard: Shard, keys: &Keys<'_>) -> Result<Rows, StoreError> {
        let arguments = key_arguments(shard, keys).map_err(store_error)?;
        let sql = AssertSqlSafe(load::lookup_by_key(&keys.table));
        let query = sqlx::query_with(sql, arguments);
        Ok(Rows::stored(fetch_statement(&self.readers, query).await?))
    }

    async fn count(&self, shard: Shard, selection: &ErasedSelection) -> Result<u64, StoreError> {
        let mut query = sql::count(shard, selection);
        let counts = fetch::<(i64,)>(&self.readers, query.build_query_as()).await?;
        Ok(counts.first().map_or(0, |(count,)| count.unsigned_abs()))
    }

    async fn grouped(
        &self,
        shard: Shard,
        selection: &ErasedSelection,
        group: &'static str,
        extreme: Extreme,
    ) -> Result<Vec<(String, i64)>, StoreError> {
        let mut query = sql::grouped(shard, selection, group, extreme);
        fetch(&self.readers, query.build_query_as()).await
    }

    async fn audit_records(
        &self,
        shard: Shard,
        organization: &OrganizationId,
        filter: &AuditFilter,
        range: (Position, Option<Position>),
        limit: usize,
    ) -> Result<Vec<Record>, StoreError> {
        let mut query = sql::select_audit_records(shard, organization, filter, range, limit);
        read_all(fetch::<Stored<Record>>(&self.readers, query.build_query_as()).await?)
    }

    async fn attempt_sums(
        &self,
        shard: Shard,
        organization: &OrganizationId,
        hours: Range<Timestamp>,
    ) -> Result<Vec<AttemptSum>, StoreError> {
        let mut query = sql::attempt_sums(shard, organization, hours);
        read_all(fetch::<SumRow>(&self.readers, query.build_query_as()).await?)
    }

    async fn due_deliveries(
        &self,
        shard: Shard,
        endpoint: EndpointId,
        after: DueKey,
        limit: usize,
    ) -> Result<DuePage, StoreError> {
        due::page(&self.readers, shard, endpoint, after, limit).await
    }

    async fn waiting_endpoints(&self, shard: Shard) -> Result<WaitingEndpoints, StoreError> {
        due::endpoints(&self.readers, shard).await
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
        let search = ReplaySearch { shard, organization, selection, before, after, limit };
        replays::candidates(&self.readers, &search).await
    }
}
