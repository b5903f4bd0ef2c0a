//! Replays: starting, counting, reading, cancelling and watching them.
//!
//! Decision: docs/decisions/replays-look-at-pages-of-rows.md

use std::pin::Pin;
use std::sync::Arc;

use futures_util::stream::unfold;
use keeptrusts_webhooks_contracts::api::{
    AuthorizedRequest, CreateReplay, ListChunk, ListReplays, ReplayRef, replay_preview,
};
use keeptrusts_webhooks_contracts::status::{self, Reason, Resource};
use keeptrusts_webhooks_contracts::v1;
use keeptrusts_webhooks_domain::endpoint::Endpoint;
use keeptrusts_webhooks_domain::fact::Fact;
use keeptrusts_webhooks_domain::ids::{EndpointId, EventId, OrganizationId, ReplayId};
use keeptrusts_webhooks_domain::limits::{
    MAX_REPLAY_COUNT, MAX_REPLAY_ROWS_COUNTED, MAX_RUNNING_REPLAYS,
};
use keeptrusts_webhooks_domain::log;
use keeptrusts_webhooks_domain::replay::{
    NewReplay, Replay, ReplayBound, ReplayCounts, ReplayCursor, ReplayFact, ReplayScope,
    ReplaySelection, ReplayState,
};
use keeptrusts_webhooks_domain::violation::Violation;
use keeptrusts_webhooks_process::log_writer::{WriteError, retry_on_conflict};
use keeptrusts_webhooks_process::{database_errors, long_reads};
use keeptrusts_webhooks_store::queries::replay_candidates::CandidatePage;
use keeptrusts_webhooks_store::queries::{ListPage, ReplayFilter};
use keeptrusts_webhooks_store::{
    CountLimit, Counted, ExpectedVersion, NewRecord, OrganizationFollower, new_ulid,
};
use tokio_stream::Stream;
use tonic::Status;

use super::changes::OrganizationChanges;
use super::dispatch_api::{DispatchApi, check_enabled};

pub(super) type ReplayStream =
    Pin<Box<dyn Stream<Item = Result<v1::WatchReplayResponse, Status>> + Send>>;

const RUNNING_REPLAYS: CountLimit =
    CountLimit { counted: Counted::RunningReplays, max: MAX_RUNNING_REPLAYS };

/// Rows that one statement counts.
const ROWS_PER_COUNT: usize = 2_000;

impl DispatchApi {
    /// The recorded replay or, with `validate_only`, the count of what it would send.
    pub(super) async fn create_replay(
        &self,
        call: &AuthorizedRequest<CreateReplay>,
    ) -> Result<v1::Replay, WriteError> {
        let request = &call.request;
        let organization = &request.organization_id;
        let endpoint = self.existing_endpoint(organization, request.endpoint_id).await?;
        let endpoint =
            endpoint.ok_or_else(|| status::not_found(Resource::Endpoint, request.endpoint_id))?;
        // Neither a disabled endpoint nor a running replay, which will end, prevents counting.
        let limits = match request.validate_only {
            true => vec![RUNNING_REPLAYS],
            false => {
                check_enabled(&endpoint)?;
                vec![running_replays_of(endpoint.id), RUNNING_REPLAYS]
            }
        };
        let selection = self.selection(request, &endpoint).await?;
        self.check_running(organization, &limits).await?;
        // Until it is recorded: of equal requests that wait, the others need not count then.
        let _place = long_reads::acquire(&self.log, organization).await?;
        self.writer(organization).refuse_repeated(call.identity.as_ref()).await?;
        let (counts, is_whole) = self.count(organization, &selection).await?;
        let new = NewReplay {
            selection,
            deliveries_per_second: request.deliveries_per_second,
            matched_count: counts.sent(),
            may_match_more: !is_whole,
        };
        let id = ReplayId::new(new_ulid((self.clock)()));
        let record = NewRecord {
            stream: log::Stream::Replay(id),
            expected: ExpectedVersion::New,
            fact: Fact::Replay(ReplayFact::Requested(new.clone())),
        };
        let metadata = call.metadata(endpoint.id);
        let creator = metadata.actor.clone();
        let append = || async {
            let writer = self.writer(organization).within(limits.clone());
            let writer = writer.validating(request.validate_only);
            match writer.append(record.clone(), metadata.clone()).await {
                // Others were recorded since they were counted. Which of them there are is said; if
                // there are none any more, another attempt succeeds.
                Err(WriteError::LimitReached(_)) => {
                    self.check_running(organization, &limits).await?;
                    Err(WriteError::Conflict)
                }
                appended => appended,
            }
        };
        let recorded = retry_on_conflict(append).await?;
        if request.validate_only {
            let organization_id = organization.to_string();
            return Ok(v1::Replay { organization_id, ..replay_preview(&new, &counts) });
        }
        // Its state at the beginning, however far it has come by now.
        Ok((&Replay::requested(id, organization.clone(), new, creator, recorded)).into())
    }

    pub(super) async fn replay(
        &self,
        organization: &OrganizationId,
        id: ReplayId,
    ) -> Result<Replay, Status> {
        let shard = self.log.shard_of(organization);
        let replay = self.log.store().replay(shard, organization, id).await;
        replay
            .map_err(database_errors::query_failed)?
            .ok_or_else(|| status::not_found(Resource::Replay, id))
    }

    pub(super) async fn replays(
        &self,
        request: ListReplays,
    ) -> Result<v1::ListReplaysResponse, Status> {
        let ListReplays { organization_id, page, endpoint_ids, states } = request;
        let filter = &ReplayFilter { endpoint_ids: endpoint_ids.into(), states: states.into() };
        let (store, shard) = (self.log.store(), self.log.shard_of(&organization_id));
        let organization = &organization_id;
        let read = |before, limit| async move {
            let page = store.list_replays(shard, organization, filter, before, limit).await;
            let ListPage { rows, next } = page.map_err(database_errors::query_failed)?;
            let things = rows.iter().map(|replay| (replay.id, replay.into())).collect();
            Ok(ListChunk { items: things, next })
        };
        let turn = long_reads::acquire(&self.log, organization);
        let (replays, next_page_token) = page.fill(turn, read).await?;
        Ok(v1::ListReplaysResponse { replays, next_page_token })
    }

    /// The replay afterwards.
    pub(super) async fn cancel_replay(
        &self,
        call: AuthorizedRequest<ReplayRef>,
    ) -> Result<Replay, Status> {
        let ReplayRef { organization_id, replay_id } = &call.request;
        let replay = self.replay(organization_id, *replay_id).await?;
        if replay.state != ReplayState::Running {
            return Err(status::failed_precondition(
                Reason::ReplayEnded,
                "the replay has ended already: there is nothing to cancel",
            ));
        }
        let endpoint_id = replay.request.selection.endpoint_id;
        let record = NewRecord {
            stream: log::Stream::Replay(*replay_id),
            // It takes a step several times a second, and is cancelled at any of them.
            expected: ExpectedVersion::Any,
            fact: Fact::Replay(ReplayFact::Cancelled { endpoint_id }),
        };
        let metadata = call.metadata(endpoint_id);
        self.writer(organization_id).append(record, metadata).await?;
        self.replay(organization_id, *replay_id).await
    }

    pub(super) async fn watch_replay(&self, request: ReplayRef) -> Result<ReplayStream, Status> {
        let ReplayRef { organization_id: organization, replay_id } = request;
        let shard = self.log.shard_of(&organization);
        // Before the row is read, so that no step is missed.
        let before = *self.log.watch(shard).borrow();
        let follower = self.log.follow_organization(shard, &organization, before);
        let replay = self.replay(&organization, replay_id).await?;
        let changes = self.watched.changes(&self.log, &organization);
        Ok(steps(ReplayWatcher { follower, changes, replay_id, replay }))
    }

    /// The request's selection with all its defaults.
    async fn selection(
        &self,
        request: &CreateReplay,
        endpoint: &Endpoint,
    ) -> Result<ReplaySelection, Status> {
        let now = (self.clock)();
        let end_time = request.end_time.filter(|time| *time < now);
        // Attempts of the replay itself begin later. (Events that are accepted later are excluded
        // by their positions.)
        let end_time = end_time.or((request.scope == ReplayScope::Failed).then_some(now));
        if request.start_time.is_some_and(|start| start >= end_time.unwrap_or(now)) {
            let description = "is in the future: nothing that happens later is replayed";
            return Err(status::invalid_argument(vec![Violation::out_of_range(
                "replay.start_time",
                description,
            )]));
        }
        let event_types = match (request.scope, request.event_types.is_empty()) {
            (ReplayScope::All, true) => endpoint.config.event_types.clone(),
            (ReplayScope::All, false) => {
                check_subscribed(request, endpoint)?;
                request.event_types.clone()
            }
            (ReplayScope::Missed | ReplayScope::Failed, _) => request.event_types.clone(),
        };
        let organization = &request.organization_id;
        Ok(ReplaySelection {
            endpoint_id: endpoint.id,
            scope: request.scope,
            start_time: request.start_time,
            end_time,
            start_event: self.bound(organization, request.start_event_id).await?,
            end_event: self.bound(organization, request.end_event_id).await?,
            event_types,
            include_delivered: request.include_delivered,
        })
    }

    async fn bound(
        &self,
        organization: &OrganizationId,
        event_id: Option<EventId>,
    ) -> Result<Option<ReplayBound>, Status> {
        let Some(event_id) = event_id else { return Ok(None) };
        let shard = self.log.shard_of(organization);
        let event = self.log.store().event(shard, organization, event_id).await;
        let event = event.map_err(database_errors::query_failed)?;
        let event = event.ok_or_else(|| status::not_found(Resource::Event, event_id))?;
        Ok(Some(ReplayBound { event_id, position: event.position }))
    }

    /// Refuses what would exceed one of the limits, before anything is counted, and names the replay
    /// that is in the way. Whether there is room is decided when the replay is recorded.
    async fn check_running(
        &self,
        organization: &OrganizationId,
        limits: &[CountLimit],
    ) -> Result<(), Status> {
        let (store, shard) = (self.log.store(), self.log.shard_of(organization));
        let most = MAX_RUNNING_REPLAYS as usize;
        let running = store.running_replays(shard, Some(organization), ReplayId::MIN, most).await;
        let running = running.map_err(database_errors::query_failed)?;
        for CountLimit { counted, max } in limits {
            let counts = |replay: &&Replay| counted.includes_replay(replay);
            let mut counted_replays = running.iter().filter(counts);
            if (counted_replays.clone().count() as u64) < *max {
                continue;
            }
            return Err(match (counted, counted_replays.next()) {
                (Counted::RunningReplaysOf(_), Some(replay)) => {
                    let message = format!(
                        "the endpoint has a replay that is running, {}: wait until it is done, or cancel it",
                        replay.id
                    );
                    status::failed_precondition(Reason::ReplayRunning, message)
                }
                _ => {
                    let message = format!(
                        "the organization has {max} replays that are running: wait until one is done, or cancel one"
                    );
                    status::resource_exhausted(Reason::TooManyReplays, message)
                }
            });
        }
        Ok(())
    }

    /// What a replay would send, and whether that is all: counting stops at a limit. Candidates are
    /// found and decided exactly as the shard's owner does it.
    async fn count(
        &self,
        organization: &OrganizationId,
        selection: &ReplaySelection,
    ) -> Result<(ReplayCounts, bool), Status> {
        let (store, shard) = (self.log.store(), self.log.shard_of(organization));
        // Events that are accepted from now on are not counted.
        let state = store.shard_state(shard).await.map_err(database_errors::query_failed)?;
        let before = state.last_position.next();
        let mut count = Count::default();
        let mut after = ReplayCursor::start(selection.scope);
        loop {
            let page = store.replay_candidates(
                shard,
                organization,
                selection,
                before,
                after,
                ROWS_PER_COUNT,
            );
            let page = page.await;
            match count.add(selection, &page.map_err(database_errors::query_failed)?) {
                Ok(next) => after = next,
                Err(CountEnded { is_whole }) => return Ok((count.counts, is_whole)),
            }
        }
    }
}

/// A count in progress.
#[derive(Debug, Default)]
struct Count {
    counts: ReplayCounts,
    /// Rows, in whole pages.
    rows_read: usize,
}

/// Counting has stopped.
#[derive(Debug, PartialEq, Eq)]
struct CountEnded {
    /// Everything was counted.
    is_whole: bool,
}

impl Count {
    /// Counts a page of [`ROWS_PER_COUNT`] rows; returns where to continue.
    fn add(
        &mut self,
        selection: &ReplaySelection,
        page: &CandidatePage,
    ) -> Result<ReplayCursor, CountEnded> {
        for candidate in &page.candidates {
            let state = candidate.delivery.map(|delivery| delivery.state);
            let mut counts = self.counts;
            counts.count(selection.action(state, candidate.is_kept));
            if counts.sent() > MAX_REPLAY_COUNT {
                return Err(CountEnded { is_whole: false });
            }
            self.counts = counts;
        }
        self.rows_read += ROWS_PER_COUNT;
        match page.next {
            Some(next) if self.rows_read < MAX_REPLAY_ROWS_COUNTED => Ok(next),
            next => Err(CountEnded { is_whole: next.is_none() }),
        }
    }
}

/// An endpoint has one running replay at a time.
fn running_replays_of(endpoint: EndpointId) -> CountLimit {
    CountLimit { counted: Counted::RunningReplaysOf(endpoint), max: 1 }
}

/// An endpoint is not sent types that it does not subscribe to.
fn check_subscribed(request: &CreateReplay, endpoint: &Endpoint) -> Result<(), Status> {
    let foreign =
        request.event_types.iter().filter(|kind| !endpoint.config.event_types.contains(kind));
    let names: Vec<_> = foreign.map(|kind| kind.name()).collect();
    if names.is_empty() {
        return Ok(());
    }
    let description = format!(
        "must be types that the endpoint subscribes to, which {} is not: subscribe first",
        names.join(", ")
    );
    Err(status::invalid_argument(vec![Violation::not_allowed("replay.event_types", description)]))
}

struct ReplayWatcher {
    follower: OrganizationFollower,
    changes: Arc<OrganizationChanges>,
    replay_id: ReplayId,
    /// The state to send next.
    replay: Replay,
}

impl ReplayWatcher {
    /// Reads until the replay has taken one or more steps.
    async fn step(&mut self) -> Result<(), Status> {
        let stream = log::Stream::Replay(self.replay_id);
        loop {
            let records =
                self.follower.next().await.map_err(database_errors::query_failed)?.records;
            let step = records.iter().rfind(|record| record.stream == stream);
            if let Some(step) = step {
                let replay = self.changes.replay(self.replay_id, step.position).await;
                let replay = replay.map_err(database_errors::query_failed)?;
                self.replay =
                    replay.ok_or_else(|| status::not_found(Resource::Replay, self.replay_id))?;
                return Ok(());
            }
        }
    }
}

/// The replay's state now and after each step. Ends with the replay, or with an error.
fn steps(watcher: ReplayWatcher) -> ReplayStream {
    let first = (Some(watcher), false);
    Box::pin(unfold(first, async |(watcher, is_sent)| {
        let mut watcher = watcher?;
        if is_sent {
            if watcher.replay.state != ReplayState::Running {
                return None;
            }
            if let Err(status) = watcher.step().await {
                return Some((Err(status), (None, true)));
            }
        }
        let answer = v1::WatchReplayResponse { replay: Some((&watcher.replay).into()) };
        Some((Ok(answer), (Some(watcher), true)))
    }))
}

#[cfg(test)]
mod tests {
    use keeptrusts_webhooks_domain::event_type::EventType;
    use keeptrusts_webhooks_store::queries::replay_candidates::Candidate;
    use ulid::Ulid;

    use super::*;

    fn selection() -> ReplaySelection {
        ReplaySelection {
            endpoint_id: EndpointId::MIN,
            scope: ReplayScope::All,
            start_time: None,
            end_time: None,
            start_event: None,
            end_event: None,
            event_types: Vec::new(),
            include_delivered: false,
        }
    }

    /// A page of so many events that would be sent.
    fn page(matching: usize, is_last: bool) -> CandidatePage {
        let event = |number: usize| {
            let event_id = EventId::new(Ulid(number as u128));
            Candidate {
                cursor: ReplayCursor::Event(event_id),
                event_id,
                event_type: EventType::PolicyBlock,
                event_time: None,
                trace: None,
                delivery: None,
                is_kept: true,
            }
        };
        let next = (!is_last).then_some(ReplayCursor::Event(EventId::MAX));
        CandidatePage { candidates: (0..matching).map(event).collect(), next }
    }

    #[test]
    fn counting_stops_at_more_deliveries_than_are_counted() {
        let mut count = Count::default();
        let pages = MAX_REPLAY_COUNT as usize / ROWS_PER_COUNT;
        for _ in 0..pages {
            assert!(count.add(&selection(), &page(ROWS_PER_COUNT, false)).is_ok());
        }
        assert_eq!(count.counts.sent(), MAX_REPLAY_COUNT);
        let ended = count.add(&selection(), &page(1, true)).expect_err("there is one more");
        assert_eq!(
            (ended, count.counts.sent()),
            (CountEnded { is_whole: false }, MAX_REPLAY_COUNT)
        );
    }

    #[test]
    fn exactly_as_many_as_are_counted_are_all() {
        let mut count = Count::default();
        let all = page(MAX_REPLAY_COUNT as usize, true);
        let ended = count.add(&selection(), &all).expect_err("it is the last");
        assert_eq!((ended, count.counts.sent()), (CountEnded { is_whole: true }, MAX_REPLAY_COUNT));
    }

    #[test]
    fn counting_stops_after_so_many_rows_however_few_of_them_match() {
        let mut count = Count::default();
        let mut pages = 1;
        let ended = loop {
            match count.add(&selection(), &page(1, false)) {
                Ok(_) => pages += 1,
                Err(ended) => break ended,
            }
        };
        assert_eq!(ended, CountEnded { is_whole: false });
        assert_eq!(pages * ROWS_PER_COUNT, MAX_REPLAY_ROWS_COUNTED);
        assert_eq!(count.counts.sent() as usize, pages);
    }
}
