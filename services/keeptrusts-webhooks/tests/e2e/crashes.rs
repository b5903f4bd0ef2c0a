//! `kill -9` at random moments under load. The moments are printed with their seed.

use std::time::Duration;

use crate::chaos::{
    Load, ProcessRuns, assert_every_event_delivered_once_recorded, check_tables, rebuild_tables,
    wait_until_received,
};
use crate::platform::{Backend, Client, Database, PATIENCE, Server};
use keeptrusts_webhooks_testkit::random::Random;
use keeptrusts_webhooks_testkit::receiver::{Receiver, Reply, Script};
use tokio::time::sleep;

const KILLS: usize = 22;
const PUBLISHERS: usize = 8;
/// How many attempts at one endpoint may be under way, or have ended without being recorded: a
/// crash repeats no more. Eight times `--endpoint-concurrency`, as its documentation says.
const IN_FLIGHT: usize = 8 * 64;
/// Long enough that requests are under way at every moment.
const ANSWER_TIME: Duration = Duration::from_millis(30);

/// Fails the first attempt of one event in eight, so that retries wait at the crashes, too.
fn mostly_good_receiver() -> Receiver {
    Receiver::start(Script::new(|request| {
        let id = request.header("webhook-id").unwrap_or_default();
        let is_first = request.header("x-keeptrusts-attempt") == Some("1");
        let fails = is_first && id.ends_with(['0', '1', '2', '3']);
        Reply::status(if fails { 500 } else { 200 }).after(ANSWER_TIME)
    }))
}

fn publishers(client: &Client) -> impl Iterator<Item = Client> {
    std::iter::repeat_n(client.clone(), PUBLISHERS)
}

/// Checks the tables as the crashes have left them, and after a rebuild.
async fn assert_tables_are_what_the_log_says(database: &Database) {
    check_tables(database).await;
    rebuild_tables(database).await;
    check_tables(database).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn invariants_1_to_4_and_7_hold_when_the_all_in_one_process_is_killed_on_sqlite() {
    let mut random = Random::of_new_seed();
    let receiver = mostly_good_receiver();
    let database = Database::new(Backend::Sqlite).await;
    let serve = Server::all_in_one(&database).delivering_to(&receiver).retrying_quickly();
    let serve = serve.on_a_fixed_port();
    let mut server = serve.clone().start().await;
    let client = server.client("acme");
    client.create_endpoint(&receiver.url("/hook"), &["policy.violation"]).await;

    let load = Load::start(publishers(&client));
    let mut lives = ProcessRuns::default();
    for kill in 0..KILLS {
        sleep(random.duration(Duration::from_millis(1_200))).await;
        server.kill().await;
        lives.end(server.process(), &receiver);
        if kill % 4 == 0 {
            // Some are killed during their start.
            let mut starting = serve.start_process();
            sleep(random.duration(Duration::from_millis(150))).await;
            starting.kill().await;
            lives.end(&starting, &receiver);
        }
        server.start_again().await;
    }
    let acknowledged = load.stop().await;

    wait_until_received(&receiver, &acknowledged, PATIENCE).await;
    assert_every_event_delivered_once_recorded(&client, &acknowledged).await;
    let repeats = lives.assert_only_crashes_repeat(&receiver, IN_FLIGHT);
    println!("{} events, {KILLS} kills, {repeats} repeated requests", acknowledged.len());
    assert!(acknowledged.len() > 10 * KILLS, "the load was one: {}", acknowledged.len());

    server.stop().await;
    assert_tables_are_what_the_log_says(&database).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn invariants_1_to_4_and_7_hold_when_the_dispatch_service_is_killed_on_postgres() {
    let mut random = Random::of_new_seed();
    let receiver = mostly_good_receiver();
    let database = Database::new(Backend::Postgres).await;
    let endpoint_service = Server::service("endpoint-service", &database).start().await;
    let ingest_service = Server::service("ingest-service", &database).start().await;
    let mut dispatch_service = Server::service("dispatch-service", &database)
        .delivering_to(&receiver)
        .retrying_quickly()
        .flag("--lease-ttl", "2s")
        .on_a_fixed_port()
        .start()
        .await;
    let client = Client::new(
        "acme",
        endpoint_service.address(),
        ingest_service.address(),
        dispatch_service.address(),
    );
    client.create_endpoint(&receiver.url("/hook"), &["policy.violation"]).await;

    let load = Load::start(publishers(&client));
    let mut lives = ProcessRuns::default();
    for kill in 0..KILLS {
        // Every fourth is killed before it takes over its predecessor's shards.
        if kill % 4 != 3 {
            let has_work = |line: &str| line.contains("took the shard");
            dispatch_service.process().wait_for_line(has_work, PATIENCE).await;
        }
        sleep(random.duration(Duration::from_millis(800))).await;
        dispatch_service.kill().await;
        lives.end(dispatch_service.process(), &receiver);
        dispatch_service.start_again().await;
    }
    let acknowledged = load.stop().await;

    wait_until_received(&receiver, &acknowledged, PATIENCE).await;
    assert_every_event_delivered_once_recorded(&client, &acknowledged).await;
    dispatch_service.stop().await;
    lives.end(dispatch_service.process(), &receiver);
    let repeats = lives.assert_only_crashes_repeat(&receiver, IN_FLIGHT);
    println!("{} events, {KILLS} kills, {repeats} repeated requests", acknowledged.len());
    assert!(acknowledged.len() > 10 * KILLS, "the load was one: {}", acknowledged.len());
    assert_tables_are_what_the_log_says(&database).await;
}
