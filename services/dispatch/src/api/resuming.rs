//! Where the watches of an organization begin, and what they need to resume.

use keeptrusts_webhooks_contracts::api::{ResumePoint, invalid_resume_token};
use keeptrusts_webhooks_contracts::status;
use keeptrusts_webhooks_domain::ids::OrganizationId;
use keeptrusts_webhooks_domain::log::{Position, RecordName};
use keeptrusts_webhooks_process::database_errors;
use keeptrusts_webhooks_store::{Log, OrganizationFollower, OrganizationRecords, StoreError};
use tonic::Status;

use super::dispatch_api::DispatchApi;

/// How many of the organization's records a watch may pass over before its client gets a token, so that
/// they are not read again when it resumes.
pub(super) const MAX_UNSEEN_RECORDS: usize = 1_000;

/// The organization's records for a watch, with the tokens that do not come with something shown.
pub(super) struct WatchedRecords {
    follower: OrganizationFollower,
    /// The token of the first response, which comes at once: otherwise a client that has received
    /// nothing could not resume where its watch began.
    first_token: Option<String>,
    /// How many records were read since the client got something.
    unseen: usize,
    last_read: Option<RecordName>,
}

impl WatchedRecords {
    pub(super) async fn next(&mut self) -> Result<OrganizationRecords, StoreError> {
        let own = self.follower.next().await?;
        self.unseen += own.records.len();
        self.last_read = own.records.last().map(|record| record.name());
        Ok(own)
    }

    /// The client gets something of the records that were read last.
    pub(super) fn show(&mut self) {
        self.unseen = 0;
    }

    /// The token that the client should get now, without anything else. Only when all that was read is
    /// sent.
    pub(super) fn due_token(&mut self) -> Option<String> {
        if let Some(token) = self.first_token.take() {
            return Some(token);
        }
        let last_read = self.last_read.filter(|_| self.unseen >= MAX_UNSEEN_RECORDS)?;
        self.unseen = 0;
        Some(ResumePoint::After(last_read).token())
    }
}

impl DispatchApi {
    /// The records after the place where a watch begins. INVALID_ARGUMENT: the organization has nothing
    /// to resume at.
    pub(super) async fn watched_records(
        &self,
        organization: &OrganizationId,
        resume: Option<ResumePoint>,
    ) -> Result<WatchedRecords, Status> {
        let place = place(&self.log, organization, resume).await;
        let place = place.map_err(database_errors::query_failed)?;
        let (after, first) =
            place.ok_or_else(|| status::invalid_argument(vec![invalid_resume_token()]))?;
        let follower =
            self.log.follow_organization(self.log.shard_of(organization), organization, after);
        let first_token = Some(first.token());
        Ok(WatchedRecords { follower, first_token, unseen: 0, last_read: None })
    }
}

/// The position after which a watch begins, and how its client names that. None: the organization has
/// nothing to resume at.
async fn place(
    log: &Log,
    organization: &OrganizationId,
    resume: Option<ResumePoint>,
) -> Result<Option<(Position, ResumePoint)>, StoreError> {
    let shard = log.shard_of(organization);
    let Some(resume) = resume else {
        let now = *log.watch(shard).borrow();
        let sealed = log.seal_position(shard, organization, now).await?;
        return Ok(Some((now, ResumePoint::Start(sealed))));
    };
    let position = match &resume {
        ResumePoint::After(record) => log.position_of(shard, organization, *record).await?,
        ResumePoint::Within(record) => {
            let position = log.position_of(shard, organization, *record).await?;
            position.map(|at| Position(at.0 - 1))
        }
        ResumePoint::Start(sealed) => log.open_position(shard, organization, sealed).await?,
    };
    Ok(position.map(|after| (after, resume)))
}
