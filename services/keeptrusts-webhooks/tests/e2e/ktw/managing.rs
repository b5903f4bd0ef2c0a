//! Endpoints, keys and configuration from the terminal.

use keeptrusts_webhooks_testkit::receiver::{Receiver, Reply, Script};
use serde_json::Value;

use super::terminal::Terminal;
use crate::platform::{Backend, Database, Server, eventually};

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
    assert!(status == 5 && output.contains("--url: "), "{status}: {output}");
    let (status, output) = ktw.run(&["endpoints", "delete", id]).await;
    assert!(status == 2 && output.contains("--yes"), "{status}: {output}");
    ktw.succeed(&["endpoints", "delete", id, "--yes"]).await;
    assert_eq!(ktw.run(&["endpoints", "get", id]).await.0, 3);
    ktw.succeed(&["endpoints", "delete", id, "--yes", "--allow-missing"]).await;

    let trail = ktw
        .json(&["audit", "list", "--action", "endpoint-created", "--action", "endpoint-deleted"])
        .await;
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
    assert_eq!(ktw.json(&["audit", "list"]).await.as_array().map(Vec::len), Some(2));
}

#[tokio::test]
async fn endpoints_and_channels_are_called_by_their_names() {
    let database = Database::new(Backend::Sqlite).await;
    let receiver = Receiver::start(Script::always(Reply::ok()));
    let server = Server::all_in_one(&database).delivering_to(&receiver).start().await;
    let ktw = Terminal::of(&server);
    let url = receiver.url("/hook");
    let create = async |name: &str| {
        let types = ["--event-types", "config.updated"];
        let create = ["endpoints", "create", "--name", name, "--url", &url, "-q", "endpoint.id"];
        ktw.succeed(&[&create[..], &types].concat()).await.trim().to_owned()
    };
    let (siem, twin, other) = (create("siem").await, create("twin").await, create("twin").await);

    assert_eq!(ktw.succeed(&["endpoints", "get", "siem", "-q", "id"]).await, format!("{siem}\n"));
    let (status, output) = ktw.run(&["endpoints", "disable", "twin"]).await;
    assert!(status == 2 && output.contains(&twin) && output.contains(&other), "{status}: {output}");
    assert_eq!(ktw.run(&["endpoints", "get", "nobody"]).await.0, 3);
    ktw.succeed(&["endpoints", "delete", "nobody", "--yes", "--allow-missing"]).await;

    ktw.succeed(&["trigger", "config.updated"]).await;
    let list = ["deliveries", "list", "--endpoint", "siem"];
    let table = eventually("the event is delivered", async || {
        let table = ktw.succeed(&list).await;
        table.contains("delivered").then_some(table)
    })
    .await;
    assert!(table.contains("siem") && !table.contains(&siem) && !table.contains("twin"), "{table}");
    let table = ktw.succeed(&["deliveries", "list"]).await;
    assert!(table.contains(&format!("twin ({twin})")), "{table}");
    let deliveries = ktw.json(&list).await;
    assert_eq!(deliveries[0]["endpoint_id"], siem.as_str());
    let delivery = deliveries[0]["id"].as_str().expect("an id");
    let details = ktw.succeed(&["deliveries", "get", delivery]).await;
    assert!(details.contains(&format!("{siem} (siem)")), "{details}");

    let channel = format!(
        "display_name: on call\nsubscriptions: [NOTIFICATION_TYPE_ENDPOINT_DISABLED]\nendpoint_ids: [{siem}]\nwebhook: {{url: \"https://on-call.example.com/\", secret: sixteen-bytes-or-more}}\n"
    );
    let file = ktw.file("channel.yaml", &channel);
    ktw.succeed(&["channels", "create", "--file", &file]).await;
    let channel = ktw.succeed(&["channels", "get", "on call"]).await;
    assert!(channel.contains(&format!("{siem} (siem)")), "{channel}");
}

#[tokio::test]
async fn errors_about_values_name_the_options() {
    let database = Database::new(Backend::Sqlite).await;
    let server = Server::all_in_one(&database).start().await;
    let ktw = Terminal::of(&server);
    let created = ["endpoints", "create", "--name", "siem", "--url", "https://siem.example.com/"];
    ktw.succeed(&[&created[..], &["--event-types", "config.updated"]].concat()).await;
    for (arguments, words) in [
        ("endpoints create --url https://a.example/", "--name: | --event-types: |ktw events types"),
        ("endpoints update siem --url http://a.example/", "--url: "),
        ("endpoints update siem --format custom", "--template-file: "),
        ("endpoints update siem --format pagerduty", "--routing-key-file: "),
        ("endpoints update siem --event-types nothing", "--event-types: "),
        ("publish nothing --data {}", "TYPE: |ktw events types"),
        ("publish webhook.test --data {}", "TYPE: |ktw test"),
        ("publish config.updated --data x", "--data: "),
        ("replay siem --scope missed --include-delivered --count", "--include-delivered: "),
        ("replay siem --scope all --since 1h --until 2h --count", "--until: |--since"),
        ("replay siem --scope all --type nothing --count", "--type: |ktw events types"),
        ("deliveries list --event nothing", "--event: "),
        ("keys create --name ci --role viewer --ttl 1s", "--ttl: "),
        ("endpoints list --organization A", "--organization: "),
    ] {
        let (status, output) = ktw.run(&arguments.split(' ').collect::<Vec<_>>()).await;
        assert_eq!(status, 5, "{arguments}: {output}");
        for words in words.split('|') {
            assert!(output.contains(words), "{arguments}: {output}");
        }
    }
}
