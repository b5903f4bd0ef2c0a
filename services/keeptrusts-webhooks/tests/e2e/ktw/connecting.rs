//! Profiles, keys, completions, and what needs no server.

use std::fs;

use keeptrusts_webhooks_testkit::first_key::FIRST_KEY;
use keeptrusts_webhooks_testkit::process::Launch;
use keeptrusts_webhooks_testkit::receiver::{Receiver, Reply, Script};

use super::terminal::Terminal;
use crate::platform::{Backend, Database, PATIENCE, Server, eventually};

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

#[tokio::test]
async fn a_profile_is_stored_if_the_server_takes_its_key_and_wins_over_variables() {
    let database = Database::new(Backend::Sqlite).await;
    let server = Server::all_in_one(&database).start().await;
    let ktw = Terminal::of(&server);
    let wrong = ktw.file("wrong", &format!("kt_{}\n", "0".repeat(64)));
    let added = ["profiles", "add", "test", "--key-file"];
    let (status, output) = ktw.run(&[&added[..], &[&wrong]].concat()).await;
    assert!(status == 4 && output.contains("--no-check"), "{status}: {output}");
    let nowhere = ["profiles", "add", "test", "--address", "http://127.0.0.1:1"];
    let (status, output) = ktw.run(&[&nowhere[..], &["--key-file", &wrong]].concat()).await;
    assert!(status == 7 && output.contains("http://127.0.0.1:1: "), "{status}: {output}");
    assert_eq!(ktw.json(&["profiles", "list"]).await, serde_json::json!([]));

    let right = ktw.file("right", FIRST_KEY);
    let output = ktw.succeed(&["profiles", "add", "right", "--key-file", &right]).await;
    assert!(output.contains("You are key_") && output.contains("admin"), "{output}");
    ktw.succeed(&[&added[..], &[&wrong, "--no-check"]].concat()).await;
    assert_eq!(ktw.succeed(&["profiles", "list", "-o", "name"]).await, "right\ntest\n");

    // The variables have the right key.
    ktw.succeed(&["keys", "list"]).await;
    let (status, output) = ktw.run(&["keys", "list", "--profile", "test"]).await;
    assert_eq!(status, 4, "{output}");
    ktw.succeed(&["keys", "list", "--profile", "test", "--key-file", &right]).await;
}

#[tokio::test]
async fn completions_are_the_servers_names_and_silence_without_it() {
    let database = Database::new(Backend::Sqlite).await;
    let server = Server::all_in_one(&database).start().await;
    let ktw = Terminal::of(&server);
    let created = ["endpoints", "create", "--name", "siem", "--url", "https://siem.example.com/"];
    ktw.succeed(&[&created[..], &["--event-types", "config.updated"]].concat()).await;
    let key = ktw.file("first-key", FIRST_KEY);
    let complete = async |line: &[&str]| {
        let mut completing = Launch::binary("ktw")
            .env("KTW_COMPLETE", "bash")
            .env("_CLAP_IFS", "\n")
            .env("_CLAP_COMPLETE_INDEX", (line.len() - 1).to_string())
            .env("KTW_PROFILES", ktw.home.path().join("profiles.toml"))
            .arg("--")
            .args(line)
            .start();
        assert_eq!(completing.wait_exit(PATIENCE).await.code(), Some(0));
        completing.output()
    };
    let at = |address: &str| {
        let to = ["ktw", "--organization", "acme", "--key-file", &key, "--address", address];
        to.map(ToOwned::to_owned).to_vec()
    };
    let here = at(&format!("http://{}", server.address()));
    for (line, offered) in [
        (["deliveries", "list", "--endpoint", "s"], "siem"),
        (["endpoints", "create", "--event-types", "policy.v"], "policy.violation"),
    ] {
        let line: Vec<_> = here.iter().map(String::as_str).chain(line).collect();
        assert_eq!(complete(&line).await.trim(), offered, "{line:?}");
    }
    let away = at("http://127.0.0.1:1");
    let line: Vec<_> =
        away.iter().map(String::as_str).chain(["deliveries", "list", "--endpoint", "s"]).collect();
    assert_eq!(complete(&line).await.trim(), "");
}
