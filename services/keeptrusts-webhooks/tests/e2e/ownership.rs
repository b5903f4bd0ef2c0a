//! Two dispatch processes on one Postgres database share its shards, and each takes over from the
//! other, however that one ends.

use std::collections::BTreeSet;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::chaos::{
    Acknowledged, Load, SHARD_COUNT, assert_every_event_delivered_once_recorded, check_tables,
    organization_per_shard, repeated_requests, shards, wait_until_received,
};
use crate::platform::{Backend, Client, Database, PATIENCE, Server, eventually};
use keeptrusts_webhooks_contracts::v1;
use keeptrusts_webhooks_testkit::postgres::Cluster;
use keeptrusts_webhooks_testkit::process::Signal;
use keeptrusts_webhooks_testkit::receiver::{Receiver, Reply, Script};
use keeptrusts_webhooks_testkit::tools::postgres_bin;
use tokio::time::{sleep, sleep_until};

/// The default of `--lease-ttl`.
const LEASE_TIME: Duration = Duration::from_secs(10);
/// What a busy machine may add to something that takes no time.
const SLACK: Duration = Duration::from_secs(2);
/// How often the database is polled: each time a program has to be started.
const LOOK_AGAIN: Duration = Duration::from_millis(250);
/// The log line of a process that takes a shard.
const TOOK: &str = "took the shard";

/// A platform of several processes, two of which dispatch.
struct TwoDispatchers {
    cluster: &'static Cluster,
    database: Database,
    _endpoint_service: Server,
    _ingest_service: Server,
    one: Server,
    other: Server,
    /// A client for an organization on each shard; they call the other dispatch process.
    clients: Vec<Client>,
}

impl TwoDispatchers {
    /// Starts them and waits until each has half of the shards.
    async fn start(receiver: &Receiver, flags: &[(&str, &str)]) -> Self {
        let cluster = Cluster::shared().await;
        let database = Database::new(Backend::Postgres).await;
        let endpoint_service = Server::service("endpoint-service", &database).start().await;
        let ingest_service = Server::service("ingest-service", &database).start().await;
        let dispatch = Server::service("dispatch-service", &database).delivering_to(receiver);
        let dispatch =
            flags.iter().fold(dispatch, |dispatch, (name, value)| dispatch.flag(name, value));
        let one = dispatch.clone().start().await;
        let other = dispatch.start().await;
        let client = Client::new(
            "nobody",
            endpoint_service.address(),
            ingest_service.address(),
            other.address(),
        );
        let clients: Vec<_> =
            organization_per_shard().iter().map(|organization| client.of(organization)).collect();
        for client in &clients {
            client.create_endpoint(&receiver.url("/hook"), &["policy.violation"]).await;
        }
        let pair = Self {
            cluster,
            database,
            _endpoint_service: endpoint_service,
            _ingest_service: ingest_service,
            one,
            other,
            clients,
        };
        pair.wait_until_shared().await;
        pair
    }

    async fn wait_until_shared(&self) {
        eventually("each has half of the shards", async || {
            let shards = shards(self.cluster, &self.database).await;
            let of = |server: &Server| {
                shards.iter().filter(|shard| shard.is_owned_by(server.process())).count()
            };
            let half = usize::from(SHARD_COUNT) / 2;
            if (of(&self.one), of(&self.other)) == (half, half) {
                return Some(());
            }
            sleep(LOOK_AGAIN).await;
            None
        })
        .await;
    }

    /// Waits until the other process has taken every shard: those that it had, and since then the
    /// rest.
    async fn wait_until_other_has_all(&self) {
        for shard in 0..SHARD_COUNT {
            let took =
                |line: &str| line.contains(TOOK) && line.contains(&format!("shard={shard} "));
            self.other.process().wait_for_line(took, PATIENCE).await;
        }
    }

    /// Publishes an event in each of the organizations.
    async fn publish_everywhere(&self) -> Vec<Acknowledged> {
        let mut acknowledged = Vec::new();
        for client in &self.clients {
            let event_id = client.publish("policy.violation", "{}").await;
            let organization = client.organization();
            acknowledged.push(Acknowledged { organization, event_id });
        }
        acknowledged
    }

    async fn assert_every_event_delivered_once_recorded(&self, acknowledged: &[Acknowledged]) {
        for client in &self.clients {
            assert_every_event_delivered_once_recorded(client, acknowledged).await;
        }
        check_tables(&self.database).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_process_is_replaced_within_the_time_of_its_leases_and_deliveries_go_on() {
    let receiver = Receiver::start(Script::default());
    let mut pair = TwoDispatchers::start(&receiver, &[]).await;
    let load = Load::start(pair.clients.clone());
    eventually("the load runs", async || (load.acknowledged_count() > 100).then_some(())).await;

    let killed = Instant::now();

    pair.one.kill().await;
    pair.wait_until_other_has_all().await;
    let taken_over = killed.elapsed();
    println!("taken over after {taken_over:?}");
    assert!(taken_over < LEASE_TIME + SLACK, "taken over after {taken_over:?}");

    let after = pair.publish_everywhere().await;
    wait_until_received(&receiver, &after, PATIENCE).await;
    let acknowledged: Vec<_> = load.stop().await.into_iter().chain(after).collect();
    wait_until_received(&receiver, &acknowledged, PATIENCE).await;
    pair.assert_every_event_delivered_once_recorded(&acknowledged).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn invariant_5_a_process_that_was_frozen_past_its_leases_commits_nothing() {
    // Requests of the process before it is frozen are answered meanwhile, with a failure, so that a
    // record of that would show. Requests of its successor are answered later, so that when the
    // process thaws, only its lost lease keeps it from recording.
    const FIRST_ANSWER_AFTER: Duration = Duration::from_secs(6);
    const SECOND_ANSWER_AFTER: Duration = Duration::from_secs(16);
    let seen = std::sync::Mutex::new(BTreeSet::new());
    let receiver = Receiver::start(Script::new(move |request| {
        let event = request.header("webhook-id").map(str::to_owned);
        let is_first = seen.lock().expect("no script panics").insert(event);
        match is_first {
            true => Reply::status(500).after(FIRST_ANSWER_AFTER),
            false => Reply::ok().after(SECOND_ANSWER_AFTER),
        }
    }));
    let flags = [("--lease-ttl", "4s"), ("--request-timeout", "30s")];
    let pair = TwoDispatchers::start(&receiver, &flags).await;
    let before = shards(pair.cluster, &pair.database).await;
    let (frozen, other) = (pair.one.process(), pair.other.process());

    // Two events for each of its shards; it is frozen while they are under way.
    let clients = pair.clients.iter().zip(&before);
    let clients = clients.filter(|(_, shard)| shard.is_owned_by(frozen)).map(|(client, _)| client);
    let mut acknowledged = Vec::new();
    for client in clients {
        for _ in 0..2 {
            let event_id = client.publish("policy.violation", "{}").await;
            let organization = client.organization();
            acknowledged.push(Acknowledged { organization, event_id });
        }
    }
    let first_requests = receiver.wait_for(acknowledged.len(), FIRST_ANSWER_AFTER).await;
    frozen.signal(Signal::Stop);

    // The other process repeats them, and has no answers yet when the frozen one has.
    pair.wait_until_other_has_all().await;
    receiver.wait_for(2 * acknowledged.len(), SECOND_ANSWER_AFTER).await;
    let last = first_requests.iter().map(|request| request.arrived).max().expect("some");
    sleep_until((last + FIRST_ANSWER_AFTER + Duration::from_millis(200)).into()).await;
    let while_frozen = shards(pair.cluster, &pair.database).await;
    for (before, now) in before.iter().zip(&while_frozen) {
        assert!(now.is_owned_by(other), "{now:?}");
        let has_passed = before.is_owned_by(frozen);
        assert_eq!(now.epoch > before.epoch, has_passed, "the epoch counts owners: {now:?}");
    }
    frozen.signal(Signal::Continue);
    let stopped = |line: &str| line.contains("the lease is lost");
    frozen.wait_for_line(stopped, PATIENCE).await;

    // Every delivery has one attempt, the other process's.
    for event in &acknowledged {
        let client = pair.other.client(&event.organization);
        let delivery = client.wait_for_state(&event.event_id, v1::delivery::State::Delivered).await;
        let attempts: Vec<_> =
            delivery.attempts.iter().map(|attempt| (attempt.number, attempt.status_code)).collect();
        assert_eq!(attempts, [(1, 200)], "{delivery:?}");
    }
    assert_eq!(receiver.request_count(), 2 * acknowledged.len(), "only what was in flight, again");

    // It is a normal dispatch process again, and each of the two works on its own shards.
    pair.wait_until_shared().await;
    receiver.set_script(Script::default());
    let after = pair.publish_everywhere().await;
    wait_until_received(&receiver, &after, PATIENCE).await;
    acknowledged.extend(after);
    pair.assert_every_event_delivered_once_recorded(&acknowledged).await;
    let repeated = repeated_requests(&receiver.requests());
    assert_eq!(repeated.len(), first_requests.len(), "nothing else was sent twice");
}

#[tokio::test(flavor = "multi_thread")]
async fn sigterm_hands_the_shards_over_without_repeating_anything() {
    let receiver = Receiver::start(Script::always(Reply::ok().after(Duration::from_millis(300))));
    let mut pair = TwoDispatchers::start(&receiver, &[]).await;
    let load = Load::start(pair.clients.clone());
    eventually("the load runs", async || (load.acknowledged_count() > 100).then_some(())).await;

    let asked = Instant::now();
    pair.one.stop().await;
    let stopped = asked.elapsed();
    pair.wait_until_other_has_all().await;
    let handed_over = asked.elapsed();
    println!("ended after {stopped:?}, handed over after {handed_over:?}");
    assert!(stopped < SLACK, "ended after {stopped:?}");
    // The other process surveys once in a third of the lease's time to live.
    assert!(handed_over < LEASE_TIME / 3 + SLACK, "handed over after {handed_over:?}");

    let acknowledged = load.stop().await;
    wait_until_received(&receiver, &acknowledged, PATIENCE).await;
    pair.assert_every_event_delivered_once_recorded(&acknowledged).await;
    let repeated = repeated_requests(&receiver.requests());
    assert!(repeated.is_empty(), "sent twice: {repeated:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_locked_for_longer_than_a_lease_stops_one_shard_and_no_other() {
    let receiver = Receiver::start(Script::default());
    let pair = TwoDispatchers::start(&receiver, &[]).await;
    let before = shards(pair.cluster, &pair.database).await;
    // A person who has begun a transaction and gone to lunch.
    let seconds = (LEASE_TIME * 3 / 2).as_secs();
    let hold = format!(
        "BEGIN; SELECT FROM shards WHERE shard = 0 FOR UPDATE; SELECT pg_sleep({seconds}); COMMIT"
    );
    let mut holder = Command::new(postgres_bin().join("psql"))
        .arg(pair.database.url().expect("the database is on Postgres"))
        .args(["--no-psqlrc", "--command", &hold])
        .stdout(Stdio::null())
        .spawn()
        .expect("psql can be started");
    let name = pair.database.name_in_cluster().expect("the database is on Postgres");
    eventually("the row is held", async || {
        let sql = "SELECT count(*) FROM pg_stat_activity
                   WHERE datname = current_database() AND wait_event = 'PgSleep'";
        (pair.cluster.query(name, sql).await.trim() == "1").then_some(())
    })
    .await;

    let mut acknowledged = Vec::new();
    let mut rounds = 0;
    while holder.try_wait().expect("a child can be asked").is_none() {
        rounds += 1;
        let asked = Instant::now();
        for client in &pair.clients[1..] {
            let event_id = client.publish("policy.violation", "{}").await;
            let organization = client.organization();
            acknowledged.push(Acknowledged { organization, event_id });
        }
        wait_until_received(&receiver, &acknowledged, PATIENCE).await;
        // No lease has to expire; a busy machine may take some time all the same.
        let took = asked.elapsed();
        assert!(took < LEASE_TIME - SLACK, "round {rounds} took {took:?}");
    }
    let after = shards(pair.cluster, &pair.database).await;
    for (before, after) in before.iter().zip(&after).skip(1) {
        assert_eq!(before, after, "its lease was never lost");
    }
    // That shard recovers by itself.
    let all = pair.publish_everywhere().await;
    wait_until_received(&receiver, &all, PATIENCE).await;
    acknowledged.extend(all);
    pair.assert_every_event_delivered_once_recorded(&acknowledged).await;
}
