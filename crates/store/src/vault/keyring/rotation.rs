//! Replacing the master key: every data key is wrapped under the new one; secrets stay as they are.
//!
//! Each step can be repeated, and by several processes at once. What an interrupted rotation leaves
//! undone, the next one does.

use std::ops::ControlFlow;

use super::data_key::DataKey;
use super::error::{KeyProblem, KeyringError};
use super::master_keys::MasterKeys;
use super::source::MasterKeySource;
use crate::store::Store;
use crate::vault::RewrappedDataKey;
use keeptrusts_webhooks_domain::log::Shard;

/// The data keys that are rewrapped in one transaction.
const KEYS_PER_PAGE: usize = 500;
/// The data keys of a shard that master keys are tested with. More than one, because one may be
/// damaged.
const SAMPLE_KEYS: usize = 10;
/// The most problems in a report; further ones are of the same kinds.
const MAX_PROBLEMS: usize = 20;

/// The outcome of a rotation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RotationReport {
    /// The id of the master key that is current now.
    pub current: String,
    /// How many data keys were rewrapped.
    pub rewrapped: u64,
    /// Why some were not: at most 20 reasons.
    pub problems: Vec<KeyProblem>,
}

/// Checks that the master keys belong to the database: they include the current one, and unwrap a
/// data key.
pub async fn verify(
    store: &dyn Store,
    master_keys: &MasterKeys,
    source: &MasterKeySource,
) -> Result<(), KeyringError> {
    if let Some(current) = store.master_keys().await?.current
        && master_keys.get(&current).is_none()
    {
        return Err(KeyringError::WrongKey {
            place: source.to_string(),
            found: master_keys.first().id().to_owned(),
            expected: current,
        });
    }
    let mut problem = None;
    for shard in (0..store.shard_count()).map(Shard) {
        let samples = store.wrapped_data_keys(shard, None, None, SAMPLE_KEYS).await?;
        for (organization, wrapped) in &samples {
            let master_key = match master_keys.get(&wrapped.master_key_id) {
                Some(key) => key,
                // A missing key is reported when data keys are rewrapped.
                None => continue,
            };
            match DataKey::unwrapped(organization, wrapped, master_key) {
                Ok(_) => return Ok(()),
                Err(damaged) => problem = Some(damaged),
            }
        }
    }
    match problem {
        None => Ok(()),
        Some(problem) => Err(problem.into()),
    }
}

/// Makes the first master key current if it is new, and rewraps under the current one all data keys
/// that are under others. `progress` gets the number of data keys that were rewrapped so far, and may
/// stop the rotation there: the next call continues it.
pub async fn finish_rotation(
    store: &dyn Store,
    master_keys: &MasterKeys,
    source: &MasterKeySource,
    progress: &(dyn Fn(u64) -> ControlFlow<()> + Sync),
) -> Result<RotationReport, KeyringError> {
    let current = make_first_current(store, master_keys, source).await?;
    let mut report = RotationReport { current, rewrapped: 0, problems: Vec::new() };
    for shard in (0..store.shard_count()).map(Shard) {
        // Repeated, because another process may have wrapped some under yet another key meanwhile.
        let mut is_complete = false;
        while !is_complete {
            let done = rewrap_shard(store, shard, master_keys, source, &mut report, progress);
            match done.await? {
                ControlFlow::Continue(all) => is_complete = all,
                ControlFlow::Break(()) => return Ok(report),
            }
        }
    }
    Ok(report)
}

/// Makes the first master key current, unless it was replaced before: then the file is an old one.
/// Returns the id of the current key.
async fn make_first_current(
    store: &dyn Store,
    master_keys: &MasterKeys,
    source: &MasterKeySource,
) -> Result<String, KeyringError> {
    let first = master_keys.first().id();
    loop {
        let current = store.claim_master_key(first).await?;
        if current == first {
            return Ok(current);
        }
        if master_keys.get(&current).is_none() {
            return Err(KeyringError::WrongKey {
                place: source.to_string(),
                found: first.to_owned(),
                expected: current,
            });
        }
        if store.master_keys().await?.replaced.iter().any(|replaced| replaced == first) {
            tracing::warn!(
                file = %source,
                current,
                first,
                "the first master key has been replaced: put the current one before it"
            );
            return Ok(current);
        }
        if store.replace_master_key(&current, first).await? {
            tracing::info!(previous = current, current = first, "the master key was replaced");
            return Ok(first.to_owned());
        }
        // Another process replaced it first.
    }
}

/// Rewraps the data keys of a shard once. False: other processes did the same, and some may be left.
async fn rewrap_shard(
    store: &dyn Store,
    shard: Shard,
    master_keys: &MasterKeys,
    source: &MasterKeySource,
    report: &mut RotationReport,
    progress: &(dyn Fn(u64) -> ControlFlow<()> + Sync),
) -> Result<ControlFlow<(), bool>, KeyringError> {
    let Some(current) = master_keys.get(&report.current) else {
        return Ok(ControlFlow::Continue(true));
    };
    let mut after = None;
    let mut is_complete = true;
    loop {
        let except = Some(current.id());
        let page = store.wrapped_data_keys(shard, except, after.as_ref(), KEYS_PER_PAGE).await?;
        let Some((last, _)) = page.last() else {
            return Ok(ControlFlow::Continue(is_complete));
        };
        after = Some(last.clone());
        let mut rewrapped = Vec::with_capacity(page.len());
        for (organization_id, wrapped) in page {
            let missing = || KeyProblem::MasterKeyMissing {
                master_key_id: wrapped.master_key_id.clone(),
                place: source.to_string(),
            };
            let unwrapped = master_keys
                .get(&wrapped.master_key_id)
                .ok_or_else(missing)
                .and_then(|key| DataKey::unwrapped(&organization_id, &wrapped, key));
            match unwrapped {
                Ok(key) => rewrapped.push(RewrappedDataKey {
                    key: key.wrapped(&organization_id, current),
                    organization_id,
                    previous_master_key_id: wrapped.master_key_id,
                }),
                Err(problem) => note(problem, &mut report.problems),
            }
        }
        let changed = store.rewrap_data_keys(shard, &rewrapped).await?;
        is_complete &= changed == rewrapped.len();
        report.rewrapped += changed as u64;
        if progress(report.rewrapped).is_break() {
            return Ok(ControlFlow::Break(()));
        }
    }
}

fn note(problem: KeyProblem, problems: &mut Vec<KeyProblem>) {
    if problems.contains(&problem) || problems.len() == MAX_PROBLEMS {
        return;
    }
    tracing::error!(error = %problem, "a data key cannot be wrapped under the current master key");
    problems.push(problem);
}
