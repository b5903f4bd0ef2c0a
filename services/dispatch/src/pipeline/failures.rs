//! How a shard's owner reacts when the database fails: one loop for all reads, one table for all
//! appends.

use std::error::Error;
use std::time::Duration;

use keeptrusts_webhooks_store::backoff::{Backoff, retry};
use keeptrusts_webhooks_store::{
    AppendError, AppendOutcome, ErrorChain, Operation, Refusal, StoreError,
};

use super::owned_shard::OwnedShard;

/// Used by several stages, for the log.
pub(crate) const CANNOT_READ_DELIVERY: &str = "cannot read a delivery";
pub(crate) const CANNOT_READ_DATA_KEYS: &str = "cannot read data keys";

/// The waits while the database is not available.
pub(crate) const DATABASE_BACKOFF: Backoff =
    Backoff::new(Duration::from_millis(50), Duration::from_secs(2));

/// The reaction to an error that waiting does not cure: a record of a newer version, a damaged row,
/// a defect of ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum OnDefect {
    /// The shard's deliveries depend on it. This process gives the shard up, since nobody else can
    /// deliver while it keeps the lease.
    GiveUp,
    /// Only one endpoint, replay or channel depends on it, and stops until it is repaired.
    Wait,
}

/// Who appends to the streams of an operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Streams {
    /// The shard's owner, and callers of the API.
    Shared,
    /// After the first record only the shard's owner, so that nobody appends between its read and
    /// its append.
    Owned,
}

/// How a stage's append handles failures.
#[derive(Debug, Clone, Copy)]
pub(crate) struct AppendPolicy {
    /// What cannot be done while it fails, for the log.
    pub(crate) what: &'static str,
    pub(crate) streams: Streams,
    pub(crate) on_defect: OnDefect,
}

/// What a failed append means for the operation and for the shard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reaction {
    /// Wait, then append the same again.
    Wait,
    /// The state that it was decided from has changed: read it, and decide again.
    DecideAgain,
    /// Waiting does not help: give the shard up.
    GiveUp,
    /// Another process owns the shard: what was decided here does not count.
    Abort,
    /// The log is closed because the process is ending: the next owner does it again.
    End,
}

impl Reaction {
    fn to(error: &AppendError, append: AppendPolicy) -> Reaction {
        let to_defect = match append.on_defect {
            OnDefect::GiveUp => Reaction::GiveUp,
            OnDefect::Wait => Reaction::Wait,
        };
        match error {
            AppendError::Unavailable(_) => Reaction::Wait,
            AppendError::Refused(Refusal::LeaseLost { .. } | Refusal::OutOfOrder { .. }) => {
                Reaction::Abort
            }
            AppendError::Refused(Refusal::StaleVersion { .. } | Refusal::NoSuchStream(_))
                if append.streams == Streams::Shared =>
            {
                Reaction::DecideAgain
            }
            // Nobody else appends to an owned stream, and what the owner appends has no idempotency
            // key.
            AppendError::Refused(_) | AppendError::Failed => to_defect,
            AppendError::InDoubt | AppendError::Closed => Reaction::End,
        }
    }
}

/// The stage ends: the shard is stopped or given up, its lease is lost, or the log is closed.
pub(crate) struct StageEnded;

impl OwnedShard {
    /// Reads until that succeeds. `what` says in the log what cannot be done meanwhile.
    pub(crate) async fn read<T, F>(
        &self,
        what: &'static str,
        on_defect: OnDefect,
        read: impl FnMut() -> F,
    ) -> T
    where
        F: Future<Output = Result<T, StoreError>>,
    {
        let note_failure = |error: &StoreError| self.note_failed_read(what, on_defect, error);
        retry(DATABASE_BACKOFF, read, note_failure).await
    }

    /// Handles a failed read for the shard. The caller waits before it reads again.
    pub(crate) fn note_failed_read(
        &self,
        what: &'static str,
        on_defect: OnDefect,
        error: &StoreError,
    ) {
        match on_defect {
            OnDefect::GiveUp if !error.is_transient() => self.give_up(what, error),
            OnDefect::GiveUp | OnDefect::Wait => self.log_wait(what, error),
        }
    }

    /// Appends to owned streams, however long the database is not available.
    pub(crate) async fn append(
        &self,
        append: AppendPolicy,
        operation: Operation,
    ) -> Result<AppendOutcome, StageEnded> {
        let mut backoff = DATABASE_BACKOFF;
        loop {
            match self.log.append(self.lease.shard(), operation.clone()).await {
                Ok(appended) => return Ok(appended),
                Err(error) => self.wait_or_end(append, &error, &mut backoff).await?,
            }
        }
    }

    /// Reacts to a failed append. Returns Ok when the caller should append or decide again.
    pub(crate) async fn wait_or_end(
        &self,
        append: AppendPolicy,
        error: &AppendError,
        backoff: &mut Backoff,
    ) -> Result<(), StageEnded> {
        match self.react(append, error) {
            Reaction::Wait => {
                self.log_wait(append.what, error);
                backoff.wait().await;
            }
            Reaction::DecideAgain => {}
            Reaction::GiveUp | Reaction::Abort | Reaction::End => return Err(StageEnded),
        }
        Ok(())
    }

    /// Reacts to a failed append as far as the shard is concerned. The caller handles the
    /// operation.
    pub(crate) fn react(&self, append: AppendPolicy, error: &AppendError) -> Reaction {
        let (reaction, shard) = (Reaction::to(error, append), self.lease.shard());
        match reaction {
            Reaction::Wait | Reaction::DecideAgain => {
                tracing::debug!(%shard, %error, "{}, trying again", append.what);
            }
            Reaction::GiveUp => self.give_up(append.what, error),
            Reaction::Abort => {
                tracing::warn!(%shard, %error, "another process owns the shard");
                self.abort.cancel();
            }
            Reaction::End => self.abort.cancel(),
        }
        reaction
    }

    /// Finishes what is under way, and has the shard given back.
    pub(crate) fn give_up(&self, what: &'static str, error: &(dyn Error + 'static)) {
        if !self.unfit.is_cancelled() {
            if let Some(damage @ StoreError::DamagedLog { .. }) = error.downcast_ref() {
                _ = self.damage.set(damage.to_string());
            }
            let (shard, error) = (self.lease.shard(), ErrorChain(error));
            tracing::error!(%shard, %error, "{what}: this process cannot work on the shard, giving it back");
            self.unfit.cancel();
            self.stop.cancel();
        }
    }

    /// Logs a wait.
    pub(crate) fn log_wait(&self, what: &'static str, error: &dyn Error) {
        let (shard, error) = (self.lease.shard(), ErrorChain(error));
        tracing::warn!(%shard, %error, "{what}, waiting");
    }
}

#[cfg(test)]
mod tests {
    use keeptrusts_webhooks_domain::ids::{DeliveryId, EventId};
    use keeptrusts_webhooks_domain::log::{Epoch, Position, Stream, Version};
    use keeptrusts_webhooks_store::DatabaseProblem;

    use super::Reaction::{Abort, DecideAgain, End, GiveUp, Wait};
    use super::*;

    #[test]
    fn a_failed_append_means_what_the_table_says() {
        let stream = Stream::Delivery(DeliveryId::MIN);
        let (expected, actual) = (Version(1), Version(2));
        let stale = Refusal::StaleVersion { stream, expected, actual };
        let reused = Refusal::IdempotencyKeyReused { event_id: EventId::MIN };
        let lease_lost = Refusal::LeaseLost { expected: Epoch(1), actual: Epoch(2) };
        let out_of_order = Refusal::OutOfOrder { expected: Position(1), actual: Position(2) };
        // For shared streams, and for owned ones.
        let table = [
            (AppendError::Unavailable(DatabaseProblem::Locked), Wait, Wait),
            (AppendError::Unavailable(DatabaseProblem::Unreachable), Wait, Wait),
            (stale.into(), DecideAgain, GiveUp),
            (Refusal::NoSuchStream(stream).into(), DecideAgain, GiveUp),
            (reused.into(), GiveUp, GiveUp),
            (AppendError::Failed, GiveUp, GiveUp),
            (lease_lost.into(), Abort, Abort),
            (out_of_order.into(), Abort, Abort),
            (AppendError::InDoubt, End, End),
            (AppendError::Closed, End, End),
        ];
        for (error, shared, owned) in table {
            for (streams, reaction) in [(Streams::Shared, shared), (Streams::Owned, owned)] {
                let of =
                    |on_defect| Reaction::to(&error, AppendPolicy { what: "", streams, on_defect });
                assert_eq!(of(OnDefect::GiveUp), reaction, "{error}, {streams:?}");
                // If only one thing depends on it, the shard is not given up.
                let patient = if reaction == GiveUp { Wait } else { reaction };
                assert_eq!(of(OnDefect::Wait), patient, "{error}, {streams:?}");
            }
        }
    }
}
