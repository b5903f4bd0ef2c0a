//! `keeptrusts-webhooks log rebuild`.

use clap::Args;
use keeptrusts_webhooks_domain::log::{Position, Shard};
use keeptrusts_webhooks_process::database::DatabaseFlags;
use keeptrusts_webhooks_process::exit::Failure;
use keeptrusts_webhooks_process::hangup;
use keeptrusts_webhooks_store::{OpenMode, RebuildDifference, Store, StoreError};
use keeptrusts_webhooks_telemetry::LoggingFlags;
use keeptrusts_webhooks_telemetry::{print_stderr, print_stdout};

use crate::interruption::Interruption;
use crate::progress::Progress;

/// The tables that are read from (endpoints, events, deliveries, attempts, counts) are computed
/// from the log. This computes them again, shard by shard, each in one transaction.
#[derive(Debug, Args)]
pub(crate) struct RebuildCommand {
    /// Change nothing: compare every row with what the log says, print the differences, and
    /// exit with status 1 if there are any, or with 3 if the log itself is damaged. The tables must
    /// be of this version.
    #[arg(long)]
    check: bool,

    #[command(flatten)]
    database: DatabaseFlags,

    #[command(flatten)]
    logging: LoggingFlags,
}

pub(crate) enum RebuildResult {
    /// The tables are what the log says.
    TablesMatch,
    /// They are not; they were only checked.
    Differences,
}

/// The database has ended the command.
#[derive(Debug, thiserror::Error)]
#[error("{done}{}", advice(.source))]
struct RebuildError {
    /// What is as it was.
    done: String,
    source: StoreError,
}

fn run_again(done: String) -> String {
    format!("{done}; run the command again")
}

/// What the operator can do about it, after what was done.
fn advice(error: &StoreError) -> &'static str {
    match error {
        StoreError::Unavailable(_) | StoreError::Unknown(_) => "; run the command again",
        StoreError::Newer { .. } => "; run the command with the newer version of this program",
        // Rows are not read, but for records and what was folded from them.
        StoreError::Unreadable(_) => {
            "; this shard's log is damaged: restore the database from a backup"
        }
        StoreError::DamagedLog { .. } => "; restore the database from a backup",
        StoreError::Failed(_) => "",
    }
}

/// Some shards cannot be compared. They have been printed.
#[derive(Debug, thiserror::Error)]
#[error("the log of shard {} is damaged, nothing was changed: restore the database from a backup", .0.join(", "))]
struct DamagedLogs(Vec<String>);

/// The exit status of a rebuild or check that was not done. (1 means differences, 2 wrong flags.)
pub(crate) const EXIT_NOT_DONE: u8 = 3;

/// Differences that are printed for each shard.
const MAX_DIFFERENCES: usize = 100;

pub(crate) async fn run(command: RebuildCommand) -> Result<RebuildResult, Failure> {
    command.logging.start_alone()?;
    // SIGHUP for the server that has the database open may hit this process.
    let _hangups = hangup::on_hangup()?;
    let interruption = Interruption::listen()?;
    let mode = if command.check { OpenMode::Unchanged } else { OpenMode::Existing };
    let (store, description) = command.database.open_store(mode).await?;
    print_stderr!("{} {description}", if command.check { "checking" } else { "rebuilding" });
    let done = rebuild_shards(store.as_ref(), command.check, &interruption).await;
    store.close().await;
    let result = done?;
    match (&result, command.check) {
        (RebuildResult::TablesMatch, true) => print_stdout!("every row is what the log says"),
        (RebuildResult::TablesMatch, false) => {
            print_stdout!("every table was rebuilt from the log")
        }
        (RebuildResult::Differences, _) => {
            print_stdout!(
                "the tables are not what the log says: run `keeptrusts-webhooks log rebuild`"
            );
        }
    }
    Ok(result)
}

/// Rebuilds or checks shard by shard.
async fn rebuild_shards(
    store: &dyn Store,
    check_only: bool,
    interruption: &Interruption,
) -> Result<RebuildResult, Failure> {
    let shards = || (0..store.shard_count()).map(Shard);
    let mut total = 0;
    for shard in shards() {
        total += records_of(store, shard).await?;
    }
    let progress = Progress::new(total, "records");
    let mut result = RebuildResult::TablesMatch;
    let mut damaged = Vec::new();
    let mut before = 0;
    for shard in shards() {
        let reached = |position: Position| progress.reached(before + position.0.unsigned_abs());
        let of_shard = records_of(store, shard).await?;
        if check_only {
            let done =
                || format!("nothing was changed; shard {shard} and those after it are not checked");
            let work = progress.during(store.check(shard, MAX_DIFFERENCES, &reached));
            match interruption.run(work, || run_again(done())).await? {
                Ok(differences) if differences.is_empty() => {}
                Ok(differences) => {
                    result = RebuildResult::Differences;
                    progress.beside(|| print(shard, &differences));
                }
                Err(error @ StoreError::DamagedLog { .. }) => {
                    damaged.push(shard.to_string());
                    progress.beside(|| print_stdout!("{error}"));
                }
                Err(source) => return Err(RebuildError { done: done(), source }.into()),
            }
        } else {
            let done = || format!("shard {shard} and those after it are as they were before");
            let work = progress.during(store.rebuild(shard, &reached));
            let rebuilt = interruption.run(work, || run_again(done())).await?;
            rebuilt.map_err(|source| RebuildError { done: done(), source })?;
        }
        before += of_shard;
    }
    match damaged.is_empty() {
        true => Ok(result),
        false => Err(DamagedLogs(damaged).into()),
    }
}

/// None are counted of a damaged shard, whose rebuild or check says what is wrong.
async fn records_of(store: &dyn Store, shard: Shard) -> Result<u64, StoreError> {
    match store.shard_state(shard).await {
        Ok(state) => Ok(state.last_position.0.unsigned_abs()),
        Err(StoreError::DamagedLog { .. }) => Ok(0),
        Err(error) => Err(error),
    }
}

fn print(shard: Shard, differences: &[RebuildDifference]) {
    for RebuildDifference { table, stored, rebuilt } in differences {
        print_stdout!("shard {shard}, {table}:");
        print_stdout!("  stored   {}", stored.as_deref().unwrap_or("no such row"));
        print_stdout!("  rebuilt  {}", rebuilt.as_deref().unwrap_or("no such row"));
    }
    if differences.len() == MAX_DIFFERENCES {
        print_stdout!(
            "shard {shard}: there may be more; only the first {MAX_DIFFERENCES} are shown"
        );
    }
}
