//! Limits on how many of something an organization may have, and operations that are only validated.

use keeptrusts_webhooks_domain::channel::{ChannelFact, ChannelKind};
use keeptrusts_webhooks_domain::fact::EndpointFact;
use keeptrusts_webhooks_domain::ids::{ChannelId, EndpointId, OrganizationId};
use keeptrusts_webhooks_domain::log::{Position, Stream};
use keeptrusts_webhooks_domain::replay::{ReplayFact, ReplayScope};
use tokio::task::JoinSet;

use super::Fixture;
use super::concurrency::{WRITERS, append};
use super::given::*;
use super::notifications::{change_channel, create_channel};
use super::replays::change_replay;
use crate::log::count_limit::{CountLimit, Counted};
use crate::log::operation::{AppendOutcome, ExpectedVersion, Operation, Refusal};

const ANY: ExpectedVersion = ExpectedVersion::Any;
const MAX: usize = 3;

/// The endpoint whose replays are counted.
const ENDPOINT: EndpointId = EndpointId::MIN;

/// Everything that is counted.
const COUNTED: [Counted; 4] = [
    Counted::Endpoints,
    Counted::Channels,
    Counted::RunningReplays,
    Counted::RunningReplaysOf(ENDPOINT),
];

fn limit(counted: Counted) -> CountLimit {
    CountLimit { counted, max: MAX as u64 }
}

fn reached(counted: Counted) -> Result<AppendOutcome, Refusal> {
    Err(Refusal::LimitReached(limit(counted)))
}

impl Operation {
    fn limited(self, counted: Counted) -> Operation {
        Operation { limits: vec![limit(counted)], ..self }
    }

    fn validated(self) -> Operation {
        Operation { validate_only: true, ..self }
    }
}

/// Makes one more of what is counted, within the limit; and ends it.
fn one_more(counted: Counted) -> (Operation, Operation) {
    let endpoint = endpoint_id();
    let replay_of = |endpoint_id| {
        let id = replay_id();
        let ask = ask_replay(id, replay_selection(endpoint_id, ReplayScope::All));
        (ask, change_replay(id, ANY, ReplayFact::Cancelled { endpoint_id }))
    };
    let (make, end) = match counted {
        Counted::Endpoints => {
            let end = change_endpoint(endpoint, ANY, EndpointFact::Deleted);
            (create_endpoint(endpoint), end)
        }
        Counted::Channels => {
            let id = ChannelId::new(endpoint.ulid());
            let end = change_channel(id, ANY, ChannelFact::Deleted);
            (create_channel(id, ChannelKind::Webhook), end)
        }
        Counted::RunningReplays => replay_of(endpoint),
        Counted::RunningReplaysOf(endpoint) => replay_of(endpoint),
    };
    (make.limited(counted), end)
}

fn make(counted: Counted) -> Operation {
    one_more(counted).0
}

fn of(owner: OrganizationId) -> impl Fn(Operation) -> Operation {
    move |operation| operation.of(owner.clone())
}

pub(crate) async fn no_more_are_made_than_a_limit_allows(fixture: Fixture) {
    for counted in COUNTED {
        // In one batch.
        let (first, end_first) = one_more(counted);
        let mut batch = vec![first];
        batch.extend((0..MAX).map(|_| make(counted)));
        let results = fixture.results(&batch).await;
        assert!(results[..MAX].iter().all(Result::is_ok), "{counted:?}: {results:?}");
        assert_eq!(results[MAX..], [reached(counted)]);
        // In a later one, in which one of them ends.
        let (last, end_last) = one_more(counted);
        let batch = [make(counted), end_first, last, make(counted)];
        let results = fixture.results(&batch).await;
        assert_eq!(results[0], reached(counted));
        assert!(results[1].is_ok() && results[2].is_ok(), "{counted:?}: {results:?}");
        assert_eq!(results[3], reached(counted));
        // After one has ended.
        fixture.append(end_last).await;
        let results = fixture.results(&[make(counted), make(counted)]).await;
        assert!(results[0].is_ok(), "{counted:?}: {results:?}");
        assert_eq!(results[1], reached(counted));
    }
}

pub(crate) async fn what_others_have_does_not_count(fixture: Fixture) {
    // An endpoint's replays are of its organization.
    for counted in [Counted::Endpoints, Counted::Channels, Counted::RunningReplays] {
        let (ours, theirs) = (of(organization()), of(other_organization()));
        let mut batch = Vec::new();
        for _ in 0..MAX {
            batch.extend([ours(make(counted)), theirs(make(counted))]);
        }
        fixture.append_all(&batch).await;
        let results = fixture.results(&[ours(make(counted)), theirs(make(counted))]).await;
        assert_eq!(results, [reached(counted), reached(counted)]);
    }
    let of_another = Counted::RunningReplaysOf(EndpointId::MAX);
    let batch: Vec<_> = (0..MAX).map(|_| make(of_another).limited(of_another)).collect();
    let results = fixture.results(&batch).await;
    assert!(results.iter().all(Result::is_ok), "{results:?}");
    let own = make(Counted::RunningReplaysOf(ENDPOINT));
    assert!(fixture.results(&[own]).await[0].is_ok());
}

pub(crate) async fn of_many_at_the_same_moment_exactly_the_limit_are_made(fixture: Fixture) {
    for counted in COUNTED {
        let mut callers = JoinSet::new();
        for store in fixture.handles().take(2 * WRITERS) {
            callers.spawn(async move {
                let batch = [make(counted), publish(event_id()), make(counted)];
                append(&*store, &batch).await.results
            });
        }
        let results: Vec<_> = callers.join_all().await.into_iter().flatten().collect();
        let is_full = |result: &&Result<_, _>| **result == reached(counted);
        assert_eq!(results.iter().filter(is_full).count(), 4 * WRITERS - MAX, "{counted:?}");
        assert_eq!(results.iter().filter(|result| result.is_ok()).count(), 2 * WRITERS + MAX);
    }
}

pub(crate) async fn what_is_only_validated_is_decided_alike_and_leaves_nothing(fixture: Fixture) {
    let taken = endpoint_id();
    let (first, made) = (Stream::Endpoint(taken), create_endpoint(taken));
    fixture.append(made.of(other_organization())).await;
    let used = endpoint_id();
    fixture.append(create_endpoint(used).requested("used", "content")).await;
    let again = |content| create_endpoint(endpoint_id()).requested("used", content).validated();
    let refused = [
        (create_endpoint(taken), Err(Refusal::StreamExists(first))),
        (again("content"), Ok(AppendOutcome::Repeated { stream: Stream::Endpoint(used) })),
        (again("other content"), Err(Refusal::RequestIdReused)),
    ];
    let (batch, expected): (Vec<_>, Vec<_>) = refused.into_iter().unzip();
    let batch: Vec<_> = batch.into_iter().map(Operation::validated).collect();
    assert_eq!(fixture.results(&batch).await, expected);
    // What is valid takes neither its id, nor its request's, nor a place within the limit.
    let id = endpoint_id();
    let create = create_endpoint(id).requested("r", "content").limited(Counted::Endpoints);
    let trial = create.clone().validated();
    let valid = |result: &Result<_, _>| {
        matches!(result, Ok(AppendOutcome::Valid { first: Position(3), .. }))
    };
    let results = fixture.results(&vec![trial.clone(); MAX + 1]).await;
    assert!(results.iter().all(valid), "{results:?}");
    assert_eq!(fixture.last_position().await, Position(2));
    let results = fixture.results(&[trial.clone(), create, trial]).await;
    assert!(valid(&results[0]), "{results:?}");
    assert!(matches!(results[1], Ok(AppendOutcome::Appended { .. })), "{results:?}");
    assert_eq!(results[2], Ok(AppendOutcome::Repeated { stream: Stream::Endpoint(id) }));
    fixture.append(make(Counted::Endpoints)).await;
    let full = make(Counted::Endpoints).validated();
    assert_eq!(fixture.results(&[full]).await, [reached(Counted::Endpoints)]);
    assert_eq!(fixture.last_position().await, Position(4));
    assert_eq!(fixture.store().check(SHARD, 10, &|_| ()).await.expect("checks"), []);
}
