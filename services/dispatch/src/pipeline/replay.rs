//! Replay: schedules missed or failed deliveries again, step by step.
//!
//! A step is one operation: a number of deliveries, and the replay's progress. Routing learns of
//! the deliveries from the log, like of all others. [`step`] decides which deliveries; this file
//! decides when. Replays of one endpoint run one after the other, in the order of their requests,
//! so that no two of them make a delivery of the same event.
//!
//! Decision: docs/decisions/a-replay-step-is-one-operation.md

mod step;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use keeptrusts_webhooks_contracts::log_codec::Metadata;
use keeptrusts_webhooks_domain::fact::Fact;
use keeptrusts_webhooks_domain::ids::{DeliveryId, EndpointId, OrganizationId, ReplayId};
use keeptrusts_webhooks_domain::log::{Position, Stream, Version};
use keeptrusts_webhooks_domain::replay::{Replay, ReplayCounts, ReplayFact, ReplayState};
use keeptrusts_webhooks_domain::trace::TraceContext;
use keeptrusts_webhooks_store::backoff::Backoff;
use keeptrusts_webhooks_store::{AppendOutcome, NewRecord, Operation, StoreError, new_ulid};
use tokio::sync::mpsc;
use tokio::time::Instant;

use self::step::Step;
use super::blocked_work::Blocked;
use super::delivery_target::Availability;
use super::failures::{AppendPolicy, DATABASE_BACKOFF, OnDefect, Reaction, StageEnded, Streams};
use super::owned_shard::OwnedShard;
use crate::metrics;

pub(crate) enum ReplayMessage {
    /// A replay was requested or cancelled. All events before it are routed.
    Changed { organization_id: OrganizationId, replay_id: ReplayId },
    /// An endpoint may have been disabled, enabled or deleted.
    EndpointChanged,
}

/// Rows that one statement of a step reads.
const ROWS_PER_PAGE: usize = 500;
/// Pages that a step reads if it finds nothing to do, before it records its progress.
const PAGES_PER_STEP: usize = 20;
const REPLAYS_PER_PAGE: usize = 500;

/// The running replays whose earlier events are all routed. Routing will come to the records of the
/// others.
pub(crate) async fn unfinished(
    shard: &OwnedShard,
    checkpoint: Position,
) -> Result<Vec<Replay>, StoreError> {
    let (store, number) = (shard.log.store(), shard.lease.shard());
    let mut running = Vec::new();
    let mut after = ReplayId::MIN;
    loop {
        let page = store.running_replays(number, None, after, REPLAYS_PER_PAGE).await?;
        let Some(last) = page.last() else { return Ok(running) };
        after = last.id;
        running.extend(page.into_iter().filter(|replay| replay.position <= checkpoint));
    }
}

pub(crate) async fn run(
    shard: Arc<OwnedShard>,
    unfinished: Vec<Replay>,
    mut messages: mpsc::Receiver<ReplayMessage>,
) {
    let stop = shard.stop.clone();
    let mut replays = Replays { shard, queues: BTreeMap::new() };
    unfinished.into_iter().for_each(|replay| replays.put(replay));
    loop {
        let next = replays.next();
        tokio::select! {
            biased;
            () = stop.cancelled() => return,
            message = messages.recv() => match message {
                Some(message) => replays.handle(message).await,
                None => return,
            },
            endpoint_id = wait_for(next) => {
                if replays.step(endpoint_id).await.is_err() {
                    return;
                }
            }
        }
    }
}

async fn wait_for(next: Option<(Instant, EndpointId)>) -> EndpointId {
    match next {
        Some((time, endpoint_id)) => {
            tokio::time::sleep_until(time).await;
            endpoint_id
        }
        None => std::future::pending().await,
    }
}

/// A delivery may change meanwhile, and the replay may be cancelled.
const STEPS: AppendPolicy = AppendPolicy {
    what: "cannot go on with a replay",
    streams: Streams::Shared,
    on_defect: OnDefect::Wait,
};

struct Replays {
    shard: Arc<OwnedShard>,
    /// The running replays of each endpoint, by the positions of their requests. The first one
    /// runs.
    queues: BTreeMap<EndpointId, BTreeMap<Position, RunningReplay>>,
}

struct RunningReplay {
    replay: Replay,
    /// The trace of the call that requested it, once its record was read.
    request_trace: Option<Option<TraceContext>>,
    /// The earliest time of the next step.
    next: Instant,
    backoff: Backoff,
    /// The next step needs what cannot be read.
    blocked: Option<Blocked>,
}

impl Replays {
    fn put(&mut self, replay: Replay) {
        let queue = self.queues.entry(replay.request.selection.endpoint_id).or_default();
        match queue.get_mut(&replay.position) {
            Some(known) => known.replay = replay,
            None => {
                let (next, backoff) = (Instant::now(), DATABASE_BACKOFF);
                let running =
                    RunningReplay { request_trace: None, next, backoff, blocked: None, replay };
                queue.insert(running.replay.position, running);
            }
        }
    }

    fn remove(&mut self, replay: &Replay) {
        let endpoint_id = replay.request.selection.endpoint_id;
        if let Some(queue) = self.queues.get_mut(&endpoint_id) {
            queue.remove(&replay.position);
            if queue.is_empty() {
                self.queues.remove(&endpoint_id);
            }
        }
    }

    /// The endpoint whose step is next, and when. None: nothing runs, or all replays wait for
    /// endpoints to be enabled.
    fn next(&self) -> Option<(Instant, EndpointId)> {
        let open = self.queues.iter().filter(|(id, _)| {
            let target = self.shard.targets.get(**id);
            target.is_some_and(|target| target.availability() != Availability::Closed)
        });
        let turns = open.filter_map(|(id, queue)| Some((queue.first_key_value()?.1.next, *id)));
        turns.min()
    }

    async fn handle(&mut self, message: ReplayMessage) {
        match message {
            ReplayMessage::Changed { organization_id, replay_id } => {
                self.refresh(&organization_id, replay_id).await;
            }
            // The next turn looks at the endpoint.
            ReplayMessage::EndpointChanged => {}
        }
    }

    /// Reads a replay's current state.
    async fn refresh(&mut self, organization: &OrganizationId, id: ReplayId) {
        let (store, number) = (self.shard.log.store(), self.shard.lease.shard());
        let read = || store.replay(number, organization, id);
        let read = self.shard.read("cannot read a replay", OnDefect::Wait, read);
        match self.shard.stop.run_until_cancelled(read).await {
            None | Some(None) => {}
            Some(Some(replay)) if replay.state == ReplayState::Running => self.put(replay),
            Some(Some(replay)) => self.remove(&replay),
        }
    }

    /// Takes one step of the endpoint's first replay.
    async fn step(&mut self, endpoint_id: EndpointId) -> Result<(), StageEnded> {
        let queue = self.queues.get(&endpoint_id);
        let Some((_, RunningReplay { replay, request_trace, .. })) =
            queue.and_then(|queue| queue.first_key_value())
        else {
            return Ok(());
        };
        let (mut replay, known) = (replay.clone(), request_trace.clone());
        let decided = async {
            let request_trace = match known {
                Some(known) => known,
                None => self.read_request_trace(replay.id).await?,
            };
            Ok((self.decide(&replay).await?, request_trace))
        };
        let ((records, counts), request_trace) = match decided.await {
            Ok(decided) => decided,
            Err(error) => {
                let error: StoreError = error;
                let what = "cannot read what to replay";
                self.shard.note_failed_read(what, OnDefect::Wait, &error);
                self.postpone(&replay);
                self.set_blocked(&replay, !error.is_transient());
                return Ok(());
            }
        };
        let Some(fact) = records.last().map(|record| record.fact.clone()) else { return Ok(()) };
        let operation = self.operation(&replay, request_trace.clone(), records);
        match self.shard.log.append(self.shard.lease.shard(), operation).await {
            Ok(AppendOutcome::Appended { recorded_at, .. }) => {
                if let Fact::Replay(fact) = &fact {
                    replay.apply(fact, recorded_at);
                }
                self.note_step(replay, request_trace, &counts);
            }
            // Only what a caller asks for can have been done before, or be validated only.
            Ok(
                AppendOutcome::Duplicate { .. }
                | AppendOutcome::Repeated { .. }
                | AppendOutcome::Valid { .. },
            ) => self.postpone(&replay),
            Err(error) => match self.shard.react(STEPS, &error) {
                Reaction::Wait => {
                    self.shard.log_wait(STEPS.what, &error);
                    self.postpone(&replay);
                }
                Reaction::DecideAgain => {
                    self.postpone(&replay);
                    let organization = replay.organization_id.clone();
                    self.refresh(&organization, replay.id).await;
                }
                Reaction::GiveUp | Reaction::Abort | Reaction::End => return Err(StageEnded),
            },
        }
        Ok(())
    }

    /// The records of the next step, the replay's own last, and the counts.
    async fn decide(&self, replay: &Replay) -> Result<(Vec<NewRecord>, ReplayCounts), StoreError> {
        let selection = &replay.request.selection;
        let target = self.shard.targets.get(selection.endpoint_id);
        if target.is_some_and(|target| target.availability().is_gone()) {
            let reason = "the endpoint was deleted".to_owned();
            let ended = NewRecord::following(replay, ReplayFact::Ended { reason });
            return Ok((vec![ended], ReplayCounts::default()));
        }
        let (store, number) = (self.shard.log.store(), self.shard.lease.shard());
        let room = step::step_size(replay.request.deliveries_per_second);
        let now = (self.shard.clock)();
        let mut step = Step::starting_at(replay);
        for _ in 0..PAGES_PER_STEP {
            let (whose, before, after) = (&replay.organization_id, replay.position, step.cursor());
            let page =
                store.replay_candidates(number, whose, selection, before, after, ROWS_PER_PAGE);
            let page = page.await?;
            if !step.take(replay, &page, room, || DeliveryId::new(new_ulid(now))) {
                break;
            }
        }
        let counts = step.counts();
        Ok((step.into_records(replay), counts))
    }

    /// The trace of the call that requested a replay: attempts link to it.
    async fn read_request_trace(&self, id: ReplayId) -> Result<Option<TraceContext>, StoreError> {
        let (store, number) = (self.shard.log.store(), self.shard.lease.shard());
        let records = store.read_stream(number, Stream::Replay(id), Version(0), 1).await?;
        Ok(records.first().and_then(|requested| requested.metadata.trace.clone()))
    }

    fn operation(
        &self,
        replay: &Replay,
        request_trace: Option<TraceContext>,
        records: Vec<NewRecord>,
    ) -> Operation {
        let metadata = Metadata {
            correlation_id: replay.id.to_string(),
            causation: Some(replay.position),
            steady_time: Some(self.shard.steady_clock.now()),
            trace: request_trace,
            ..Metadata::default()
        };
        self.shard.operation(&replay.organization_id, records, metadata)
    }

    /// A step is committed; `replay` is its state afterwards.
    fn note_step(
        &mut self,
        replay: Replay,
        request_trace: Option<TraceContext>,
        counts: &ReplayCounts,
    ) {
        metrics::count_scheduled(usize::try_from(counts.scheduled).unwrap_or(usize::MAX));
        if replay.state != ReplayState::Running {
            let (replay_id, reason) = (replay.id, &replay.end_reason);
            let deliveries = replay.counts.sent();
            tracing::info!(%replay_id, deliveries, reason, "a replay has ended");
            return self.remove(&replay);
        }
        let rate = f64::from(replay.request.deliveries_per_second.max(1));
        let pause = Duration::from_secs_f64(counts.sent() as f64 / rate);
        let endpoint_id = replay.request.selection.endpoint_id;
        let queue = self.queues.entry(endpoint_id).or_default();
        let next = Instant::now() + pause;
        let (request_trace, backoff) = (Some(request_trace), DATABASE_BACKOFF);
        let running = RunningReplay { request_trace, next, backoff, blocked: None, replay };
        queue.insert(running.replay.position, running);
    }

    fn set_blocked(&mut self, replay: &Replay, is_blocked: bool) {
        let queue = self.queues.get_mut(&replay.request.selection.endpoint_id);
        if let Some(running) = queue.and_then(|queue| queue.get_mut(&replay.position)) {
            self.shard.blocked_work.set(&mut running.blocked, is_blocked);
        }
    }

    /// Tries again a little later.
    fn postpone(&mut self, replay: &Replay) {
        let queue = self.queues.get_mut(&replay.request.selection.endpoint_id);
        if let Some(running) = queue.and_then(|queue| queue.get_mut(&replay.position)) {
            running.next = Instant::now() + running.backoff.next_wait();
        }
    }
}

/// Whether a record's replay must be read.
pub(crate) fn needs_refresh(fact: &ReplayFact) -> bool {
    // The others are this task's own records.
    matches!(fact, ReplayFact::Requested(_) | ReplayFact::Cancelled { .. })
}
