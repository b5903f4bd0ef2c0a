//! Opening the file: by one process, in WAL mode, with the current tables.

use std::path::Path;
use std::sync::Arc;

use keeptrusts_webhooks_domain::Timestamp;
use sqlx::sqlite::{SqliteConnectOptions, SqlitePoolOptions};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, SqliteConnection, SqlitePool};
use tokio::sync::Mutex;

use super::commit_state::begin_opening;
use super::connect_options::{
    BUSY_TIMEOUT, PAGES_BETWEEN_CHECKPOINTS, reading_options, writing_options,
};
use super::database_file::DatabaseFile;
use super::inspection::{Inspection, Mismatch};
use super::leases::Leases;
use super::lock::DatabaseLock;
use super::migrations::{MIGRATIONS, applied_migrations, is_ours, last_migration};
use super::open_error::{OpenError, database_error, file_error, migration_error};
use super::path_check::PathCheck;
use super::recovery::Recovery;
use super::store::SqliteStore;
use super::writer::Writer;
use crate::clock::Clock;
use crate::ids::new_ulid;
use crate::migration_state::{MigrationState, migration_state};
use crate::open_mode::OpenMode;
use crate::tables;

/// There is one process, and it has one writer: more shards would only split its batches.
const SHARD_COUNT: u16 = 1;
/// Readers never wait for the writer in WAL mode, only for each other.
const READERS: u32 = 4;

/// How a database is opened.
#[derive(Clone)]
pub struct SqliteOptions {
    /// What the lock file calls this process, for the people who read it.
    pub program: String,
    /// The database's clock, since no other process has it open.
    pub clock: Clock,
}

impl Default for SqliteOptions {
    /// This program's name and the machine's clock.
    fn default() -> SqliteOptions {
        let program = std::env::current_exe().ok();
        let name = program.as_deref().and_then(Path::file_name).unwrap_or_default();
        SqliteOptions {
            program: name.to_string_lossy().into_owned(),
            clock: crate::clock::system_clock(),
        }
    }
}

impl SqliteStore {
    /// Opens the database in a file. If the file is missing, it is created (mode 0600), and its
    /// folder with it (0700); both are removed again if opening fails. Only one process can have
    /// it open: `<file>.lock` beside it says which.
    pub async fn open(path: &Path, options: SqliteOptions) -> Result<SqliteStore, OpenError> {
        Self::open_as(OpenMode::Create, path, options).await
    }

    /// Opens the database, and creates or changes only what `mode` allows.
    pub async fn open_as(
        mode: OpenMode,
        path: &Path,
        options: SqliteOptions,
    ) -> Result<SqliteStore, OpenError> {
        let mut file = match mode.creates() {
            true => DatabaseFile::find_or_create(path)?,
            false => DatabaseFile::find(path)?,
        };
        let (lock, prior) = DatabaseLock::take(&mut file, &options.program)?;
        let path = file.path.clone();
        let inspection = Inspection::of(&path, &prior).await;
        let inspection = inspection.map_err(file_error("read the write-ahead log of", &path))?;
        inspection.check().map_err(|mismatch| mismatch_error(&path, mismatch))?;
        check_tables(&path, mode).await?;
        lock.note_opened();
        let mut connection =
            lock.keep_in(writing_options(&path)).connect().await.map_err(database_error(&path))?;
        let recovery = Recovery::of(&inspection, prior.lock_file.holder);
        let prepared = prepare(&path, &mut connection, recovery, &options.clock, &lock).await;
        let shard_count = match prepared {
            Ok(shard_count) => shard_count,
            Err(error) => {
                // Before the lock is released, and created files are removed.
                _ = connection.close().await;
                return Err(error);
            }
        };
        let store = SqliteStore::with(&path, connection, shard_count, options.clock, Some(lock))?;
        open_readers(&store.readers).await.map_err(database_error(&path))?;
        file.created.keep();
        Ok(store)
    }

    pub(super) fn with(
        path: &Path,
        connection: SqliteConnection,
        shard_count: u16,
        clock: Clock,
        lock: Option<Arc<DatabaseLock>>,
    ) -> Result<SqliteStore, OpenError> {
        let locked = |options| match &lock {
            Some(lock) => lock.keep_in(options),
            None => options,
        };
        let path_check = PathCheck::of(path).map_err(file_error("find", path))?;
        // No connection ever idles out, so no timer wakes up to look for such ones.
        let readers = SqlitePoolOptions::new()
            .max_connections(READERS)
            .idle_timeout(None)
            .max_lifetime(None)
            .test_before_acquire(false)
            .connect_lazy_with(locked(reading_options(path)));
        Ok(SqliteStore {
            shard_count,
            clock: Arc::new(move || in_microseconds(clock())),
            writer: Writer::new(locked(writing_options(path)), connection, path_check),
            known_shards: (0..shard_count).map(|_| Mutex::default()).collect(),
            readers,
            check_options: locked(writing_options(path)),
            leases: Leases::new(shard_count),
            lock,
        })
    }
}

/// Opens all of them now: one that is opened later would open whatever file the path leads to
/// then.
async fn open_readers(readers: &SqlitePool) -> Result<(), sqlx::Error> {
    let mut opened = Vec::with_capacity(READERS as usize);
    for _ in 0..READERS {
        opened.push(readers.acquire().await?);
    }
    Ok(())
}

/// Checks the tables before anything is changed: even the journal mode would be a change of
/// somebody else's database.
async fn check_tables(path: &Path, mode: OpenMode) -> Result<(), OpenError> {
    let options = SqliteConnectOptions::new().filename(path).read_only(true);
    let options = options.busy_timeout(BUSY_TIMEOUT).disable_statement_logging();
    let mut connection = options.connect().await.map_err(database_error(path))?;
    let applied = match is_ours(&mut connection).await {
        Ok(true) => applied_migrations(&mut connection).await.map(Some),
        other => other.map(|_| None),
    };
    connection.close().await.map_err(database_error(path))?;
    let path = path.to_owned();
    match applied.map_err(database_error(&path))? {
        None => Err(OpenError::NotOurs { path }),
        Some(applied) if applied.is_empty() && !mode.creates() => Err(OpenError::Missing { path }),
        Some(applied) => match migration_state(&applied, &MIGRATIONS) {
            MigrationState::Unreleased => Err(OpenError::Unreleased { path }),
            MigrationState::Older(_) if !mode.migrates() => Err(OpenError::Older { path }),
            // The migrator refuses newer tables.
            _ => Ok(()),
        },
    }
}

/// Migrates the tables and begins a new opening. Answers with the number of shards.
async fn prepare(
    path: &Path,
    connection: &mut SqliteConnection,
    recovery: Option<Recovery>,
    clock: &Clock,
    lock: &DatabaseLock,
) -> Result<u16, OpenError> {
    // `commits` does not count migrations, so all of them must be in one round of the write-ahead
    // log.
    checkpoint_every(connection, 0).await.map_err(database_error(path))?;
    let migrated = MIGRATIONS.run(&mut *connection).await;
    migrated.map_err(|error| migration_error(path, error, last_migration()))?;
    let shard_count = insert_first_rows(connection).await.map_err(database_error(path))?;
    if let Some(recovery) = recovery {
        recovery.log(path, connection).await.map_err(database_error(path))?;
    }
    let opening = begin_opening(connection, &new_ulid(clock()).to_string()).await;
    let opening = opening.map_err(database_error(path))?;
    lock.note_opening(opening.as_deref()).map_err(file_error("write the lock file of", path))?;
    checkpoint_every(connection, PAGES_BETWEEN_CHECKPOINTS).await.map_err(database_error(path))?;
    Ok(shard_count)
}

async fn checkpoint_every(
    connection: &mut SqliteConnection,
    pages: u32,
) -> Result<(), sqlx::Error> {
    let set = AssertSqlSafe(format!("PRAGMA wal_autocheckpoint = {pages}"));
    sqlx::raw_sql(set).execute(connection).await.map(|_| ())
}

/// Inserts the rows that every database has. Answers with the number of shards.
async fn insert_first_rows(connection: &mut SqliteConnection) -> Result<u16, sqlx::Error> {
    sqlx::query("INSERT INTO database (id, shard_count) VALUES (1, ?) ON CONFLICT DO NOTHING")
        .bind(SHARD_COUNT)
        .execute(&mut *connection)
        .await?;
    let shard_count = shard_count(&mut *connection).await?;
    for shard in 0..shard_count {
        sqlx::query("INSERT INTO shards (shard) VALUES (?) ON CONFLICT DO NOTHING")
            .bind(shard)
            .execute(&mut *connection)
            .await?;
    }
    Ok(shard_count)
}

pub(super) async fn shard_count(connection: &mut SqliteConnection) -> Result<u16, sqlx::Error> {
    sqlx::query_scalar("SELECT shard_count FROM database").fetch_one(connection).await
}

fn mismatch_error(path: &Path, mismatch: Mismatch) -> OpenError {
    let path = path.to_owned();
    match mismatch {
        Mismatch::ForeignLog => OpenError::ForeignLog { path },
        Mismatch::LogIsGone => OpenError::LogIsGone { path },
        Mismatch::NoTables => OpenError::NoTables { path },
    }
}

/// Rounds a time to what the tables can hold.
fn in_microseconds(time: Timestamp) -> Timestamp {
    tables::time(tables::micros(time)).unwrap_or(time)
}
