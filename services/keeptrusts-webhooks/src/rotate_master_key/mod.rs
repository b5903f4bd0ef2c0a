//! `keeptrusts-webhooks rotate-master-key`.

mod data_key_counts;
mod error;
mod follow;
mod plan;

use std::ops::ControlFlow;
use std::path::Path;

use clap::Args;
use keeptrusts_webhooks_domain::fact::OperatorFact;
use keeptrusts_webhooks_domain::ids::OrganizationId;
use keeptrusts_webhooks_domain::log::Shard;
use keeptrusts_webhooks_process::database::{AdministrationAccess, DatabaseFlags, RunningServer};
use keeptrusts_webhooks_process::exit::Failure;
use keeptrusts_webhooks_store::Store;
use keeptrusts_webhooks_store::vault::keyring::{
    KeyFile, KeyProblem, MasterKey, MasterKeySource, rotation,
};
use keeptrusts_webhooks_telemetry::LoggingFlags;
use keeptrusts_webhooks_telemetry::{print_stderr, print_stdout};

use crate::interruption::Interruption;
use crate::operator;
use crate::progress::Progress;
use data_key_counts::count_data_keys;
use error::RotationError;
use plan::{KeyUsage, Plan};

/// Put a new master key in the place of the current one, without downtime
///
/// The secrets of each organization's endpoints are encrypted with the organization's data key,
/// and the data keys with the master key. This makes a new master key and encrypts all data keys
/// with it. Secrets stay as they are, deliveries go on.
///
/// The audit trail of all organizations (`*`) says when it was done by this command, and by whom.
/// Processes that are given other keys in their environment only log it.
///
/// Run it as the user that the server runs as, with the same flags or variables.
///
/// On SQLite, and when no server runs:
///
///   1. keeptrusts-webhooks rotate-master-key
///
///      The new key becomes the first line of the key file, the old ones stay below. A server
///      that runs is told by SIGHUP, and does it; this waits until it is done.
///
///   2. Make a copy of the file, keep it where the last one is, and remove the old keys:
///      keeptrusts-webhooks rotate-master-key --retire
///
/// On Postgres, with processes on one machine or on several:
///
///   1. keeptrusts-webhooks rotate-master-key --prepare
///
///      A new key becomes the second line of the file: nothing is encrypted with it yet.
///
///   2. Copy the file to every machine, mode 0600, and send each process SIGHUP.
///
///   3. keeptrusts-webhooks rotate-master-key
///
///      The new key becomes the first line and all data keys are encrypted with it. Processes
///      that meet it read their file again; SIGHUP makes them do so at once.
///
///   4. keeptrusts-webhooks rotate-master-key --retire
///
///      Then copy the file to every machine again.
///
/// If the keys are in KEEPTRUSTS_WEBHOOKS_MASTER_KEY instead of a file: make a key with `openssl
/// rand -hex 32`; restart all processes with "old,new", then with "new,old", then with "new".
/// The first process that starts with the new key in front encrypts all data keys with it.
///
/// All of it can be repeated: whatever was interrupted goes on where it was left. A backup of the
/// database needs a master key from before as long as you mean to restore it.
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct RotateMasterKeyCommand {
    /// Only add a new key behind the current one, so that all processes know it before it is
    /// used.
    #[arg(long, conflicts_with = "retire")]
    prepare: bool,

    /// Remove those keys from the file that have been replaced and that nothing is encrypted
    /// with any more.
    #[arg(long)]
    retire: bool,

    #[command(flatten)]
    database: DatabaseFlags,

    #[command(flatten)]
    logging: LoggingFlags,
}

pub(crate) async fn run(command: RotateMasterKeyCommand) -> Result<(), Failure> {
    let RotateMasterKeyCommand { prepare, retire, database, logging } = command;
    logging.start_alone()?;
    let source = database.master_key_source()?;
    let MasterKeySource::File(path) = &source else { return Err(RotationError::NoFile.into()) };
    let AdministrationAccess { store, description, running_server } =
        database.open_for_administration().await?;
    // Opened only now: this creates a lock file, for which there must be a database.
    let mut file = match KeyFile::open(path) {
        Ok(file) => file,
        Err(error) => {
            store.close().await;
            return Err(database.naming_the_key_file(error.into()).into());
        }
    };
    print_stderr!("master keys in {}, data keys in {description}", path.display());
    let interruption = Interruption::listen()?;
    let rotation =
        Rotation { store: store.as_ref(), source: &source, path, running_server, interruption };
    let done = match (prepare, retire) {
        (true, _) => rotation.prepare(&mut file).await,
        (_, true) => rotation.retire(&mut file).await,
        _ => rotation.rotate(&mut file).await,
    };
    store.close().await;
    Ok(done?)
}

struct Rotation<'a> {
    store: &'a dyn Store,
    source: &'a MasterKeySource,
    path: &'a Path,
    running_server: Option<RunningServer>,
    interruption: Interruption,
}

impl Rotation<'_> {
    async fn prepare(&self, file: &mut KeyFile) -> Result<(), RotationError> {
        let usage = self.usage(file).await?;
        put_current_first(file, &usage)?;
        let prepared = match usage.plan(&file.keys()) {
            Plan::Replace(prepared) => prepared,
            Plan::Generate | Plan::KeepCurrent(_) => {
                let prepared = MasterKey::generate();
                file.add_behind_first(&prepared)?;
                prepared
            }
        };
        print_stdout!("master key {} is prepared in {}", prepared.id(), self.path.display());
        print_stdout!(
            "nothing is encrypted with it yet: copy the file to every machine, mode 0600,"
        );
        print_stdout!("send each process SIGHUP, then run `keeptrusts-webhooks rotate-master-key`");
        Ok(())
    }

    async fn rotate(&self, file: &mut KeyFile) -> Result<(), RotationError> {
        let usage = self.usage(file).await?;
        let target = match usage.plan(&file.keys()) {
            Plan::Replace(key) | Plan::KeepCurrent(key) => key,
            Plan::Generate if self.store.is_shared() => {
                return Err(RotationError::NotPrepared { path: self.path.to_owned() });
            }
            Plan::Generate => MasterKey::generate(),
        };
        if target.id() != usage.current {
            let rotated = OperatorFact::MasterKeyRotated {
                previous: usage.current.clone(),
                current: target.id().to_owned(),
            };
            let everybody = OrganizationId::all();
            operator::record(self.store, Shard::OF_KEYS, &everybody, rotated).await?;
        }
        file.put_first(&target)?;
        print_stdout!("master key {} is the first in {}", target.id(), self.path.display());
        match &self.running_server {
            Some(server) => {
                let work = follow::wait_until_rotated(self.store, server, target.id(), self.path);
                let what =
                    || format!("{} goes on; run this again to see how far", server.description);
                self.interruption.run(work, what).await??;
            }
            None => self.rewrap(target.id()).await?,
        }
        let usage = self.usage(file).await?;
        let remaining = usage.remaining();
        if remaining > 0 {
            self.interruption.check(|| {
                format!(
                    "{remaining} data keys are left; run this again, which goes on where it was left"
                )
            })?;
            return Err(RotationError::Incomplete { remaining });
        }
        let all: u64 = usage.counts.values().sum();
        print_stdout!("all {all} data keys are encrypted with master key {}", usage.current);
        let removable = usage.removable(&file.keys());
        if !removable.is_empty() {
            let removable = removable.join(", ");
            print_stdout!("nothing is encrypted with these master keys any more: {removable}");
            print_stdout!(
                "`keeptrusts-webhooks rotate-master-key --retire` removes them from the file;"
            );
            print_stdout!("backups of the database from before still need them");
        }
        Ok(())
    }

    async fn rewrap(&self, target: &str) -> Result<(), RotationError> {
        let counts = count_data_keys(self.store).await?;
        let others = counts.iter().filter(|(id, _)| *id != target);
        let progress = Progress::new(others.map(|(_, count)| count).sum(), "data keys");
        progress.reached(0);
        let reached = |count: u64| {
            progress.reached(count);
            match self.interruption.is_requested() {
                true => ControlFlow::Break(()),
                false => ControlFlow::Continue(()),
            }
        };
        let keys = self.source.load()?;
        let caught_up = rotation::finish_rotation(self.store, &keys, self.source, &reached).await?;
        drop(progress);
        caught_up
            .problems
            .iter()
            .for_each(|problem: &KeyProblem| print_stderr!("problem: {problem}"));
        Ok(())
    }

    async fn retire(&self, file: &mut KeyFile) -> Result<(), RotationError> {
        let usage = self.usage(file).await?;
        put_current_first(file, &usage)?;
        let removable = usage.removable(&file.keys());
        if removable.is_empty() {
            print_stdout!("there is nothing to remove from {}", self.path.display());
            return Ok(());
        }
        file.remove(&removable)?;
        for id in removable {
            print_stdout!("master key {id} was removed from {}", self.path.display());
        }
        if self.store.is_shared() {
            print_stdout!("copy the file to every machine");
        }
        Ok(())
    }

    /// How the database uses master keys. An error if the file lacks the current one.
    async fn usage(&self, file: &KeyFile) -> Result<KeyUsage, RotationError> {
        rotation::verify(self.store, &self.source.load()?, self.source).await?;
        let mut history = self.store.master_keys().await?;
        let current = match history.current.take() {
            Some(current) => current,
            // No process has used the database yet.
            None => {
                let keys = file.keys();
                let first = keys.first().map(MasterKey::id).unwrap_or_default();
                self.store.claim_master_key(first).await?
            }
        };
        let counts = count_data_keys(self.store).await?;
        Ok(KeyUsage { current, replaced: history.replaced, counts })
    }
}

/// The current key may be the first only in another machine's file.
fn put_current_first(file: &mut KeyFile, usage: &KeyUsage) -> Result<(), RotationError> {
    if let Plan::KeepCurrent(current) = usage.plan(&file.keys()) {
        file.put_first(&current)?;
    }
    Ok(())
}
