//! `keeptrusts-webhooks organization erase`.

mod revoke;

use clap::{Args, Subcommand};
use keeptrusts_webhooks_domain::fact::OperatorFact;
use keeptrusts_webhooks_domain::ids::{EventId, KeyId, OrganizationId};
use keeptrusts_webhooks_domain::log::Shard;
use keeptrusts_webhooks_process::database::{AdministrationAccess, DatabaseFlags};
use keeptrusts_webhooks_process::exit::Failure;
use keeptrusts_webhooks_process::hangup;
use keeptrusts_webhooks_store::queries::{EventFilter, KeyFilter};
use keeptrusts_webhooks_store::{Store, StoreError};
use keeptrusts_webhooks_telemetry::LoggingFlags;
use keeptrusts_webhooks_telemetry::{print_stderr, print_stdout};

use crate::interruption::Interruption;
use crate::operator;
use crate::progress::Progress;

/// Events and attempts whose bodies one transaction deletes.
///
/// It may overwrite up to 64 MiB with zeros, and appends wait meanwhile.
const BODIES_PER_TRANSACTION: usize = 100;

#[derive(Debug, Subcommand)]
pub(crate) enum OrganizationCommand {
    /// Erase an organization's secrets and the content of its events, for ever
    ///
    /// The log is never changed. What can be erased is kept beside it, and this erases it:
    ///
    /// * The data key, which the secrets of the organization's endpoints are encrypted with: the
    ///   log and the tables hold them encrypted, and nobody can read them any more. The
    ///   organization never gets another key: endpoints cannot be created in it, nor secrets
    ///   changed.
    ///
    /// * The bodies of its events, which is what receivers were sent, and of its attempts: the
    ///   headers that were sent, the headers and bodies that receivers answered with.
    ///
    /// It revokes the organization's keys and ends its sessions, too, within 5 seconds in processes
    /// that run. Keys of every organization still reach it; so do web tokens, whose issuer must
    /// end them.
    ///
    /// What remains, in the log and in the tables: names, URLs and descriptions of endpoints;
    /// types, times and idempotency keys of events; times, status codes and errors of attempts;
    /// sizes and SHA-256 digests of what was erased; the audit trail, which tells of this, too.
    ///
    /// First delete the organization's endpoints and stop publishing its events: what is published
    /// later has a body again. What still waits to be delivered cannot be signed, and fails.
    ///
    /// It can be interrupted, and run again: it is done when it says so and ends with status 0.
    ///
    /// It may be done while servers run, on SQLite too. They use a data key that they have in
    /// memory for 5 minutes more at most, unless SIGHUP makes them forget it at once. Bodies of
    /// the newest events may be in their memory, too, until others take their place or until the
    /// process ends.
    ///
    /// Backups, and Postgres' own files until they are vacuumed and written over, still have what
    /// was erased. A wrapped data key there is worth nothing without its master key: to be certain,
    /// run `keeptrusts-webhooks rotate-master-key`, and destroy the old master key with --retire
    /// and with its copies.
    #[command(verbatim_doc_comment)]
    Erase(EraseCommand),
}

#[derive(Debug, Args)]
pub(crate) struct EraseCommand {
    /// The organization's id.
    #[arg(value_name = "ID", value_parser = organization_id)]
    organization: OrganizationId,

    /// Do it. Without this, nothing is erased.
    #[arg(long)]
    yes: bool,

    #[command(flatten)]
    database: DatabaseFlags,

    #[command(flatten)]
    logging: LoggingFlags,
}

/// The command was given without `--yes`.
#[derive(Debug, thiserror::Error)]
#[error(
    "nothing was erased: add --yes to erase the secrets and the content of the events of organization {0} for ever; --help says what remains"
)]
struct NotConfirmed(OrganizationId);

/// The database has nothing of the organization.
#[derive(Debug, thiserror::Error)]
#[error(
    "there is no organization {organization} in {description}: check its id and the database, since what is erased can never be used"
)]
struct NoSuchOrganization {
    organization: OrganizationId,
    description: String,
}

fn organization_id(text: &str) -> Result<OrganizationId, String> {
    text.parse().map_err(|_| "it is 1 to 64 characters of a-z, 0-9, - and _".to_owned())
}

pub(crate) async fn run(command: OrganizationCommand) -> Result<(), Failure> {
    let OrganizationCommand::Erase(EraseCommand { organization, yes, database, logging }) = command;
    logging.start_alone()?;
    if !yes {
        return Err(NotConfirmed(organization).into());
    }
    // SIGHUP for the server that has the database open may hit this process.
    let _hangups = hangup::on_hangup()?;
    let interruption = Interruption::listen()?;
    let AdministrationAccess { store, description, running_server } =
        database.open_for_administration().await?;
    let shard = Shard::of(&organization, store.shard_count());
    if !exists(store.as_ref(), shard, &organization).await? {
        return Err(NoSuchOrganization { organization, description }.into());
    }
    print_stderr!("erasing organization {organization} in {description}");
    operator::record(store.as_ref(), shard, &organization, OperatorFact::OrganizationErased)
        .await?;
    // From here on the organization's keys can do nothing.
    let revoked = revoke::all_keys(store.as_ref(), &organization).await?;
    print_stdout!("{revoked} keys and sessions of organization {organization} were revoked");
    // The data key next: if the rest is interrupted, the secrets are gone already.
    store.erase_data_key(shard, &organization).await?;
    print_stdout!("the data key of organization {organization} was erased");
    let erased = erase_bodies(store.as_ref(), shard, &organization, &interruption).await;
    if erased.is_err() {
        store.close().await;
    }
    print_stdout!("{} bodies of its events and attempts were erased", erased?);
    if store.is_shared() || running_server.is_some() {
        print_stdout!(
            "running processes use its key for 5 minutes more at most, until SIGHUP at best"
        );
    }
    store.close().await;
    Ok(())
}

/// Erases the bodies; returns how many there were.
async fn erase_bodies(
    store: &dyn Store,
    shard: Shard,
    organization: &OrganizationId,
    interruption: &Interruption,
) -> Result<usize, Failure> {
    let in_all = store.count_events_and_attempts(shard, organization).await?;
    let progress = Progress::new(in_all, "events and attempts");
    let (mut after, mut examined, mut deleted) = (None, 0, 0);
    loop {
        let erased = store.erase_bodies(shard, organization, after, BODIES_PER_TRANSACTION).await?;
        deleted += erased.deleted;
        examined += erased.examined as u64;
        progress.reached(examined);
        after = erased.next;
        if after.is_none() {
            return Ok(deleted);
        }
        interruption.check(|| {
            format!("{deleted} bodies were erased, and others are left; run the command again")
        })?;
    }
}

/// Whether an organization has an event, or has or had a data key or a key.
async fn exists(
    store: &dyn Store,
    shard: Shard,
    organization: &OrganizationId,
) -> Result<bool, StoreError> {
    let keys = store.data_keys(shard, std::slice::from_ref(organization)).await?;
    let every = EventFilter::default();
    let events = store.list_events(shard, organization, &every, EventId::MAX, 1).await?.rows;
    let access = store.list_keys(organization, KeyFilter::default(), KeyId::MAX, 1).await?;
    Ok(!keys.is_empty() || !events.is_empty() || !access.is_empty())
}
