//! Opening a database: connecting, migrating the tables, and reading the number of shards.

use std::time::Duration;

use sqlx::{Connection, PgConnection};

use super::connector::Connector;
use super::long_statements::{SettingScope, remove_time_limits};
use super::migrations::{MIGRATIONS, last_migration};
use super::open_error::{OpenError, Target, connect_error};
use super::pooler::{self, Pooling};
use super::session_limits::SessionLimits;
use crate::limits::POSTGRES_SHARDS;
use crate::migration_state::{AppliedMigration, MigrationState, migration_state};
use crate::open_mode::OpenMode;

/// How long the server may take to accept a connection.
const CONNECT_LIMIT: Duration = Duration::from_secs(5);

/// Migrates a database. Answers with the number of its shards.
///
/// Any number of processes may do this at once: the migrator takes an advisory lock. A distributed
/// Postgres may not know such locks across its nodes, and they need a session of their own (a
/// pooler must pool sessions, not transactions). Nothing else takes one, and nothing does once the
/// process has started.
pub(super) async fn prepare(
    connector: &Connector,
    limits: &SessionLimits,
    mode: OpenMode,
) -> Result<u16, OpenError> {
    let connected = connector.connect(limits, CONNECT_LIMIT).await;
    let mut connection = connected.map_err(connect_error)?;
    let target = Target { connect_options: connector.preferred() };
    let pooling = pooler::detect(&mut connection, connector, limits, CONNECT_LIMIT).await;
    let prepared = match pooling.map_err(connect_error)? {
        Pooling::Sessions => set_up_schema(&mut connection, &target, mode).await,
        Pooling::Transactions => Err(OpenError::TransactionPooling { address: target.address() }),
    };
    // The outcome does not depend on how this connection ends.
    let _ = connection.close().await;
    prepared
}

async fn set_up_schema(
    connection: &mut PgConnection,
    target: &Target<'_>,
    mode: OpenMode,
) -> Result<u16, OpenError> {
    let failed = |error| target.statement_error(error);
    // Other processes may be migrating, and a migration may take long.
    remove_time_limits(connection, SettingScope::Session).await.map_err(failed)?;
    // The migrator's own statements print a notice each time that a table exists already.
    let settings = "SET lock_timeout = '10min'; SET idle_in_transaction_session_timeout = 0;
                    SET client_min_messages = warning";
    sqlx::raw_sql(settings).execute(&mut *connection).await.map_err(failed)?;

    let (encoding, fsync): (String, String) =
        sqlx::query_as("SELECT current_setting('server_encoding'), current_setting('fsync')")
            .fetch_one(&mut *connection)
            .await
            .map_err(failed)?;
    if encoding != "UTF8" {
        return Err(OpenError::Encoding(encoding));
    }
    if fsync == "off" {
        tracing::warn!(
            "Postgres runs with fsync = off: a crash of its machine loses events that were acknowledged"
        );
    }

    check_tables(connection, target, mode).await?;
    let count = match mode.migrates() {
        true => {
            let migrated = MIGRATIONS.run_direct(None, connection, false).await;
            migrated.map_err(|error| target.migrate_error(error))?;
            insert_shards(connection).await
        }
        false => shard_count(connection).await,
    };
    count.map_err(failed).and_then(|count| {
        let valid = u16::try_from(count).ok().filter(|count| *count > 0);
        valid.ok_or_else(|| OpenError::Failed(format!("it says that it has {count} shards")))
    })
}

/// Refuses a database whose tables are not ours or must not be migrated, and one without tables if
/// they must not be created.
async fn check_tables(
    connection: &mut PgConnection,
    target: &Target<'_>,
    mode: OpenMode,
) -> Result<(), OpenError> {
    let failed = |error| target.statement_error(error);
    let has_any = "SELECT to_regclass('_sqlx_migrations') IS NOT NULL
                      AND to_regclass('records') IS NOT NULL";
    let has_any: bool =
        sqlx::query_scalar(has_any).fetch_one(&mut *connection).await.map_err(failed)?;
    if !has_any {
        let (address, database) = (target.address(), target.database());
        return match mode.creates() {
            true => Ok(()),
            false => Err(OpenError::NoTables { address, database }),
        };
    }
    let applied = sqlx::query_as("SELECT version, checksum FROM _sqlx_migrations WHERE success");
    let applied: Vec<(i64, Vec<u8>)> = applied.fetch_all(connection).await.map_err(failed)?;
    let applied: Vec<_> = applied.into_iter().map(AppliedMigration::from).collect();
    match migration_state(&applied, &MIGRATIONS) {
        MigrationState::Unreleased => Err(target.unreleased()),
        MigrationState::Older(found) if !mode.migrates() => {
            Err(OpenError::Older { found, needed: last_migration() })
        }
        MigrationState::Newer(found) => Err(OpenError::Newer { found, known: last_migration() }),
        MigrationState::Older(_) | MigrationState::Current => Ok(()),
    }
}

/// Inserts the rows of the shards, unless they exist: their number never changes.
async fn insert_shards(connection: &mut PgConnection) -> Result<i32, sqlx::Error> {
    sqlx::query("INSERT INTO database (id, shard_count) VALUES (1, $1) ON CONFLICT DO NOTHING")
        .bind(i32::from(POSTGRES_SHARDS))
        .execute(&mut *connection)
        .await?;
    sqlx::query(
        "INSERT INTO shards (shard)
         SELECT generate_series(0, shard_count - 1) FROM database WHERE id = 1
         ON CONFLICT DO NOTHING",
    )
    .execute(&mut *connection)
    .await?;
    shard_count(connection).await
}

async fn shard_count(connection: &mut PgConnection) -> Result<i32, sqlx::Error> {
    sqlx::query_scalar("SELECT shard_count FROM database WHERE id = 1").fetch_one(connection).await
}
