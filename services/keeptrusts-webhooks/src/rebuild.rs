//! `keeptrusts-webhooks log rebuild`.

use clap::Args;
use keeptrusts_webhooks_domain::log::{Position, Shard};
use keeptrusts_webhooks_process::database::DatabaseFlags;
use keeptrusts_webhooks_process::reload;
use keeptrusts_webhooks_store::{RebuildDifference, Store};
use keeptrusts_webhooks_telemetry::LoggingFlags;
use keeptrusts_webhooks_telemetry::{print_stderr, print_stdout};

/// The tables that are read from (endpoints, events, deliveries, attempts, counts) are computed
/// from the log. This computes them again, shard by shard, each in one transaction.
#[derive(Debug, Args)]
pub(crate) struct RebuildCommand {
    /// Change nothing: compare every row with what the log says, print the differences, and
    /// exit with status 1 if there are any.
    #[arg(long)]
    check: bool,

    #[command(flatten)]
    database: DatabaseFlags,

    #[command(flatten)]
    logging: LoggingFlags,
}

/// What a rebuild has found.
pub(crate) enum Found {
    /// The tables are now, or are already, what the log says.
    AsTheLogSays,
    /// They are not, and were only checked.
    Differences,
}

/// Differences that are printed for each shard; one is enough to know.
const MAX_DIFFERENCES: usize = 100;

/// Rebuilds or checks every shard.
pub(crate) async fn run(
    command: RebuildCommand,
) -> Result<Found, Box<dyn std::error::Error + Send + Sync>> {
    command.logging.start_alone()?;
    // Who means the server that has the database open may meet this process.
    let _hangups = reload::on_hangup()?;
    let (store, description) = command.database.open_store().await?;
    print_stderr!("{} {description}", if command.check { "checking" } else { "rebuilding" });
    let mut found = Found::AsTheLogSays;
    for shard in (0..store.shard_count()).map(Shard) {
        let last = store.shard_state(shard).await?.last_position;
        let progress = |position: Position| {
            print_stderr!("shard {shard}: {position} of {last} records");
        };
        if !command.check {
            store.rebuild(shard, &progress).await?;
        } else if !check(store.as_ref(), shard, &progress).await? {
            found = Found::Differences;
        }
    }
    store.close().await;
    match (&found, command.check) {
        (Found::AsTheLogSays, true) => print_stdout!("every row is what the log says"),
        (Found::AsTheLogSays, false) => print_stdout!("every table was rebuilt from the log"),
        (Found::Differences, _) => {
            print_stdout!(
                "the tables are not what the log says: run `keeptrusts-webhooks log rebuild`"
            );
        }
    }
    Ok(found)
}

/// Prints the differences; whether there were none.
async fn check(
    store: &dyn Store,
    shard: Shard,
    progress: &(dyn Fn(Position) + Sync),
) -> Result<bool, Box<dyn std::error::Error + Send + Sync>> {
    let differences = store.check(shard, MAX_DIFFERENCES, progress).await?;
    for RebuildDifference { table, stored, rebuilt } in &differences {
        print_stdout!("shard {shard}, {table}:");
        print_stdout!("  stored   {}", stored.as_deref().unwrap_or("no such row"));
        print_stdout!("  rebuilt  {}", rebuilt.as_deref().unwrap_or("no such row"));
    }
    if differences.len() == MAX_DIFFERENCES {
        print_stdout!(
            "shard {shard}: there may be more; only the first {MAX_DIFFERENCES} are shown"
        );
    }
    Ok(differences.is_empty())
}
