//! The [`Tables`] in a file.

use std::ops::Range;

use async_trait::async_trait;
use keeptrusts_webhooks_domain::Timestamp;
use keeptrusts_webhooks_domain::ids::{EndpointId, OrganizationId};
use keeptrusts_webhooks_domain::log::{Position, Shard};
use keeptrusts_webhooks_domain::replay::{ReplayCursor, ReplaySelection};
use sqlx::sqlite::SqliteRow;
use sqlx::{FromRow, QueryBuilder, Sqlite, SqlitePool};

use super::errors::store_error;
use super::store::SqliteStore;
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
impl Tables for SqliteStore {
    async fn select(&self, shard: Shard, selection: &ErasedSelection) -> Result<Rows, StoreError> {
        let found = sql::select(shard, selection).build().fetch_all(&self.readers).await;
        Ok(Rows::stored(found.map_err(store_error)?))
    }

    async fn look_up(&self, shard: Shard, keys: &Keys<'_>) -> Result<Rows, StoreError> {
        let mut connection = self.readers.acquire().await.map_err(store_error)?;
        load::by_key(&mut connection, shard, keys).await
    }

    async fn count(&self, shard: Shard, selection: &ErasedSelection) -> Result<u64, StoreError> {
        let counts = fetch::<(i64,)>(&self.readers, sql::count(shard, selection)).await?;
        Ok(counts.first().map_or(0, |(count,)| count.unsigned_abs()))
    }

    async fn grouped(
        &self,
        shard: Shard,
        selection: &ErasedSelection,
        group: &'static str,
        extreme: Extreme,
    ) -> Result<Vec<(String, i64)>, StoreError> {
        fetch(&self.readers, sql::grouped(shard, selection, group, extreme)).await
    }

    async fn audit_records(
        &self,
        shard: Shard,
        organization: &OrganizationId,
        filter: &AuditFilter,
        range: (Position, Option<Position>),
        limit: usize,
    ) -> Result<Vec<Record>, StoreError> {
        let query = sql::select_audit_records(shard, organization, filter, range, limit);
        read_all(fetch::<Stored<Record>>(&self.readers, query).await?)
    }

    async fn attempt_sums(
        &self,
        shard: Shard,
        organization: &OrganizationId,
        hours: Range<Timestamp>,
    ) -> Result<Vec<AttemptSum>, StoreError> {
        let query = sql::attempt_sums(shard, organization, hours);
        read_all(fetch::<SumRow>(&self.readers, query).await?)
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
        replays::candidates(&self.readers, &search, (self.clock)()).await
    }
}

async fn fetch<Row>(
    readers: &SqlitePool,
    mut query: QueryBuilder<Sqlite>,
) -> Result<Vec<Row>, StoreError>
where
    Row: for<'r> FromRow<'r, SqliteRow> + Send + Unpin,
{
    query.build_query_as().fetch_all(readers).await.map_err(store_error)
}
