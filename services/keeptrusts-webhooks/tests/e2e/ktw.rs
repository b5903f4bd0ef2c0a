//! The command line, as a person at a terminal and as a script uses it.

use std::collections::HashMap;
use std::fs;

use keeptrusts_webhooks_client::verify::Verifier;
use keeptrusts_webhooks_testkit::first_key::FIRST_KEY;
use keeptrusts_webhooks_testkit::process::{Launch, Process};
use keeptrusts_webhooks_testkit::receiver::{Receiver, Reply, Script};
use serde_json::Value;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use crate::platform::{Backend, Database, PATIENCE, Server, eventually};

/// A terminal: a server's address, a key in a file, and no profiles of anybody else.
struct Terminal {
    home: TempDir,
    address: String,
}

impl Terminal {
    fn of(server: &Server) -> Self {
        let home = TempDir::new().expect("a folder");
        fs::write(home.path().join("key"), format!("{FIRST_KEY}\n")).expect("written");
        Self { home, address: format!("http://{}", server.address()) }
    }

    fn file(&self, name: &str, content: &str) -> String {
        let path = self.home.path().join(name);
        fs::write(&path, content).expect("written");
        path.display().to_string()
    }

    fn start(&self, arguments: &[&str]) -> Process {
        let home = self.home.path();
        Launch::binary("ktw")
            .env("KTW_PROFILES", home.join("profiles.toml"))
            .env("KEEPTRUSTS_WEBHOOKS_ADDRESS", &self.address)
            .env("KEEPTRUSTS_WEBHOOKS_API_KEY_FILE", home.join("key"))
            .env("KEEPTRUSTS_WEBHOOKS_ORGANIZATION", "acme")
            .args(arguments)
            .start()
    }

    async fn run(&self, arguments: &[&str]) -> (i32, String) {
        let mut process = self.start(arguments);
        let status = process.wait_exit(PATIENCE).await;
        (status.code().unwrap_or(-1), process.output())
    }

    async fn succeed(&self, arguments: &[&str]) -> String {
        let (status, output) = self.run(arguments).await;
        assert_eq!(status, 0, "ktw {arguments:?}: {output}");
        output
    }

    async fn json(&self, arguments: &[&str]) -> Value {
        let output = self.succeed(&[arguments, &["--output", "json"]].concat()).await;
        // What is said on stderr is around it.
        let begin = output.find(['[', '{']).expect("JSON");
        let mut values = serde_json::Deserializer::from_str(&output[begin..]).into_iter();
        let first = values.next().expect("a value");
        first.unwrap_or_else(|error| panic!("{error}: {output}"))
    }
}

#[tokio::test]
async fn endpoints_are_managed_from_the_terminal_and_by_scripts() {
    let database = Database::new(Backend::Sqlite).await;
    let receiver = Receiver::start(Script::sequence([Reply::ok(), Reply::status(500)]));
    let server = Server::all_in_one(&database).delivering_to(&receiver).start().await;
    let ktw = Terminal::of(&server);
    let url = receiver.url("/hook");

    let created =
        ["endpoints", "create", "--name", "siem", "--url", &url, "--event-types", "config.updated"];
    let created = ktw.json(&created).await;
    let id = created["endpoint"]["id"].as_str().expect("an id");
    assert!(created["secret"].as_str().expect("a secret").starts_with("whsec_"));

    let table = ktw.succeed(&["endpoints", "list"]).await;
    assert!(
        table.contains("active") && table.contains("siem") && !table.contains('\u{1b}'),
        "{table}"
    );
    assert_eq!(ktw.succeed(&["endpoints", "list", "-o", "name"]).await, format!("{id}\n"));
    assert_eq!(ktw.succeed(&["endpoints", "get", id, "--query", "url"]).await, format!("{url}\n"));
    let csv = ktw.succeed(&["endpoints", "list", "--output", "csv"]).await;
    assert!(csv.starts_with("id,display_name,state,url,"), "{csv}");

    ktw.succeed(&["endpoints", "update", id, "--description", "all of it"]).await;
    ktw.succeed(&["endpoints", "disable", id, "--reason", "maintenance"]).await;
    let endpoint = ktw.json(&["endpoints", "get", id]).await;
    assert_eq!(endpoint["description"], "all of it");
    assert_eq!(
        (&endpoint["state"], &endpoint["state_reason"]),
        (&"STATE_DISABLED".into(), &"maintenance".into())
    );
    ktw.succeed(&["endpoints", "enable", id]).await;

    let test = ktw.json(&["test", id, "--type", "key.revoked"]).await;
    assert_eq!((&test["status_code"], &test["event_type"]), (&200.into(), &"key.revoked".into()));
    let (status, output) = ktw.run(&["test", id]).await;
    assert_eq!(status, 9, "{output}");

    let (status, output) = ktw.run(&["endpoints", "update", id, "--url", "http://plain"]).await;
    assert!(status == 5 && output.contains("endpoint.url: "), "{status}: {output}");
    let (status, output) = ktw.run(&["endpoints", "delete", id]).await;
    assert!(status == 2 && output.contains("--yes"), "{status}: {output}");
    ktw.succeed(&["endpoints", "delete", id, "--yes"]).await;
    assert_eq!(ktw.run(&["endpoints", "get", id]).await.0, 3);
    ktw.succeed(&["endpoints", "delete", id, "--yes", "--allow-missing"]).await;

    let trail =
        ktw.json(&["audit", "--action", "endpoint-created", "--action", "endpoint-deleted"]).await;
    let actions: Vec<_> =
        trail.as_array().expect("a list").iter().map(|entry| &entry["action"]).collect();
    assert_eq!(actions, ["AUDIT_ACTION_ENDPOINT_DELETED", "AUDIT_ACTION_ENDPOINT_CREATED"]);
}

#[tokio::test]
async fn configuration_that_is_applied_twice_changes_nothing() {
    let database = Database::new(Backend::Sqlite).await;
    let server = Server::all_in_one(&database).start().await;
    let ktw = Terminal::of(&server);
    let file = ktw.file(
        "endpoints.yaml",
        "\
id: ep_01JSF0M3Z8Q2W4E6R8T0Y1V3B5
display_name: siem
url: https://siem.example.com/hook
event_types: [policy.violation]
---
id: ep_01JSF0M3Z8Q2W4E6R8T0Y1V3B6
display_name: archive
url: https://archive.example.com/hook
event_types: [policy.violation, policy.block]
",
    );
    ktw.json(&["endpoints", "apply", "--file", &file, "--dry-run"]).await;
    assert_eq!(ktw.json(&["endpoints", "list"]).await, Value::Array(Vec::new()));
    let first = ktw.json(&["endpoints", "apply", "--file", &file]).await;
    let second = ktw.json(&["endpoints", "apply", "--file", &file]).await;
    assert_eq!(first, second, "with etags and times");
    assert_eq!(first.as_array().map(Vec::len), Some(2));
    assert_eq!(ktw.json(&["audit"]).await.as_array().map(Vec::len), Some(2));
}

#[tokio::test]
async fn lines_are_published_over_one_stream_and_wrong_ones_are_named() {
    let database = Database::new(Backend::Sqlite).await;
    let server = Server::all_in_one(&database).start().await;
    let ktw = Terminal::of(&server);
    let mut lines: Vec<_> = (0..500)
        .map(|number| {
            format!(r#"{{"event_type": "config.updated", "data": {{"n": {number}}}, "idempotency_key": "k{number}"}}"#)
        })
        .collect();
    lines[100] = r#"{"event_type": "nothing.known", "data": {}}"#.to_owned();
    lines[200] = "{".to_owned();
    let file = ktw.file("events.ndjson", &lines.join("\n"));
    let (status, output) = ktw.run(&["publish", "--ndjson", &file]).await;
    assert_eq!(status, 9, "{output}");
    assert!(output.contains("498 accepted, 0 known before, 2 refused"), "{output}");
    assert!(output.contains("line 101: ") && output.contains("line 201: "), "{output}");
    let (_, output) = ktw.run(&["publish", "--ndjson", &file]).await;
    assert!(output.contains("0 accepted, 498 known before, 2 refused"), "{output}");
    let events = ktw.succeed(&["events", "list", "--all", "--output", "name"]).await;
    assert_eq!(events.lines().count(), 498);
}

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
async fn keys_come_from_a_profile_and_doctor_says_what_is_wrong() {
    let database = Database::new(Backend::Sqlite).await;
    let server = Server::all_in_one(&database).start().await;
    let ktw = Terminal::of(&server);
    let created = ["keys", "create", "--name", "ci", "--role", "publisher", "--ttl", "1h"];
    let token = ktw.succeed(&[&created[..], &["--query", "token"]].concat()).await;
    let key = ktw.file("publisher", token.lines().next().expect("a token"));
    let added = ktw.succeed(&["profiles", "add", "ci", "--key-file", &key]).await;
    assert!(!added.contains("kt_"), "{added}");
    let profiles = ktw.home.path().join("profiles.toml");
    let mode = std::os::unix::fs::PermissionsExt::mode(
        &fs::metadata(&profiles).expect("there").permissions(),
    );
    assert_eq!(mode & 0o777, 0o600);

    let of_profile = |arguments: &[&str]| {
        let launch = Launch::binary("ktw").env("KTW_PROFILES", &profiles).args(arguments);
        launch.start()
    };
    let mut doctor = of_profile(&["doctor"]);
    let status = doctor.wait_exit(PATIENCE).await;
    let report = doctor.output();
    assert_eq!(status.code(), Some(0), "{report}");
    assert!(report.contains("publisher of acme") && report.contains("the profile"), "{report}");
    assert!(report.contains("server 0."), "{report}");
    let mut refused = of_profile(&["keys", "list"]);
    assert_eq!(refused.wait_exit(PATIENCE).await.code(), Some(4), "{}", refused.output());

    let id = ktw
        .succeed(&[
            "keys", "list", "--kind", "api-key", "--query", "id", "--state", "valid", "--limit",
            "1",
        ])
        .await;
    ktw.succeed(&["keys", "revoke", id.trim(), "--yes"]).await;
    let refused = eventually("the key is refused", async || {
        let mut doctor = of_profile(&["doctor"]);
        let status = doctor.wait_exit(PATIENCE).await;
        (status.code() == Some(9)).then(|| doctor.output())
    })
    .await;
    assert!(refused.contains("wrong   key"), "{refused}");
}

#[tokio::test]
async fn a_captured_request_is_verified_without_a_server() {
    let database = Database::new(Backend::Sqlite).await;
    let receiver = Receiver::start(Script::always(Reply::ok()));
    let server = Server::all_in_one(&database).delivering_to(&receiver).start().await;
    let ktw = Terminal::of(&server);
    let client = server.client("acme");
    let endpoint = client.create_endpoint(&receiver.url("/"), &["config.updated"]).await;
    client.publish("config.updated", r#"{"a": 1}"#).await;
    let request = receiver.wait_for(1, PATIENCE).await.remove(0);
    let secret = ktw.file("secret", &endpoint.secret);
    let mut captured = String::from("POST / HTTP/1.1\r\n");
    for (name, value) in &request.headers {
        captured += &format!("{name}: {value}\r\n");
    }
    let captured = |body: &str| ktw.file("request", &format!("{captured}\r\n{body}"));
    let body = String::from_utf8(request.body.to_vec()).expect("JSON");
    let right = captured(&body);
    ktw.succeed(&["verify", "--secret-file", &secret, "--request", &right]).await;
    let wrong = captured(&body.replace('1', "2"));
    let (status, output) =
        ktw.run(&["verify", "--secret-file", &secret, "--request", &wrong]).await;
    assert!(status == 9 && output.contains("signature"), "{status}: {output}");
}
