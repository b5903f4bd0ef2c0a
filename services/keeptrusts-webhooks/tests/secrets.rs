//! Invariant 10: secrets stay secret.

mod platform;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use keeptrusts_webhooks_contracts::v1;
use keeptrusts_webhooks_testkit::postgres::Cluster;
use keeptrusts_webhooks_testkit::receiver::{Receiver, Reply, Script};
use keeptrusts_webhooks_testkit::verify;
use platform::{Backend, Client, Database, PATIENCE, Server, on_both_backends};

/// Planted, to be looked for.
const FIRST_SECRET: &str = "first-planted-secret-of-an-endpoint";
const SECOND_SECRET: &str = "second-planted-secret-of-an-endpoint";

on_both_backends!(invariant_10_secrets_are_neither_in_files_nor_in_logs_however_detailed);

async fn invariant_10_secrets_are_neither_in_files_nor_in_logs_however_detailed(backend: Backend) {
    let replies = [Reply::status(500), Reply::ok()];
    let receiver = Receiver::start(Script::sequence(replies));
    let database = Database::new(backend).await;
    let serve = Server::all_in_one(&database).delivering_to(&receiver).retrying_quickly();
    let mut server = serve.flag("--log-level", "trace").start().await;
    let client = server.client("acme");
    use_secrets(&client, &receiver).await;

    let mut files = files_in(database.folder());
    assert_absent(&files);
    // Killed, so that what is only in the write-ahead log stays there.
    server.kill().await;
    files = files_in(database.folder());
    assert_absent(&files);
    assert_absent_in_tables(&database).await;
    for path in files {
        let mode = fs::metadata(&path).expect("the file is there").permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{} is its owner's only", path.display());
    }
    let logs = server.process().output();
    assert!(logs.contains("TRACE"), "the logs are detailed");
    for secret in [FIRST_SECRET, SECOND_SECRET] {
        let line = logs.lines().find(|line| line.contains(secret));
        assert_eq!(line, None, "a log line has the secret");
    }
}

/// Creates, signs, fails, retries, rotates, reveals, and is refused.
async fn use_secrets(client: &Client, receiver: &Receiver) {
    let request = v1::CreateEndpointRequest {
        organization_id: client.organization(),
        name: "siem".to_owned(),
        url: receiver.url("/hook"),
        event_types: vec!["key.rotated".to_owned()],
        secret: FIRST_SECRET.to_owned(),
        ..Default::default()
    };
    let refused = v1::CreateEndpointRequest { name: String::new(), ..request.clone() };
    let refused = client.endpoints().create_endpoint(refused).await.expect_err("a name is needed");
    assert!(!format!("{refused:?}").contains(FIRST_SECRET));
    let created = client.endpoints().create_endpoint(request).await.expect("it is created");
    let endpoint_id = created.into_inner().endpoint.expect("an endpoint").id;
    let event_id = client.publish("key.rotated", "{}").await;
    client.wait_for_state(&event_id, v1::DeliveryState::Delivered).await;

    let request = v1::RotateSecretRequest {
        organization_id: client.organization(),
        endpoint_id: endpoint_id.clone(),
        secret: SECOND_SECRET.to_owned(),
        ..Default::default()
    };
    client.endpoints().rotate_secret(request).await.expect("it is rotated");
    let event_id = client.publish("key.rotated", "{}").await;
    let delivery = client.wait_for_state(&event_id, v1::DeliveryState::Delivered).await;
    assert!(!format!("{delivery:?}").contains("planted"), "{delivery:?}");
    let request = v1::RevealSecretRequest { organization_id: client.organization(), endpoint_id };
    let revealed = client.endpoints().reveal_secret(request).await.expect("it is revealed");
    assert_eq!(revealed.into_inner().secret, SECOND_SECRET);

    let requests = receiver.wait_for(3, PATIENCE).await;
    verify::assert_signed(FIRST_SECRET, &requests[..2]);
    verify::assert_signed(SECOND_SECRET, &requests[2..]);
}

fn files_in(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).expect("the folder is there");
    entries.map(|entry| entry.expect("an entry").path()).collect()
}

fn assert_absent(files: &[PathBuf]) {
    assert!(files.iter().any(|path| path.ends_with("master.key")), "{files:?}");
    for path in files {
        let content = fs::read(path).expect("the file is there");
        for secret in [FIRST_SECRET, SECOND_SECRET] {
            let found = content.windows(secret.len()).any(|part| part == secret.as_bytes());
            assert!(!found, "{} has a secret", path.display());
        }
    }
}

/// Looks for the secrets in every table of a Postgres database, as text and as bytes.
async fn assert_absent_in_tables(database: &Database) {
    let Some(name) = database.name_in_cluster() else { return };
    let cluster = Cluster::shared().await;
    let tables = "SELECT tablename FROM pg_tables WHERE schemaname = 'public'";
    let tables = cluster.query(name, tables).await;
    assert!(tables.lines().any(|table| table == "data_keys"), "{tables}");
    for table in tables.lines() {
        let rows = cluster.query(name, &format!(r#"SELECT t::text FROM "{table}" AS t"#)).await;
        for secret in [FIRST_SECRET, SECOND_SECRET] {
            let is_there = rows.contains(secret) || rows.contains(&hex::encode(secret));
            assert!(!is_there, "the table {table} has a secret");
        }
    }
}
