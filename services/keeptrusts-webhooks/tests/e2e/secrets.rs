//! Invariant 10: secrets stay secret.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use crate::platform::{Backend, Client, Database, PATIENCE, Server, on_both_backends};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use keeptrusts_webhooks_contracts::v1;
use keeptrusts_webhooks_testkit::receiver::{Receiver, Reply, Script};
use keeptrusts_webhooks_testkit::verify::{self, StandardWebhooksCheck};

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

    assert_absent(&database).await;
    // Killed, so that what is only in the write-ahead log stays there.
    server.kill().await;
    assert_absent(&database).await;
    for path in database.files() {
        let mode = fs::metadata(&path).expect("the file is there").permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{} is its owner's only", path.display());
    }
    let logs = server.process().output();
    assert!(logs.contains("TRACE"), "the logs are detailed");
    for secret in [FIRST_SECRET, SECOND_SECRET] {
        let base64 = STANDARD.encode(secret);
        let line = logs.lines().find(|line| line.contains(secret) || line.contains(&base64));
        assert_eq!(line, None, "a log line has the secret");
    }
}

/// Creates, signs, fails, retries, rotates, reveals, and is refused.
async fn use_secrets(client: &Client, receiver: &Receiver) {
    let request = v1::CreateEndpointRequest {
        organization_id: client.organization(),
        endpoint: Some(v1::Endpoint {
            display_name: "siem".to_owned(),
            url: receiver.url("/hook"),
            event_types: vec!["key.rotated".to_owned()],
            secret: FIRST_SECRET.to_owned(),
            ..v1::Endpoint::default()
        }),
        ..Default::default()
    };
    let mut refused = request.clone();
    refused.endpoint.as_mut().expect("given").display_name.clear();
    let refused = client.endpoints().create_endpoint(refused).await.expect_err("a name is needed");
    assert!(!format!("{refused:?}").contains(FIRST_SECRET));
    let created = client.endpoints().create_endpoint(request).await.expect("it is created");
    let created = created.into_inner();
    assert_eq!(created.standard_webhooks_secret, standard(FIRST_SECRET));
    let endpoint_id = created.endpoint.expect("an endpoint").id;
    let event_id = client.publish("key.rotated", "{}").await;
    client.wait_for_state(&event_id, v1::delivery::State::Delivered).await;

    let request = v1::RotateSecretRequest {
        organization_id: client.organization(),
        endpoint_id: endpoint_id.clone(),
        secret: SECOND_SECRET.to_owned(),
        ..Default::default()
    };
    let rotated = client.endpoints().rotate_secret(request).await.expect("it is rotated");
    assert_eq!(rotated.into_inner().standard_webhooks_secret, standard(SECOND_SECRET));
    let event_id = client.publish("key.rotated", "{}").await;
    let delivery = client.wait_for_state(&event_id, v1::delivery::State::Delivered).await;
    assert!(!format!("{delivery:?}").contains("planted"), "{delivery:?}");
    let request = v1::RevealSecretRequest { organization_id: client.organization(), endpoint_id };
    let revealed = client.endpoints().reveal_secret(request).await.expect("it is revealed");
    let revealed = revealed.into_inner();
    assert_eq!(revealed.secret, SECOND_SECRET);
    assert_eq!(revealed.standard_webhooks_secret, standard(SECOND_SECRET));

    let requests = receiver.wait_for(3, PATIENCE).await;
    verify::assert_signed(FIRST_SECRET, &requests[..2]);
    verify::assert_signed(SECOND_SECRET, &requests[2..]);
    // The second form, given to a library as it was answered.
    let form = standard(SECOND_SECRET);
    let check = StandardWebhooksCheck::of(&form, &requests[2]);
    assert_eq!(verify::standard_webhooks(&[check]), [Ok(())]);
}

/// The form for libraries of Standard Webhooks.
fn standard(secret: &str) -> String {
    format!("whsec_{}", STANDARD.encode(secret))
}

/// Searches for the secrets as text, as bytes in hex, and in base64.
async fn assert_absent(database: &Database) {
    let content = database.content().await;
    assert!(content.iter().any(|(name, _)| name.ends_with("master.key")));
    for (name, bytes) in content {
        for secret in [FIRST_SECRET, SECOND_SECRET] {
            for form in [secret.to_owned(), hex::encode(secret), STANDARD.encode(secret)] {
                let found = bytes.windows(form.len()).any(|part| part == form.as_bytes());
                assert!(!found, "{name} has a secret");
            }
        }
    }
}
