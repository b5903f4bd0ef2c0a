//! Secrets at rest: the master key is replaced while deliveries go on.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use crate::access::caller::Caller;
use crate::chaos::{check_tables, organization_per_shard};
use crate::platform::{Backend, Client, Database, PATIENCE, Server, eventually, on_both_backends};
use keeptrusts_webhooks_contracts::v1;
use keeptrusts_webhooks_testkit::first_key::{self, FIRST_KEY};
use keeptrusts_webhooks_testkit::postgres::Cluster;
use keeptrusts_webhooks_testkit::process::{Launch, Signal};
use keeptrusts_webhooks_testkit::receiver::{ReceivedRequest, Receiver, Script};
use keeptrusts_webhooks_testkit::verify;

/// The secret of every endpoint.
const SECRET: &str = "planted-secret-0123456789abcdef";

/// The output of a command, which must succeed or fail.
async fn run(arguments: &[String], succeeds: bool) -> String {
    let mut process = Launch::binary("keeptrusts-webhooks").args(arguments).start();
    let status = process.wait_exit(PATIENCE).await;
    let said = process.output();
    assert_eq!(status.success(), succeeds, "{arguments:?} ended with {status}\n{said}");
    assert!(!said.contains(SECRET), "{said}");
    said
}

fn rotate(database: &Database, more: &[&str]) -> Vec<String> {
    let more = more.iter().map(|argument| (*argument).to_owned());
    [vec!["rotate-master-key".to_owned()], database.flags(), more.collect()].concat()
}

/// The keys of a file.
fn keys(path: &Path) -> Vec<String> {
    let text = fs::read_to_string(path).expect("the file is there");
    let keys = text.lines().map(|line| line.split(' ').next().unwrap_or_default().to_owned());
    keys.collect()
}

fn copy(from: &Path, to: &Path) {
    // As people do it who remember the mode.
    fs::copy(from, to).expect("copied");
    fs::set_permissions(to, Permissions::from_mode(0o600)).expect("it is ours");
}

async fn create_endpoint(client: &Client, receiver: &Receiver) -> String {
    let request = v1::CreateEndpointRequest {
        organization_id: client.organization(),
        endpoint: Some(v1::Endpoint {
            display_name: "siem".to_owned(),
            url: receiver.url("/hook"),
            event_types: vec!["key.rotated".to_owned()],
            secret: SECRET.to_owned(),
            ..v1::Endpoint::default()
        }),
        ..Default::default()
    };
    let created = client.endpoints().create_endpoint(request).await.expect("it is created");
    created.into_inner().endpoint.expect("an endpoint").id
}

/// Publishes an event of each organization, and waits until all are delivered at the first attempt.
async fn deliver(clients: &[Client]) {
    for client in clients {
        let event_id = client.publish("key.rotated", "{}").await;
        let delivery = client.wait_for_state(&event_id, v1::delivery::State::Delivered).await;
        assert_eq!(delivery.attempts.len(), 1, "{delivery:?}");
    }
}

fn signed(receiver: &Receiver, at_least: usize) {
    let requests: Vec<std::sync::Arc<ReceivedRequest>> = receiver.requests();
    assert!(requests.len() >= at_least, "{} requests", requests.len());
    verify::assert_signed(SECRET, &requests);
}

#[tokio::test(flavor = "multi_thread")]
async fn on_sqlite_the_master_key_is_rotated_while_the_server_runs_and_signs() {
    let receiver = Receiver::start(Script::default());
    let database = Database::new(Backend::Sqlite).await;
    let serve = Server::all_in_one(&database).delivering_to(&receiver);
    let mut server = serve.on_a_fixed_port().start().await;
    let clients = ["acme", "globex"].map(|organization| server.client(organization));
    for client in &clients {
        create_endpoint(client, &receiver).await;
    }
    deliver(&clients).await;

    let file = database.folder().join("master.key");
    let (old, command) = (keys(&file), rotate(&database, &[]));
    // Events come in all the time.
    let publishing = async {
        for _ in 0..20 {
            deliver(&clients).await;
        }
    };
    let (said, ()) = tokio::join!(run(&command, true), publishing);
    assert!(said.contains("all 2 data keys are encrypted with master key"), "{said}");
    assert!(said.contains("told process"), "the server did it: {said}");
    let rotated = keys(&file);
    assert_eq!((rotated.len(), &rotated[1]), (2, &old[0]));
    assert_ne!(rotated[0], old[0]);

    // The old key is no longer needed, neither by the running server nor by the next one.
    let said = run(&rotate(&database, &["--retire"]), true).await;
    assert!(said.contains("was removed from"), "{said}");
    assert_eq!(keys(&file), rotated[..1]);
    let mode = fs::metadata(&file).expect("there").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    server.process().signal(Signal::Hangup);
    let read_again = |line: &str| line.contains("read the master keys again");
    server.process().wait_for_line(read_again, PATIENCE).await;
    create_endpoint(&server.client("initech"), &receiver).await;
    deliver(&clients).await;
    server.kill().await;
    server.start_again().await;
    deliver(&clients).await;
    server.stop().await;

    // Once more while no server runs.
    let said = run(&rotate(&database, &[]), true).await;
    assert!(said.contains("all 3 data keys are encrypted with master key"), "{said}");
    server.start_again().await;
    deliver(&clients).await;
    signed(&receiver, 2 * 24);
}

#[tokio::test(flavor = "multi_thread")]
async fn on_postgres_processes_with_files_of_their_own_follow_a_rotation() {
    let receiver = Receiver::start(Script::default());
    let database = Database::new(Backend::Postgres).await;
    let [here, there] = ["here.key", "there.key"].map(|name| database.folder().join(name));
    let start = async |file: &PathBuf| {
        let serve = Server::all_in_one(&database).delivering_to(&receiver);
        let file = file.to_str().expect("the path is UTF-8");
        serve.flag("--master-key-file", file).on_a_fixed_port().start().await
    };
    let one = start(&here).await;
    copy(&here, &there);
    let mut other = start(&there).await;
    let organizations = organization_per_shard();
    let clients: Vec<_> = organizations.iter().map(|name| one.client(name)).collect();
    for client in &clients {
        create_endpoint(client, &receiver).await;
    }
    deliver(&clients).await;
    let file_flag = ["--master-key-file", here.to_str().expect("the path is UTF-8")];
    let rotate = |more: &[&str]| rotate(&database, &[&file_flag, more].concat());

    // The other process could not sign with a key that it does not know.
    let said = run(&rotate(&[]), false).await;
    assert!(said.contains("run this with --prepare first"), "{said}");
    assert_eq!(keys(&here).len(), 1, "nothing was changed");

    let said = run(&rotate(&["--prepare"]), true).await;
    assert!(said.contains("is prepared in"), "{said}");
    let prepared = keys(&here);
    assert_eq!(prepared.len(), 2);
    run(&rotate(&["--prepare"]), true).await;
    assert_eq!(keys(&here), prepared, "once is enough");
    copy(&here, &there);
    for server in [&one, &other] {
        server.process().signal(Signal::Hangup);
        let read_again = |line: &str| line.contains("read the master keys again");
        server.process().wait_for_line(read_again, PATIENCE).await;
    }
    deliver(&clients).await;

    let said = run(&rotate(&[]), true).await;
    assert!(said.contains("all 16 data keys are encrypted with master key"), "{said}");
    assert!(keys(&here).into_iter().rev().eq(keys(&there)), "the new one is the first");
    deliver(&clients).await;
    create_endpoint(&other.client("newcomer"), &receiver).await;
    deliver(&[other.client("newcomer")]).await;

    // The other machine's file is an old one, but it has the key.
    other.stop().await;
    other.start_again().await;
    let said = run(&rotate(&["--retire"]), true).await;
    assert!(said.contains("was removed from"), "{said}");
    copy(&here, &there);
    other.stop().await;
    other.start_again().await;
    deliver(&clients).await;
    let under = "SELECT count(DISTINCT master_key_id) FROM data_keys";
    let name = database.name_in_cluster().expect("it is on Postgres");
    assert_eq!(Cluster::shared().await.query(name, under).await.trim(), "1");
    signed(&receiver, 4 * 16);
}

on_both_backends! {
    the_environment_can_hold_the_keys_and_a_restart_rotates_them,
    erasing_an_organization_affects_no_other,
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_file_that_others_may_read_is_refused() {
    let database = Database::new(Backend::Sqlite).await;
    Server::all_in_one(&database).start().await.stop().await;
    let file = database.folder().join("master.key");
    fs::set_permissions(&file, Permissions::from_mode(0o644)).expect("it is ours");
    let mut process = Server::all_in_one(&database).start_process();
    assert_eq!(process.wait_exit(PATIENCE).await.code(), Some(1));
    let said = process.output();
    assert!(said.contains(&format!("chmod 600 {}", file.display())), "{said}");
    let said = run(&rotate(&database, &[]), false).await;
    assert!(said.contains("chmod 600"), "{said}");
}

async fn the_environment_can_hold_the_keys_and_a_restart_rotates_them(backend: Backend) {
    let database = Database::new(backend).await;
    let (old, new) = ("5".repeat(64), "6".repeat(64));
    let serve = async |variable: &str, more: &[&str]| {
        let launch = Launch::binary("keeptrusts-webhooks").arg("serve").args(database.flags());
        let launch = launch.args(["--listen", "127.0.0.1:0", "--no-console"]).args(more);
        let launch = launch.env(first_key::VARIABLE, FIRST_KEY);
        launch.env("KEEPTRUSTS_WEBHOOKS_MASTER_KEY", variable).start()
    };
    let mut process = serve(&old, &[]).await;
    let address = process.wait_for_listening(PATIENCE).await;
    let client = Client::new("acme", address, address, address);
    client.create_endpoint("https://siem.example/hook", &["key.rotated"]).await;
    process.kill().await;
    assert!(!database.folder().join("master.key").exists(), "no file is made");

    let mut process = serve(&format!("{new},{old}"), &[]).await;
    process.wait_for_listening(PATIENCE).await;
    process.kill().await;
    let mut process = serve(&new, &[]).await;
    let address = process.wait_for_listening(PATIENCE).await;
    let client = Client::new("acme", address, address, address);
    let listed =
        v1::ListEndpointsRequest { organization_id: client.organization(), ..Default::default() };
    let listed = client.endpoints().list_endpoints(listed).await.expect("listed").into_inner();
    let request = v1::RevealSecretRequest {
        organization_id: client.organization(),
        endpoint_id: listed.endpoints[0].id.clone(),
    };
    client.endpoints().reveal_secret(request).await.expect("the secret can be opened");
    process.kill().await;

    let no_flags: &[&str] = &[];
    for (variable, flags, words) in [
        (&old[..], no_flags, "is not the one that this database's secrets are sealed with"),
        ("5", no_flags, "line 1 of KEEPTRUSTS_WEBHOOKS_MASTER_KEY is not a master key"),
        (&new, &["--master-key-file", "x"], "decide for one of them"),
    ] {
        let mut process = serve(variable, flags).await;
        assert_eq!(process.wait_exit(PATIENCE).await.code(), Some(1), "{words}");
        let said = process.output();
        assert!(said.contains(words) && !said.contains(&old), "{said}");
    }
}

async fn erasing_an_organization_affects_no_other(backend: Backend) {
    const CONTENT: &str = r#"{"name":"a person's name, planted"}"#;
    let receiver = Receiver::start(Script::default());
    let database = Database::new(backend).await;
    let serve = Server::all_in_one(&database).delivering_to(&receiver).retrying_quickly();
    let mut server = serve.on_a_fixed_port().start().await;
    let [erased, kept] = ["acme", "globex"].map(|organization| server.client(organization));
    let endpoint_id = create_endpoint(&erased, &receiver).await;
    create_endpoint(&kept, &receiver).await;
    let event_id = erased.publish("key.rotated", CONTENT).await;
    let delivered = erased.wait_for_state(&event_id, v1::delivery::State::Delivered).await;
    deliver(std::slice::from_ref(&kept)).await;

    let erase = |more: &[&str]| {
        let arguments = ["organization", "erase", "acme"].map(str::to_owned).to_vec();
        let more = more.iter().map(|argument| (*argument).to_owned()).collect();
        [arguments, database.flags(), more].concat()
    };
    let said = run(&erase(&[]), false).await;
    assert!(said.contains("nothing was erased: add --yes"), "{said}");
    deliver(std::slice::from_ref(&erased)).await;
    let mut misspelt = erase(&["--yes"]);
    misspelt[2] = "acmee".to_owned();
    let said = run(&misspelt, false).await;
    assert!(said.contains("there is no organization acmee"), "{said}");
    // While the server runs.
    let said = run(&erase(&["--yes"]), true).await;
    assert!(said.contains("the data key of organization acme was erased"), "{said}");
    assert!(said.contains("4 bodies of its events and attempts were erased"), "{said}");
    server.process().signal(Signal::Hangup);
    let read_again = |line: &str| line.contains("read the master keys again");
    server.process().wait_for_line(read_again, PATIENCE).await;

    let event_id = erased.publish("key.rotated", "{}").await;
    let failed = erased.wait_for_state(&event_id, v1::delivery::State::Failed).await;
    for attempt in &failed.attempts {
        assert!(attempt.error.contains("the organization was erased"), "{attempt:?}");
    }
    let request = v1::CreateEndpointRequest {
        organization_id: erased.organization(),
        endpoint: Some(v1::Endpoint {
            display_name: "siem".to_owned(),
            url: receiver.url("/hook"),
            event_types: vec!["key.rotated".to_owned()],
            ..v1::Endpoint::default()
        }),
        ..Default::default()
    };
    let refusal = erased.endpoints().create_endpoint(request).await.expect_err("erased");
    crate::platform::assert_refused(
        &refusal,
        tonic::Code::FailedPrecondition,
        "ORGANIZATION_ERASED",
    );
    let request = v1::RevealSecretRequest { organization_id: erased.organization(), endpoint_id };
    let refusal = erased.endpoints().reveal_secret(request).await.expect_err("erased");
    crate::platform::assert_refused(
        &refusal,
        tonic::Code::FailedPrecondition,
        "ORGANIZATION_ERASED",
    );
    let request = v1::ListAuditEntriesRequest {
        organization_id: erased.organization(),
        ..Default::default()
    };
    let trail = Caller::first(&server).audit().list_audit_entries(request).await.expect("listed");
    let actions: Vec<_> = trail.into_inner().entries.iter().map(|entry| entry.action()).collect();
    assert!(actions.contains(&v1::AuditAction::OrganizationErased), "{actions:?}");
    assert!(!actions.contains(&v1::AuditAction::SecretRevealed), "nothing was: {actions:?}");

    // It may still be in memory, but it is not in the database.
    server.stop().await;
    if backend == Backend::Sqlite {
        let file = fs::read(database.folder().join("webhooks.db")).expect("the file is there");
        let is_there = file.windows(CONTENT.len()).any(|part| part == CONTENT.as_bytes());
        assert!(!is_there, "the content is written over");
    }
    server.start_again().await;
    let seen = eventually("it answers", async || Some(erased.delivery(&delivered.id).await)).await;
    assert_eq!(seen.attempts[0].request_body, "", "the records remain, without bodies");
    deliver(std::slice::from_ref(&kept)).await;
    server.stop().await;
    check_tables(&database).await;
}
