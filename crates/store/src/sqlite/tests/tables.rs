//! The tables as the migrations make them are those that are described.

use std::collections::BTreeSet;

use tempfile::TempDir;

use super::open;
use crate::tables::projections;

/// What no rebuild folds from the log.
const NO_PROJECTIONS: [&str; 8] = [
    "_sqlx_migrations",
    "bodies",
    "data_keys",
    "database",
    "key_uses",
    "records",
    "replaced_master_keys",
    "shards",
];

#[tokio::test]
async fn every_column_of_a_projection_is_described_and_migrated() {
    let folder = TempDir::new().expect("a temporary folder");
    let store = open(&folder.path().join("webhooks.db")).await;
    let mut writer = store.writer.lock().await.expect("the writer is there");
    let connection = writer.connection().expect("the database is open");
    let columns: Vec<(String, String)> = sqlx::query_as(
        "SELECT tables.name, columns.name
         FROM sqlite_master AS tables JOIN pragma_table_info(tables.name) AS columns
         WHERE tables.type = 'table'",
    )
    .fetch_all(connection)
    .await
    .expect("answers");
    let of_projections =
        columns.into_iter().filter(|(table, _)| !NO_PROJECTIONS.contains(&table.as_str()));
    let migrated: BTreeSet<_> = of_projections.collect();
    let described = projections().into_iter().flat_map(|table| {
        let columns = ["shard"].into_iter().chain(table.columns);
        columns.map(move |column| (table.name.to_owned(), column.to_owned()))
    });
    assert_eq!(migrated, described.collect());
}
