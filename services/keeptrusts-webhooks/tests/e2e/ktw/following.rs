//! What `ktw` shows as it happens: `listen`, `watch` and replays.

use std::collections::HashMap;

use keeptrusts_webhooks_client::verify::Verifier;
use keeptrusts_webhooks_contracts::v1::delivery::State;
use keeptrusts_webhooks_testkit::process::Signal;
use keeptrusts_webhooks_testkit::receiver::{Receiver, Reply, Script};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::terminal::Terminal;
use crate::platform::{Backend, Database, PATIENCE, Server, eventually};

#[tokio::test]
async fn listen_posts_signed_events_to_a_local_server_and_makes_no_delivery() {
    let database = Database::new(Backend::Sqlite).await;
    let server = Server::all_in_one(&database).start().await;
    let ktw = Terminal::of(&server);
    let local = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let target = format!("http://{}/hook", local.local_addr().expect("an address"));
    let listening = ktw.start(&["listen", "--forward", &target, "--type", "policy.violation"]);
    let line = listening.wait_for_line(|line| line.contains("whsec_"), PATIENCE).await;
    let secret = line.rsplit(' ').next().expect("the last word").to_owned();

    // The watch begins somewhere after the first line: events before it are not seen.
    let publishing = async {
        loop {
            ktw.succeed(&["trigger", "policy.block"]).await;
            ktw.succeed(&["trigger", "policy.violation"]).await;
        }
    };
    let (headers, body) = tokio::select! {
        request = one_request(&local) => request,
        () = publishing => unreachable!("it never ends"),
    };
    assert_eq!(headers["x-keeptrusts-event"], "policy.violation");
    let verifier = Verifier::new(secret).expect("a secret");
    verifier.verify(&headers, &body).expect("signed now");
    verifier.verify_body(&headers, &body).expect("signed");
    let body: Value = serde_json::from_slice(&body).expect("JSON");
    assert_eq!(body["event"], "policy.violation");
    listening.wait_for_line(|line| line.contains(" 200 "), PATIENCE).await;
    assert_eq!(ktw.json(&["deliveries", "list"]).await, Value::Array(Vec::new()));
}

/// Reads one request of HTTP/1.1 and answers 200.
async fn one_request(local: &TcpListener) -> (HashMap<String, String>, Vec<u8>) {
    let (mut connection, _) = local.accept().await.expect("a connection");
    let mut bytes = Vec::new();
    loop {
        assert!(connection.read_buf(&mut bytes).await.expect("bytes") > 0, "a whole request");
        let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") else { continue };
        let head = String::from_utf8_lossy(&bytes[..end]);
        let headers: HashMap<_, _> = head
            .lines()
            .filter_map(|line| line.split_once(": "))
            .map(|(name, value)| (name.to_lowercase(), value.to_owned()))
            .collect();
        let length: usize = headers["content-length"].parse().expect("a number");
        if let Some(body) = bytes.get(end + 4..end + 4 + length) {
            let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";
            connection.write_all(answer).await.expect("answered");
            return (headers, body.to_vec());
        }
    }
}

#[tokio::test]
async fn watch_shows_deliveries_as_they_happen() {
    let database = Database::new(Backend::Sqlite).await;
    let receiver = Receiver::start(Script::always(Reply::ok()));
    let server = Server::all_in_one(&database).delivering_to(&receiver).start().await;
    let ktw = Terminal::of(&server);
    let client = server.client("acme");
    client.create_endpoint(&receiver.url("/"), &["config.updated"]).await;
    let watching = ktw.start(&["watch", "--output", "json"]);
    eventually("the watch shows a delivery", async || {
        client.publish("config.updated", "{}").await;
        watching.output().contains("STATE_DELIVERED").then_some(())
    })
    .await;
    let line = watching.wait_for_line(|line| line.contains("STATE_DELIVERED"), PATIENCE).await;
    let change: Value = serde_json::from_str(&line).expect("a line is one change");
    assert_eq!(change["attempt"]["status_code"], 200);
}

#[tokio::test]
async fn a_replay_is_counted_and_followed() {
    let database = Database::new(Backend::Sqlite).await;
    let receiver = Receiver::start(Script::always(Reply::ok()));
    let server = Server::all_in_one(&database).delivering_to(&receiver).start().await;
    let ktw = Terminal::of(&server);
    let client = server.client("acme");
    let endpoint = client.create_endpoint(&receiver.url("/"), &["config.updated"]).await;
    ktw.succeed(&["endpoints", "disable", &endpoint.id]).await;
    for _ in 0..3 {
        client.publish("config.updated", "{}").await;
    }
    ktw.succeed(&["endpoints", "enable", &endpoint.id]).await;
    let replay = ["replay", &endpoint.id, "--scope", "missed"];
    let counted = eventually("the events are missed", async || {
        let counted = ktw.json(&[&replay[..], &["--count"]].concat()).await;
        (counted["matched_count"] == 3).then_some(counted)
    })
    .await;
    assert_eq!(counted["id"], "");
    let (status, output) = ktw.run(&replay).await;
    assert!(status == 2 && output.contains("3 deliveries"), "{status}: {output}");
    let done = ktw.json(&[&replay[..], &["--yes"]].concat()).await;
    assert_eq!((&done["state"], &done["scheduled_count"]), (&"STATE_DONE".into(), &3.into()));
    receiver.wait_for(3, PATIENCE).await;
}

#[tokio::test]
async fn a_filtered_watch_says_that_the_connection_was_lost_and_misses_nothing() {
    let database = Database::new(Backend::Sqlite).await;
    let receiver = Receiver::start(Script::always(Reply::ok()));
    let server = Server::all_in_one(&database).delivering_to(&receiver).on_a_fixed_port();
    let mut server = server.start().await;
    let ktw = Terminal::of(&server);
    let client = server.client("acme");
    client.create_endpoint(&receiver.url("/"), &["config.updated", "policy.block"]).await;
    let (status, output) = ktw.run(&["watch", "--type", "nothing"]).await;
    assert!(status == 2 && output.contains("policy.block"), "{status}: {output}");
    let filter = ["--type", "config.updated", "--state", "delivered", "--outcome", "delivered"];
    let watching = ktw.start(&[&["watch", "-q", "delivery.event_id"], &filter[..]].concat());
    eventually("the watch shows a delivery", async || {
        client.publish("policy.block", "{}").await;
        client.publish("config.updated", "{}").await;
        watching.output().contains("evt_").then_some(())
    })
    .await;

    server.kill().await;
    watching.wait_for_line(|line| line.contains("Not connected any more"), PATIENCE).await;
    // What happens now happens while the watch is away.
    watching.signal(Signal::Stop);
    server.start_again().await;
    let client = server.client("acme");
    let other = client.publish("policy.block", "{}").await;
    let event = client.publish("config.updated", "{}").await;
    client.wait_for_state(&event, State::Delivered).await;
    watching.signal(Signal::Continue);
    watching.wait_for_line(|line| line.contains("Nothing is missed"), PATIENCE).await;
    watching.wait_for_line(|line| line == event, PATIENCE).await;
    let output = watching.output();
    let lost = output.lines().filter(|line| line.contains("Not connected")).count();
    assert!(lost == 1 && !output.contains(&other), "{output}");
    let mut events: Vec<_> = output.lines().filter(|line| line.starts_with("evt_")).collect();
    let shown = events.len();
    events.dedup();
    assert_eq!(events.len(), shown, "each is delivered once: {output}");
}
