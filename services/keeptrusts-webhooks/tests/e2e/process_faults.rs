//! Faults around a process: its log is blocked, its disk is full, its database is read-only, its
//! collector hangs. It reports them, does what it can, and ends when it is asked to.

use std::io::{self, Write as _};
use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use keeptrusts_webhooks_contracts::v1::delivery;
use keeptrusts_webhooks_domain::log::Shard;
use keeptrusts_webhooks_testkit::postgres::Cluster;
use keeptrusts_webhooks_testkit::process::{Process, Signal};
use keeptrusts_webhooks_testkit::receiver::{Receiver, Reply, Script};
use keeptrusts_webhooks_testkit::tools::postgres_bin;
use rustix::process::{Pid, Resource, Rlimit, getrlimit, prlimit};
use tokio::time::timeout;
use tonic::{Code, Status};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

use crate::platform::{
    Backend, Client, Database, Server, ServerBuilder, channel, eventually, seen_at, watched,
};

/// How long a process may take to end here, and on a busy machine.
const LIMIT: &str = "4s";
const ENDED_WITHIN: Duration = Duration::from_secs(9);
/// As many calls as once blocked a process by filling its log.
const REFUSED_CALLS: usize = 270;
/// The capacity of a pipe that nobody reads (pipe(7)).
const PIPE_CAPACITY: usize = 64 * 1024;

fn all_in_one(database: &Database) -> ServerBuilder {
    Server::all_in_one(database).flag("--shutdown-timeout", LIMIT)
}

async fn end(process: &mut Process) {
    process.signal(Signal::Term);
    let status = process.wait_exit(ENDED_WITHIN).await;
    assert!(status.success(), "{status}");
}

/// Publishes without a valid key.
async fn be_refused(client: &Client) {
    let mut ingest = client.ingest();
    let refused = ingest.publish_event(client.event("policy.block", "{}"));
    let refused = timeout(ENDED_WITHIN, refused).await.expect("nobody waits for the log");
    assert_eq!(refused.expect_err("the key is wrong").code(), Code::Unauthenticated);
}

fn with_a_wrong_key(address: std::net::SocketAddr) -> Client {
    let token = format!("kt_{}", "0".repeat(64));
    Client::with_token("acme", [address; 3].map(channel), &token)
}

/// The text of `/readyz` and whether it is ready, once gRPC's health service says the same.
async fn readiness(url: &str, address: std::net::SocketAddr) -> Option<(bool, String)> {
    let (status, told) = seen_at(url, "/readyz").await;
    let asked = HealthCheckRequest::default();
    let answer = HealthClient::new(channel(address)).check(asked).await.expect("health answers");
    let serves = answer.into_inner().status() == ServingStatus::Serving;
    ((status == 200) == serves).then_some((serves, told))
}

async fn becomes(ready: bool, url: &str, address: std::net::SocketAddr) -> String {
    eventually(&format!("ready: {ready}"), async || {
        readiness(url, address).await.filter(|(is_ready, _)| *is_ready == ready)
    })
    .await
    .1
}

/// The error that a publisher gets.
async fn refused(client: &Client, because: &str) -> Status {
    eventually(&format!("publishing is refused because {because}"), async || {
        let answer = client.ingest().publish_event(client.event("policy.block", "{}")).await;
        answer.err().filter(|status| status.message().contains(because))
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_nobody_reads_stops_neither_calls_nor_shutdown() {
    let (unread, pipe) = io::pipe().expect("a pipe");
    (&pipe).write_all(&[b'\n'; PIPE_CAPACITY]).expect("the pipe takes it");
    let pipe = Arc::new(pipe);
    let database = Database::new(Backend::Sqlite).await;
    let server = all_in_one(&database).on_a_fixed_port().logging_to(&pipe);
    let server = server.flag("--log-level", "debug");
    let address = server.fixed_address();
    let mut process = server.start_process();
    let client = Client::new("acme", address, address, address);
    eventually("it accepts events", async || {
        client.ingest().publish_event(client.event("policy.block", "{}")).await.ok()
    })
    .await;

    let stranger = with_a_wrong_key(address);
    for _ in 0..REFUSED_CALLS {
        be_refused(&stranger).await;
    }
    client.publish("policy.block", "{}").await;
    let mut health = HealthClient::new(channel(address));
    let answer = health.check(HealthCheckRequest::default()).await.expect("health answers");
    assert_eq!(answer.into_inner().status(), ServingStatus::Serving);
    end(&mut process).await;
    drop(unread);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_signal_ends_a_process_whose_log_is_stuck() {
    let (unread, pipe) = io::pipe().expect("a pipe");
    (&pipe).write_all(&[b'\n'; PIPE_CAPACITY]).expect("the pipe takes it");
    let pipe = Arc::new(pipe);
    let receiver = Receiver::start(Script::always(Reply::Hang));
    let database = Database::new(Backend::Sqlite).await;
    let server = Server::all_in_one(&database).delivering_to(&receiver).on_a_fixed_port();
    let server = server.flag("--shutdown-timeout", "1h").logging_to(&pipe);
    let address = server.fixed_address();
    let mut process = server.start_process();
    let client = Client::new("acme", address, address, address);
    eventually("it answers", async || {
        client.ingest().publish_event(client.event("policy.block", "{}")).await.ok()
    })
    .await;
    client.create_endpoint(&receiver.url("/"), &["policy.block"]).await;
    client.publish("policy.block", "{}").await;
    receiver.wait_for(1, ENDED_WITHIN).await;
    process.signal(Signal::Term);
    eventually("it takes no more", async || {
        client.ingest().publish_event(client.event("policy.block", "{}")).await.err()
    })
    .await;
    assert_eq!(process.signal_until_exit(Signal::Term, ENDED_WITHIN).await.code(), Some(143));
    drop(unread);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_without_a_valid_key_cannot_fill_the_log() {
    let database = Database::new(Backend::Sqlite).await;
    let mut server = all_in_one(&database).start().await;
    let stranger = with_a_wrong_key(server.address());
    for _ in 0..50 {
        be_refused(&stranger).await;
    }
    server.stop().await;
    let output = server.process().output();
    let lines = output.lines().filter(|line| line.contains("refused a call without a valid token"));
    let (sums, shown): (Vec<_>, Vec<_>) =
        lines.partition(|line| line.contains("more lines like this one were left out"));
    assert_eq!(shown.len(), 20, "{output}");
    assert!(shown.iter().all(|line| line.contains("trace_id=")), "{shown:?}");
    assert!(sums.len() == 1 && sums[0].contains("lines=30"), "{sums:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silent_collector_stops_neither_work_nor_shutdown() {
    let collector = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}", collector.local_addr().expect("an address"));
    let receiver = Receiver::start(Script::default());
    let database = Database::new(Backend::Sqlite).await;
    let server = all_in_one(&database).delivering_to(&receiver);
    let mut server = server.flag("--otlp-endpoint", &url).start().await;
    let client = server.client("acme");
    client.create_endpoint(&receiver.url("/"), &["policy.block"]).await;
    let event_id = client.publish("policy.block", "{}").await;
    client.wait_for_state(&event_id, delivery::State::Delivered).await;
    let status = {
        server.process().signal(Signal::Term);
        server.wait_exit(ENDED_WITHIN).await
    };
    assert!(status.success(), "{status}");
}

/// Limits the size of files that a process may write, in bytes; None: no limit.
fn limit_files(process: &Process, size: Option<u64>) {
    let pid = Pid::from_raw(process.id()).expect("it has an id");
    let maximum = getrlimit(Resource::Fsize).maximum;
    let limit = Rlimit { current: size.or(maximum), maximum };
    prlimit(Some(pid), Resource::Fsize, limit).expect("the limit is set");
}

/// A limit for the size of files stands for a full disk, which only root could make: to the process
/// both are writes that fail. (The store's own tests have SQLite's full disk.)
#[tokio::test(flavor = "multi_thread")]
async fn while_its_files_cannot_be_written_a_process_says_so_and_recovers_by_itself() {
    let late = Reply::ok().after(Duration::from_secs(1));
    let receiver = Receiver::start(Script::always(late));
    let database = Database::new(Backend::Sqlite).await;
    // Otherwise the signal would end the process, not the write (setrlimit(2)).
    let server = all_in_one(&database).delivering_to(&receiver).after("trap '' XFSZ");
    let (mut server, url) = watched(server).await;
    let (client, address) = (server.client("acme"), server.address());
    client.create_endpoint(&receiver.url("/"), &["policy.block"]).await;
    becomes(true, &url, address).await;

    limit_files(server.process(), Some(1));
    let status = refused(&client, "its files cannot be read or written").await;
    assert_eq!(status.code(), Code::Unavailable);
    let told = becomes(false, &url, address).await;
    let line = "not ok: database: it takes no commits: its files cannot be read or written\n";
    assert!(told.contains(line), "{told}");
    let is_told = |line: &str| line.contains("trouble=its files cannot be read or written");
    server.process().wait_for_line(is_told, ENDED_WITHIN).await;

    limit_files(server.process(), None);
    becomes(true, &url, address).await;
    let event_id = client.publish("policy.block", "{}").await;

    // An attempt is under way, and its outcome cannot be recorded.
    receiver.wait_for(1, ENDED_WITHIN).await;
    limit_files(server.process(), Some(1));
    let waits = |line: &str| line.contains("cannot record outcomes, waiting");
    server.process().wait_for_line(waits, ENDED_WITHIN).await;
    server.process().signal(Signal::Term);
    let status = server.wait_exit(ENDED_WITHIN).await;
    assert!(status.success(), "{status}");

    server.start_again().await;
    server.client("acme").wait_for_state(&event_id, delivery::State::Delivered).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn while_postgres_is_read_only_a_process_says_so_and_recovers_by_itself() {
    let cluster = Cluster::create().await;
    let database = Database::in_cluster(&cluster).await;
    let name = database.name_in_cluster().expect("it is on Postgres");
    let (mut server, url) = watched(all_in_one(&database)).await;
    let (client, address) = (server.client("acme"), server.address());
    becomes(true, &url, address).await;
    let set_read_only = async |value: &str| {
        let set = format!("ALTER DATABASE {name} SET default_transaction_read_only = {value}");
        cluster.query("postgres", &set).await;
        let end = format!(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'"
        );
        cluster.query("postgres", &end).await;
    };

    set_read_only("on").await;
    let status = refused(&client, "it is read-only").await;
    assert_eq!(status.code(), Code::Unavailable);
    assert!(!status.message().to_lowercase().contains("sqlstate"), "{status:?}");
    let told = becomes(false, &url, address).await;
    assert!(told.contains("not ok: database: it is read-only\n"), "{told}");

    set_read_only("off").await;
    becomes(true, &url, address).await;
    client.publish("policy.block", "{}").await;

    set_read_only("on").await;
    server.process().signal(Signal::Term);
    let status = server.wait_exit(ENDED_WITHIN).await;
    assert!(status.success(), "{status}");
}

/// The shard of [`StuckRow`], and the organizations on it and on another one.
const STUCK: Shard = Shard(5);
const ELSEWHERE: Shard = Shard(6);

fn organization_on(shard: Shard) -> String {
    let mut names = (0..).map(|number| format!("organization-{number}"));
    let lives_there = |name: &String| Shard::of(&name.parse().expect("an id"), 16) == shard;
    names.find(lives_there).expect("some live there")
}

/// A person who has begun a transaction and gone to lunch.
struct StuckRow(Child);

impl StuckRow {
    async fn hold(database: &Database, cluster: &Cluster) -> StuckRow {
        let hold = format!(
            "BEGIN; SELECT FROM shards WHERE shard = {STUCK} FOR UPDATE; SELECT pg_sleep(600)"
        );
        let holder = Command::new(postgres_bin().join("psql"))
            .arg(database.url().expect("it is on Postgres"))
            .args(["--no-psqlrc", "--command", &hold])
            .stdout(Stdio::null())
            .spawn();
        let holder = StuckRow(holder.expect("psql can be started"));
        let name = database.name_in_cluster().expect("it is on Postgres");
        eventually("the row is held", async || {
            let sql = "SELECT count(*) FROM pg_stat_activity
                       WHERE datname = current_database() AND wait_event = 'PgSleep'";
            (cluster.query(name, sql).await.trim() == "1").then_some(())
        })
        .await;
        holder
    }

    /// The server notices only at its end that the client is gone.
    async fn release(mut self, database: &Database, cluster: &Cluster) {
        let name = database.name_in_cluster().expect("it is on Postgres");
        let sql = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
                   WHERE datname = current_database() AND wait_event = 'PgSleep'";
        cluster.query(name, sql).await;
        self.0.wait().expect("a child can be waited for");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_locked_row_stops_one_shard_and_the_process_stays_ready() {
    let receiver = Receiver::start(Script::default());
    let cluster = Cluster::shared().await;
    let database = Database::new(Backend::Postgres).await;
    let (server, url) = watched(all_in_one(&database).delivering_to(&receiver)).await;
    let address = server.address();
    let (stuck, other) =
        (server.client(&organization_on(STUCK)), server.client(&organization_on(ELSEWHERE)));
    other.create_endpoint(&receiver.url("/"), &["policy.block"]).await;
    becomes(true, &url, address).await;

    let row = StuckRow::hold(&database, cluster).await;
    for _ in 0..4 {
        let status = refused(&stuck, "another transaction holds what is needed").await;
        assert_eq!(status.code(), Code::Unavailable, "to be tried again: {status:?}");
        let told = status.message();
        assert!(!told.contains("reached") && !told.contains("SQLSTATE"), "{told}");
        let (is_ready, told) = readiness(&url, address).await.expect("both say the same");
        assert!(is_ready && told.contains("ok: database\n"), "{told}");
        let event_id = other.publish("policy.block", "{}").await;
        other.wait_for_state(&event_id, delivery::State::Delivered).await;
    }
    let is_told = |line: &str| {
        line.contains("cannot append")
            && line.contains(&format!("shard={STUCK} "))
            && line.contains("trouble=another transaction holds what is needed")
    };
    server.process().wait_for_line(is_told, ENDED_WITHIN).await;
    let (_, metrics) = seen_at(&url, "/metrics").await;
    let busy = |shard: Shard| {
        let mut lines = metrics.lines().filter(|line| {
            line.starts_with("keeptrusts_webhooks_shard_busy_total{")
                && line.contains(&format!("shard=\"{shard}\""))
        });
        let line = lines.next().expect("it is counted").to_owned();
        line.rsplit(' ').next().and_then(|value| value.parse::<f64>().ok()).expect("a number")
    };
    assert!(busy(STUCK) >= 4.0, "{metrics}");
    assert!(busy(ELSEWHERE) == 0.0, "{metrics}");

    row.release(&database, cluster).await;
    eventually("its events are accepted again", async || {
        stuck.ingest().publish_event(stuck.event("policy.block", "{}")).await.ok()
    })
    .await;
}
