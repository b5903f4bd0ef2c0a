//! A database of either kind, and filling it.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use keeptrusts_webhooks_domain::ids::EventId;
use keeptrusts_webhooks_store::limits::MAX_BATCH_OPERATIONS;
use keeptrusts_webhooks_store::postgres::{PostgresOptions, PostgresStore};
use keeptrusts_webhooks_store::queries::EventFilter;
use keeptrusts_webhooks_store::sqlite::{SqliteOptions, SqliteStore};
use keeptrusts_webhooks_store::{Operation, Store};
use keeptrusts_webhooks_testkit::postgres::Cluster;
use tempfile::TempDir;

use crate::error::GrowthError;
use crate::history::{History, SHARD, number_of, time_of};
use crate::options::{DatabaseKind, Options};

const FILE: &str = "growth.db";
const POSTGRES_DATABASE: &str = "growth";
/// How often filling says how far it is.
const PROGRESS_INTERVAL: Duration = Duration::from_secs(10);

pub(crate) struct Database {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) history: History,
    place: Place,
    /// The delivery whose time the database's clock shows. Postgres has a clock of its own: there,
    /// everything was created when the database was filled, whatever the time in its id.
    now: Arc<AtomicU64>,
}

/// Where the database is, and what has to live as long as it.
enum Place {
    Sqlite { folder: std::path::PathBuf, _temporary: Option<TempDir> },
    Postgres(Cluster),
}

impl Database {
    pub(crate) async fn open(
        options: &Options,
        kind: DatabaseKind,
    ) -> Result<Database, GrowthError> {
        let now = Arc::new(AtomicU64::new(0));
        let (store, place): (Arc<dyn Store>, Place) = match kind {
            DatabaseKind::Sqlite => {
                let temporary = match options.keep {
                    Some(_) => None,
                    None => Some(temporary_folder(&options.directory)?),
                };
                let temporary_path = temporary.as_ref().map(|folder| folder.path().to_owned());
                let folder = options.keep.clone().or(temporary_path).unwrap_or_default();
                let shown = now.clone();
                let options = SqliteOptions {
                    clock: Arc::new(move || time_of(shown.load(Ordering::Relaxed))),
                    ..SqliteOptions::default()
                };
                let store = SqliteStore::open(&folder.join(FILE), options).await?;
                (Arc::new(store), Place::Sqlite { folder, _temporary: temporary })
            }
            DatabaseKind::Postgres => {
                // Filling is not what is measured: its commits need not wait for the disk.
                let cluster = Cluster::builder().fsync(false).create().await;
                let url = cluster.create_database(POSTGRES_DATABASE).await;
                let store = PostgresStore::open(&url, PostgresOptions::default()).await?;
                (Arc::new(store), Place::Postgres(cluster))
            }
        };
        let history = History::new(options.seed, store.shard_count());
        let database = Database { store, history, place, now };
        if database.store.shard_state(SHARD).await?.last_position.0 == 0 {
            for batch in database.history.beginning().chunks(MAX_BATCH_OPERATIONS) {
                database.append(batch).await?;
            }
        }
        Ok(database)
    }

    /// How many deliveries there are: the newest event has the last one's number.
    pub(crate) async fn deliveries(&self) -> Result<u64, GrowthError> {
        let mut last = 0;
        for organization in self.history.organizations() {
            let filter = EventFilter::default();
            let newest =
                self.store.list_events(SHARD, organization, &filter, EventId::MAX, 1).await?;
            last = newest.rows.first().map_or(0, |event| number_of(event.id)).max(last);
        }
        Ok(last)
    }

    /// Appends what is missing to so many deliveries.
    pub(crate) async fn fill(&self, size: u64, largest: u64) -> Result<(), GrowthError> {
        let mut batch: Vec<Operation> = Vec::new();
        let mut said = Instant::now();
        for number in self.deliveries().await? + 1..=size {
            let operations = self.history.delivery(number);
            if batch.len() + operations.len() > MAX_BATCH_OPERATIONS {
                self.append(&batch).await?;
                batch.clear();
            }
            self.now.store(number, Ordering::Relaxed);
            batch.extend(operations);
            if said.elapsed() >= PROGRESS_INTERVAL {
                said = Instant::now();
                println!("  {number} of {largest} deliveries");
            }
        }
        self.append(&batch).await?;
        // Filled at once, it would otherwise be measured while autovacuum catches up, or before.
        if let Place::Postgres(cluster) = &self.place {
            cluster.query(POSTGRES_DATABASE, "VACUUM ANALYZE").await;
            cluster.query(POSTGRES_DATABASE, "CHECKPOINT").await;
        }
        Ok(())
    }

    async fn append(&self, batch: &[Operation]) -> Result<(), GrowthError> {
        if batch.is_empty() {
            return Ok(());
        }
        let appended = self.store.append(SHARD, batch).await?;
        match appended.results.into_iter().find_map(Result::err) {
            Some(refusal) => {
                Err(format!("an operation of the history was refused: {refusal}").into())
            }
            None => Ok(()),
        }
    }

    /// What the database takes on the disk.
    pub(crate) async fn bytes(&self) -> Result<u64, GrowthError> {
        match &self.place {
            Place::Sqlite { folder, .. } => Ok(std::fs::metadata(folder.join(FILE))?.len()),
            Place::Postgres(cluster) => {
                let sql = "SELECT pg_database_size(current_database())";
                Ok(cluster.query(POSTGRES_DATABASE, sql).await.trim().parse()?)
            }
        }
    }

    pub(crate) async fn close(&self) {
        self.store.close().await;
    }
}

fn temporary_folder(directory: &Path) -> Result<TempDir, GrowthError> {
    let folder = tempfile::Builder::new().prefix("keeptrusts-growth-").tempdir_in(directory);
    folder.map_err(|error| format!("no folder in {}: {error}", directory.display()).into())
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::measure::measure;

    #[tokio::test]
    async fn a_kept_database_is_continued_and_answers_every_question() {
        let folder = TempDir::new().expect("a temporary folder");
        let path = folder.path().to_str().expect("UTF-8");
        let options = Options::parse_from(["growth", "--keep", path, "--output", path]);
        let mut lines = Vec::new();
        for (there, size) in [(0, 150), (150, 300)] {
            let database = Database::open(&options, DatabaseKind::Sqlite).await.expect("opened");
            assert_eq!(database.deliveries().await.expect("reads"), there);
            database.fill(size, size).await.expect("filled");
            assert_eq!(database.deliveries().await.expect("reads"), size);
            measure(&database, size, 1, &mut lines).await.expect("answered");
            database.close().await;
        }
        let first = lines.first().expect("a line");
        let sizes: Vec<_> = first.points.iter().map(|point| point.deliveries).collect();
        assert_eq!((first.name.as_str(), sizes), ("deliveries", vec![150, 300]));
    }
}
