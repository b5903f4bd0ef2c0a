//! The content of a database, to be searched for what must not be there.

use std::fs;
use std::path::PathBuf;

use keeptrusts_webhooks_testkit::postgres::Cluster;

use super::Database;

impl Database {
    /// The files of its folder: on SQLite the database and its write-ahead log.
    pub(crate) fn files(&self) -> Vec<PathBuf> {
        let entries = fs::read_dir(self.folder()).expect("the folder is there");
        entries.map(|entry| entry.expect("an entry").path()).collect()
    }

    /// Its content in named parts: files as they are, tables of Postgres as text with bytes in hex.
    pub(crate) async fn content(&self) -> Vec<(String, Vec<u8>)> {
        let files = self.files().into_iter();
        let mut parts: Vec<_> = files
            .map(|path| {
                let content = fs::read(&path).expect("the file is there");
                (path.display().to_string(), content)
            })
            .collect();
        let Some(name) = self.name_in_cluster() else { return parts };
        let cluster = Cluster::shared().await;
        let tables = "SELECT tablename FROM pg_tables WHERE schemaname = 'public'";
        let tables = cluster.query(name, tables).await;
        assert!(tables.lines().any(|table| table == "data_keys"), "{tables}");
        for table in tables.lines() {
            let rows = cluster.query(name, &format!(r#"SELECT t::text FROM "{table}" AS t"#)).await;
            parts.push((format!("the table {table}"), rows.into_bytes()));
        }
        parts
    }
}
