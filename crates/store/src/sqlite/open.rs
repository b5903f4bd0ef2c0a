//! OpenMode the file: alone, in the right mode, with the current tables.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use keeptrusts_webhooks_domain::Timestamp;
use sqlx::migrate::{MigrateError, Migrator};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, SqliteConnection};

use super::SqliteStore;
use super::errors::{says_damaged, says_not_a_database};
use super::leases::Leases;
use super::lock::DatabaseLock;
use super::marks::{Found, Mismatch, begin_opening};
use super::names::Names;
use super::place::{Place, failed};
use super::remains::Remains;
use super::writer::Writer;
use crate::clock::Clock;
use crate::error::StoreError;
use crate::ids::new_ulid;
use crate::migration_state::{AppliedMigration, MigrationState, migration_state};
use crate::open_mode::OpenMode;
use crate::store::TableVersions;
use crate::tables;

pub(super) static MIGRATIONS: Migrator = sqlx_macros::migrate!("../../migrations/sqlite");

/// There is one process, and it has one writer: more shards would only split its batches.
const SHARD_COUNT: u16 = 1;
/// Readers never wait for the writer in WAL mode, only for each other.
const READERS: u32 = 4;
/// Statements that a connection keeps compiled: every size of every set-based one, and then some.
const COMPILED_STATEMENTS: usize = 200;
/// Only a backup or a person with a shell can hold the file's lock.
pub(super) const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
/// A checkpoint every 16 MiB: then pages that change often are written to the file less often.
const PAGES_BETWEEN_CHECKPOINTS: u32 = 4_096;

/// How a database is opened.
#[derive(Clone)]
pub struct SqliteOptions {
    /// What the lock file calls this process, for the people who meet it.
    pub program: String,
    /// What time it is: the database's clock, since no other process has it open.
    pub clock: Clock,
}

impl Default for SqliteOptions {
    /// This program, by the machine's clock.
    fn default() -> SqliteOptions {
        let program = std::env::current_exe().ok();
        let name = program.as_deref().and_then(Path::file_name).unwrap_or_default();
        SqliteOptions {
            program: name.to_string_lossy().into_owned(),
            clock: crate::clock::system_clock(),
        }
    }
}

/// Why a database could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process has it open.
    #[error(
        "the database {} is in use by {holder}: stop that process first; if several processes are to share a database, use Postgres (--database-url postgres://...)",
        path.display()
    )]
    InUse {
        /// Which database.
        path: PathBuf,
        /// Which process, in words.
        holder: String,
        /// Its id, if it is certain: on Linux, to those who may look at that process.
        process_id: Option<u32>,
    },
    /// A file with several names is opened by one that it was not opened by before.
    #[error(
        "the database {} has {names} names (hard links), and this is not one by which it was opened before: what was committed last may be in the write-ahead log beside another one; use that one, or remove the others",
        path.display()
    )]
    AnotherName {
        /// Which file.
        path: PathBuf,
        /// How many names it has.
        names: u32,
    },
    /// A file is mounted without its folder.
    #[error(
        "the database {} is mounted without its folder, where its write-ahead log belongs: mount the folder",
        path.display()
    )]
    MountedAlone {
        /// Which file.
        path: PathBuf,
    },
    /// The write-ahead log beside a file was written for another one.
    #[error(
        "the write-ahead log {0}-wal was not written for the file {0} that is there now: one of them was replaced or restored without the other, and together they would be damaged; put back the two that belong together; or, to go on from what is in {0} alone (a backup), move {0}-wal, {0}-shm and {0}.lock somewhere else and start again",
        path.display()
    )]
    ForeignLog {
        /// Which file.
        path: PathBuf,
    },
    /// The write-ahead log of a file that was not closed is gone.
    #[error(
        "the database {0} was not closed the last time, and its write-ahead log {0}-wal is gone, with what was committed last: put that file back; or, to go on without it (from a backup), remove {0}.lock and start again",
        path.display()
    )]
    LogIsGone {
        /// Which file.
        path: PathBuf,
    },
    /// A file has no tables, and was made somewhere else.
    #[error(
        "the database {0} has no tables, and was not made here: if it is a copy of one that was in use, all of it is in the write-ahead log beside the original (its -wal file): copy both; if there is nothing to keep, remove {0}, and a new one is made",
        path.display()
    )]
    NoTables {
        /// Which file.
        path: PathBuf,
    },
    /// A file or folder cannot be made or used.
    #[error("cannot {action} {}", path.display())]
    File {
        /// What was tried.
        action: &'static str,
        /// With what.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// The file is something else.
    #[error("{} is not a database of this program: give the path of another file", path.display())]
    NotOurs {
        /// Which file.
        path: PathBuf,
    },
    /// The file is a database that contradicts itself.
    #[error(
        "the database {0} is damaged, or has a write-ahead log {0}-wal beside it that is another file's: restore it from a backup",
        path.display()
    )]
    Damaged {
        /// Which file.
        path: PathBuf,
        /// What the database says.
        source: sqlx::Error,
    },
    /// A newer version of this program has changed the tables.
    #[error(
        "the database {} was made by a newer version of this program (it has migration {migration}, this version knows {known}): use that version",
        path.display()
    )]
    Newer {
        /// Which file.
        path: PathBuf,
        /// The first one that this version does not know.
        migration: i64,
        /// The last one that this version knows.
        known: i64,
    },
    /// A program that was never released has made it.
    #[error(
        "the database {} was made by an unreleased version of this program, whose tables this version does not take over: make a new database under another path, or use the program that made this one",
        path.display()
    )]
    Unreleased {
        /// Which file.
        path: PathBuf,
    },
    /// It is open, and its tables are not those of this version.
    #[error(
        "the database {} has the tables of another version of this program: use the version that has it open",
        path.display()
    )]
    OtherVersion {
        /// Which file.
        path: PathBuf,
    },
    /// It is not there, or has no tables, and is not to be made.
    #[error("there is no database {}", path.display())]
    Missing {
        /// Which file.
        path: PathBuf,
    },
    /// An older version has made it, and it is not to be changed.
    #[error(
        "the database {} was last opened by an older version of this program: start this version's server on it first, which brings its tables up to date",
        path.display()
    )]
    Older {
        /// Which file.
        path: PathBuf,
    },
    /// The tables could not be brought up to date.
    #[error("cannot bring the tables of {} up to date", path.display())]
    Migration {
        /// Which file.
        path: PathBuf,
        /// Why not.
        source: MigrateError,
    },
    /// Anything else that the database refuses.
    #[error("cannot open the database {}", path.display())]
    Database {
        /// Which file.
        path: PathBuf,
        /// Why not.
        source: sqlx::Error,
    },
}

impl SqliteStore {
    /// Opens the database in a file, which is made if it is missing (mode 0600), and its folder
    /// with it (0700). Only one process can have it open: `<file>.lock` beside it says which.
    /// What was made is gone again if it is not opened after all.
    pub async fn open(path: &Path, options: SqliteOptions) -> Result<SqliteStore, OpenError> {
        Self::open_as(OpenMode::Create, path, options).await
    }

    /// The same, but a database that is not there need not be made.
    pub async fn open_as(
        mode: OpenMode,
        path: &Path,
        options: SqliteOptions,
    ) -> Result<SqliteStore, OpenError> {
        let mut place = match mode.creates() {
            true => Place::prepare(path)?,
            false => Place::existing(path)?,
        };
        let (lock, before) = DatabaseLock::take(&mut place, &options.program)?;
        let path = place.path.clone();
        let noted_opening = before.left.opening.clone();
        let found = Found::at(&path, before.header, before.was_here, noted_opening).await;
        let found = found.map_err(failed("read the write-ahead log of", &path))?;
        found.check().map_err(describe_mismatch(&path))?;
        refuse_what_does_not_fit(&path, mode).await?;
        lock.note_opened();
        let mut connection =
            lock.keep_in(writing_options(&path)).connect().await.map_err(describe(&path))?;
        let remains = Remains::of(&found, &before.left);
        let prepared = prepare(&path, &mut connection, remains, &options.clock, &lock).await;
        let shard_count = match prepared {
            Ok(shard_count) => shard_count,
            Err(error) => {
                // Before the lock goes, and what was made.
                _ = connection.close().await;
                return Err(error);
            }
        };
        let store = Self::with(&path, connection, shard_count, options.clock, Some(lock))?;
        open_readers(&store.readers).await.map_err(describe(&path))?;
        place.created.keep();
        Ok(store)
    }

    pub(super) fn with(
        path: &Path,
        connection: SqliteConnection,
        shard_count: u16,
        clock: Clock,
        lock: Option<Arc<DatabaseLock>>,
    ) -> Result<SqliteStore, OpenError> {
        let kept = |options| match &lock {
            Some(lock) => lock.keep_in(options),
            None => options,
        };
        let names = Names::of(path).map_err(failed("find", path))?;
        let reading = kept(connect_options(path).pragma("query_only", "ON"));
        // No connection ever idles out, so nothing wakes up to look for such ones.
        let readers = SqlitePoolOptions::new()
            .max_connections(READERS)
            .idle_timeout(None)
            .max_lifetime(None)
            .test_before_acquire(false)
            .connect_lazy_with(reading);
        Ok(SqliteStore {
            shard_count,
            clock: Arc::new(move || in_microseconds(clock())),
            writer: Writer::new(kept(writing_options(path)), connection, names),
            readers,
            checking: kept(writing_options(path)),
            leases: Leases::new(shard_count),
            lock,
        })
    }
}

/// All of them now: one that is opened later would go where the name leads then.
async fn open_readers(readers: &sqlx::SqlitePool) -> Result<(), sqlx::Error> {
    let mut opened = Vec::with_capacity(READERS as usize);
    for _ in 0..READERS {
        opened.push(readers.acquire().await?);
    }
    Ok(())
}

/// Looks before anything is changed: also the journal mode would be a change of somebody else's
/// database.
async fn refuse_what_does_not_fit(path: &Path, mode: OpenMode) -> Result<(), OpenError> {
    let looking = SqliteConnectOptions::new().filename(path).read_only(true);
    let looking = looking.busy_timeout(BUSY_TIMEOUT).disable_statement_logging();
    let mut connection = looking.connect().await.map_err(describe(path))?;
    let found = match is_ours(&mut connection).await {
        Ok(true) => applied_migrations(&mut connection).await.map(Some),
        other => other.map(|_| None),
    };
    connection.close().await.map_err(describe(path))?;
    let path = path.to_owned();
    match found.map_err(describe(&path))? {
        None => Err(OpenError::NotOurs { path }),
        Some(applied) if applied.is_empty() && !mode.creates() => Err(OpenError::Missing { path }),
        Some(applied) => match migration_state(&applied, &MIGRATIONS) {
            MigrationState::Unreleased => Err(OpenError::Unreleased { path }),
            MigrationState::Older(_) if !mode.migrates() => Err(OpenError::Older { path }),
            // What is newer is refused by the migrator.
            _ => Ok(()),
        },
    }
}

/// In their order; none if the database is empty.
pub(super) async fn applied_migrations(
    connection: &mut SqliteConnection,
) -> Result<Vec<AppliedMigration>, sqlx::Error> {
    let has_any = "SELECT count(*) > 0 FROM sqlite_schema WHERE name = '_sqlx_migrations'";
    match sqlx::query_scalar(has_any).fetch_one(&mut *connection).await? {
        true => {
            let applied: Vec<(i64, Vec<u8>)> = sqlx::query_as(
                "SELECT version, checksum FROM _sqlx_migrations WHERE success ORDER BY version",
            )
            .fetch_all(connection)
            .await?;
            Ok(applied.into_iter().map(AppliedMigration::from).collect())
        }
        false => Ok(Vec::new()),
    }
}

/// Brings the tables up to date and begins a new opening; answers with the number of shards.
async fn prepare(
    path: &Path,
    connection: &mut SqliteConnection,
    remains: Option<Remains>,
    clock: &Clock,
    lock: &DatabaseLock,
) -> Result<u16, OpenError> {
    // Migrations are not counted, and so must all be in one round of the write-ahead log.
    checkpoint_every(connection, 0).await.map_err(describe(path))?;
    let migrated = MIGRATIONS.run(&mut *connection).await;
    migrated.map_err(|error| describe_migration(path, error))?;
    let shard_count = first_rows(connection).await.map_err(describe(path))?;
    if let Some(remains) = remains {
        remains.tell(path, connection).await.map_err(describe(path))?;
    }
    let opening = begin_opening(connection, &new_ulid(clock()).to_string()).await;
    let opening = opening.map_err(describe(path))?;
    lock.note_opening(opening.as_deref()).map_err(failed("write the lock file of", path))?;
    checkpoint_every(connection, PAGES_BETWEEN_CHECKPOINTS).await.map_err(describe(path))?;
    Ok(shard_count)
}

async fn checkpoint_every(
    connection: &mut SqliteConnection,
    pages: u32,
) -> Result<(), sqlx::Error> {
    let set = AssertSqlSafe(format!("PRAGMA wal_autocheckpoint = {pages}"));
    sqlx::raw_sql(set).execute(connection).await.map(|_| ())
}

fn connect_options(path: &Path) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(path)
        .journal_mode(SqliteJournalMode::Wal)
        // A commit is durable when it is answered (invariant 1).
        .synchronous(SqliteSynchronous::Full)
        .busy_timeout(BUSY_TIMEOUT)
        // What the WAL keeps of its size after a burst, or after a check that held it open.
        .pragma("journal_size_limit", "67108864")
        .statement_cache_capacity(COMPILED_STATEMENTS)
        .thread_name(|number| format!("sqlite-{number}"))
        .disable_statement_logging()
}

/// With room for the pages that every append changes.
pub(super) fn writing_options(path: &Path) -> SqliteConnectOptions {
    connect_options(path)
        .pragma("secure_delete", "FAST") // see `erase`
        .pragma("cache_size", "-16384") // KiB
        .pragma("wal_autocheckpoint", PAGES_BETWEEN_CHECKPOINTS.to_string()) // of 4 KiB
}

/// Whether the database is empty, or has been made by this program.
pub(super) async fn is_ours(connection: &mut SqliteConnection) -> Result<bool, sqlx::Error> {
    let (is_empty, is_migrated): (bool, bool) = sqlx::query_as(
        "SELECT COUNT(*) = 0, COUNT(*) FILTER (WHERE name = '_sqlx_migrations') = 1
         FROM sqlite_schema",
    )
    .fetch_one(connection)
    .await?;
    Ok(is_empty || is_migrated)
}

/// The rows that every database has from its beginning; answers with its number of shards.
async fn first_rows(connection: &mut SqliteConnection) -> Result<u16, sqlx::Error> {
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

pub(super) fn describe(path: &Path) -> impl FnOnce(sqlx::Error) -> OpenError + use<> {
    let path = path.to_owned();
    move |source| {
        if says_not_a_database(&source) {
            return OpenError::NotOurs { path };
        }
        match says_damaged(&source) {
            true => OpenError::Damaged { path, source },
            false => OpenError::Database { path, source },
        }
    }
}

fn describe_mismatch(path: &Path) -> impl FnOnce(Mismatch) -> OpenError + use<> {
    let path = path.to_owned();
    move |mismatch| match mismatch {
        Mismatch::ForeignLog => OpenError::ForeignLog { path },
        Mismatch::LogIsGone => OpenError::LogIsGone { path },
        Mismatch::NoTables => OpenError::NoTables { path },
    }
}

fn describe_migration(path: &Path, error: MigrateError) -> OpenError {
    let known = MIGRATIONS.iter().map(|migration| migration.version).max().unwrap_or(0);
    match error {
        MigrateError::VersionMissing(migration) if migration > known => {
            OpenError::Newer { path: path.to_owned(), migration, known }
        }
        MigrateError::Execute(source) => describe(path)(source),
        source => OpenError::Migration { path: path.to_owned(), source },
    }
}

/// What the tables can hold.
fn in_microseconds(time: Timestamp) -> Timestamp {
    tables::time(tables::micros(time)).unwrap_or(time)
}

/// Which migrations were applied, and which this program needs.
pub(super) async fn table_versions(
    readers: &sqlx::SqlitePool,
) -> Result<TableVersions, StoreError> {
    let (found,): (i64,) =
        sqlx::query_as("SELECT coalesce(max(version), 0) FROM _sqlx_migrations WHERE success")
            .fetch_one(readers)
            .await
            .map_err(super::errors::failed)?;
    let needed = MIGRATIONS.iter().map(|migration| migration.version).max().unwrap_or(0);
    Ok(TableVersions { found, needed })
}
