//! Many events from a file.

use std::io::Write;
use std::process::Command;

use keeptrusts_webhooks_testkit::process::Signal;
use serde_json::{Value, json};

use super::terminal::Terminal;
use crate::platform::{Backend, Database, PATIENCE, Server};

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
async fn programs_are_told_of_each_line_in_the_order_of_lines() {
    let database = Database::new(Backend::Sqlite).await;
    let server = Server::all_in_one(&database).start().await;
    let ktw = Terminal::of(&server);
    let lines = [
        r#"{"event_type": "config.updated", "data": {}, "idempotency_key": "a"}"#,
        "{",
        "",
        r#"{"event_type": "nothing.known", "data": {}}"#,
        r#"{"event_type": "config.updated", "data": {}, "idempotency_key": "a"}"#,
        r#"{"event_type": "config.updated", "data": {"n": 1}, "idempotency_key": "a"}"#,
    ];
    let file = ktw.file("events.ndjson", &lines.join("\n"));
    let (status, output) = ktw.run(&["publish", "--ndjson", &file, "--output", "json"]).await;
    assert_eq!(status, 9, "{output}");
    let told: Vec<Value> =
        output.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    let told_of: Vec<_> = told.iter().map(|line| &line["line"]).collect();
    assert_eq!(told_of, [1, 2, 4, 5, 6], "{output}");
    let codes: Vec<_> = told.iter().map(|line| &line["error"]["code"]).collect();
    let wrong = json!("INVALID_ARGUMENT");
    assert_eq!(codes, [&Value::Null, &wrong, &wrong, &Value::Null, &json!("ALREADY_EXISTS")]);
    assert_eq!(told[0]["event_id"], told[3]["event_id"]);
    assert_eq!((&told[0]["duplicate"], &told[3]["duplicate"]), (&false.into(), &true.into()));
}

#[tokio::test]
async fn publishing_that_is_interrupted_says_what_was_acknowledged() {
    let database = Database::new(Backend::Sqlite).await;
    let server = Server::all_in_one(&database).start().await;
    let ktw = Terminal::of(&server);
    // Nobody writes the rest: reading waits.
    let pipe = ktw.home.path().join("pipe");
    let made = Command::new("mkfifo").arg(&pipe).status().expect("it runs");
    assert!(made.success(), "a pipe");
    let pipe = pipe.display().to_string();
    let mut publishing =
        ktw.start(&["publish", "config.updated", "--ndjson", &pipe, "--output", "json"]);
    let opened = tokio::task::spawn_blocking(move || std::fs::File::create(pipe));
    let mut writer = opened.await.expect("a task").expect("opened");
    writer.write_all(b"{}\n{}\n").expect("written");
    publishing.wait_for_line(|line| line.contains(r#""line":2"#), PATIENCE).await;
    publishing.signal(Signal::Int);
    let status = publishing.wait_exit(PATIENCE).await;
    let output = publishing.output();
    assert_eq!(status.code(), Some(130), "{output}");
    assert!(output.contains("2 accepted, 0 known before, 0 refused"), "{output}");
}
