//! Writes to the tables: set-based statements for each table, and none if there are no rows.
//!
//! Decision: docs/decisions/a-batch-is-one-statement.md

use std::collections::VecDeque;
use std::sync::Arc;

use keeptrusts_webhooks_domain::log::Shard;
use sqlx::SqliteConnection;

use super::errors::store_error;
use super::load;
use super::set_statement::{self, BoundStatement, SetStatement, Values};
use crate::error::StoreError;
use crate::queries::selection::ErasedSelection;
use crate::sql;
use crate::tables::{
    Entity, Keys, OnConflict, PerTableCache, Table, TableKey, TableReads, TableWrites,
};

/// Reads of a shard's tables, in a transaction.
pub(super) struct ShardReads<'c> {
    pub(super) connection: &'c mut SqliteConnection,
    pub(super) shard: Shard,
}

impl TableReads for ShardReads<'_> {
    async fn look_up<Row: Entity, RowKey: TableKey>(
        &mut self,
        keys: &[RowKey],
    ) -> Result<Vec<Row>, StoreError> {
        load::by_key(self.connection, self.shard, &Keys::of::<Row>(keys)).await?.read()
    }

    async fn count_by(
        &mut self,
        selection: &ErasedSelection,
        column: &'static str,
    ) -> Result<Vec<(String, i64)>, StoreError> {
        let mut query = sql::counted_by(self.shard, selection, column);
        let found = query.build_query_as().fetch_all(&mut *self.connection).await;
        found.map_err(store_error)
    }
}

/// The statements that write to a shard's tables.
pub(super) struct ShardWrites {
    shard: Shard,
    statements: Statements,
}

enum Statements {
    /// One after the other.
    Each(Vec<BoundStatement>),
    /// All of them, as one text.
    Joined { text: Arc<str>, values: Values },
}

impl ShardWrites {
    pub(super) fn begin(shard: Shard) -> ShardWrites {
        ShardWrites { shard, statements: Statements::Each(Vec::new()) }
    }

    /// Begins statements whose texts, joined in their order, are this one.
    pub(super) fn begin_joined(shard: Shard, text: Arc<str>) -> ShardWrites {
        ShardWrites { shard, statements: Statements::Joined { text, values: Values::default() } }
    }

    /// Runs all statements.
    pub(super) async fn run(self, connection: &mut SqliteConnection) -> Result<(), sqlx::Error> {
        let statements = match self.statements {
            Statements::Each(statements) => statements,
            Statements::Joined { text, values } => vec![(text, values.finish()?)],
        };
        set_statement::run(connection, statements).await
    }

    fn add<T>(
        &mut self,
        statement: &SetStatement,
        rows: impl ExactSizeIterator<Item = T> + Send,
        bind: impl Fn(&mut Values, T) + Send,
    ) -> Result<(), sqlx::Error> {
        match &mut self.statements {
            Statements::Each(statements) => statements.extend(statement.parts(rows, bind)?),
            Statements::Joined { values, .. } => rows.for_each(|row| bind(values, row)),
        }
        Ok(())
    }
}

impl TableWrites for ShardWrites {
    fn write<Row: Sync>(
        &mut self,
        table: &Table<Row>,
        rows: &[&Row],
        on_conflict: OnConflict,
    ) -> Result<(), sqlx::Error> {
        let shard = i64::from(self.shard.0);
        let bind = |values: &mut Values, row: &Row| {
            values.push(shard);
            for column in table.columns {
                values.push_cell((column.cell)(row));
            }
        };
        self.add(&insert(table, on_conflict), rows.iter().copied(), bind)
    }

    fn delete<Row: Entity, RowKey: TableKey>(
        &mut self,
        keys: &[RowKey],
    ) -> Result<(), sqlx::Error> {
        let shard = i64::from(self.shard.0);
        let bind = |values: &mut Values, key: &RowKey| {
            values.push(shard);
            key.cells().into_iter().for_each(|cell| values.push_cell(cell));
        };
        self.add(&delete(&Row::TABLE), keys.iter(), bind)
    }
}

/// The texts of the statements that write a batch.
#[derive(Default)]
pub(super) struct Texts(Vec<Arc<str>>);

impl Texts {
    fn joined(&self) -> Arc<str> {
        self.0.join(";\n").into()
    }

    /// Whether they are the same statements. Each text is made once.
    fn are(&self, others: &Texts) -> bool {
        let pairs = || self.0.iter().zip(&others.0);
        self.0.len() == others.0.len() && pairs().all(|(one, other)| Arc::ptr_eq(one, other))
    }
}

impl TableWrites for Texts {
    fn write<Row: Sync>(
        &mut self,
        table: &Table<Row>,
        rows: &[&Row],
        on_conflict: OnConflict,
    ) -> Result<(), sqlx::Error> {
        if !rows.is_empty() {
            self.0.extend(insert(table, on_conflict).texts(rows.len()));
        }
        Ok(())
    }

    fn delete<Row: Entity, RowKey: TableKey>(
        &mut self,
        keys: &[RowKey],
    ) -> Result<(), sqlx::Error> {
        if !keys.is_empty() {
            self.0.extend(delete(&Row::TABLE).texts(keys.len()));
        }
        Ok(())
    }
}

/// The last kinds of batches. Each statement is a message to the connection's thread and an answer,
/// so that the statements of a batch are better joined; but a joined text has to be compiled. So only
/// the kinds that come again are joined: those of a gentle load. Batches of a heavy load are large,
/// and hardly ever alike.
#[derive(Default)]
pub(super) struct RecentBatches(VecDeque<(Texts, Option<Arc<str>>)>);

/// More than the kinds of batches of a few operations.
const RECENT_BATCHES: usize = 32;

impl RecentBatches {
    /// The joined text of a batch's statements, if a batch of its kind has come before.
    pub(super) fn joined(&mut self, texts: Texts) -> Option<Arc<str>> {
        let known = self.0.iter().position(|(known, _)| known.are(&texts));
        match known.and_then(|index| self.0.remove(index)) {
            Some((_, joined)) => {
                let joined = joined.unwrap_or_else(|| texts.joined());
                self.0.push_back((texts, Some(Arc::clone(&joined))));
                Some(joined)
            }
            None => {
                if self.0.len() == RECENT_BATCHES {
                    self.0.pop_front();
                }
                self.0.push_back((texts, None));
                None
            }
        }
    }
}

fn insert<Row>(table: &Table<Row>, on_conflict: OnConflict) -> Arc<SetStatement> {
    static INSERTS: PerTableCache<Arc<SetStatement>> = PerTableCache::new();
    static UPDATES: PerTableCache<Arc<SetStatement>> = PerTableCache::new();
    static REPLACEMENTS: PerTableCache<Arc<SetStatement>> = PerTableCache::new();
    let cache = match on_conflict {
        OnConflict::Fail => &INSERTS,
        OnConflict::Update => &UPDATES,
        OnConflict::Replace => &REPLACEMENTS,
    };
    cache.get(table.name, || {
        let (name, columns) = (table.name, table.all_columns());
        let on_conflict = table.on_conflict(on_conflict, "max");
        let sql = format!("INSERT INTO {name} (shard, {columns}) VALUES {{rows}} {on_conflict}");
        Arc::new(SetStatement::of(1 + table.columns.len(), sql.into()))
    })
}

fn delete<Row>(table: &Table<Row>) -> Arc<SetStatement> {
    static DELETES: PerTableCache<Arc<SetStatement>> = PerTableCache::new();
    DELETES.get(table.name, || {
        let (name, key) = (table.name, table.key_columns());
        let sql = format!("DELETE FROM {name} WHERE (shard, {key}) IN (VALUES {{rows}})");
        Arc::new(SetStatement::of(1 + table.key().count(), sql.into()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use keeptrusts_webhooks_domain::delivery::Delivery;
    use keeptrusts_webhooks_domain::event::Event;

    fn batch(events: usize, deliveries: usize) -> Texts {
        let events = insert(&Event::TABLE, OnConflict::Fail).texts(events);
        let deliveries = insert(&Delivery::TABLE, OnConflict::Update).texts(deliveries);
        Texts([events, deliveries].concat())
    }

    #[test]
    fn only_batches_whose_kind_has_come_before_are_joined() {
        let mut recent = RecentBatches::default();
        assert_eq!(recent.joined(batch(1, 3)), None);
        assert_eq!(recent.joined(batch(3, 1)), None);
        let joined = recent.joined(batch(1, 3)).expect("it has come before");
        let statements = joined.matches("INSERT INTO").count();
        assert_eq!(statements, 3, "one event, two deliveries and one: {joined}");
        assert_eq!(recent.joined(batch(1, 3)), Some(joined), "made once");
        for kind in 1..=RECENT_BATCHES {
            assert_eq!(recent.joined(batch(kind, 0)), None);
        }
        assert_eq!(recent.joined(batch(1, 3)), None, "it is forgotten");
        assert_eq!(recent.0.len(), RECENT_BATCHES);
    }
}
