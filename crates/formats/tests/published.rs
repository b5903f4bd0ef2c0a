//! Checks payloads with what vendors publish: Slack's and PagerDuty's types, the CloudEvents SDK, and
//! the schema of Adaptive Cards. `limits.rs` checks the limits that are not in these.

use std::fs;
use std::path::Path;
use std::process::Command;

use keeptrusts_webhooks_domain::event_type::EventType;
use keeptrusts_webhooks_domain::ids::OrganizationId;
use keeptrusts_webhooks_domain::payload_format::{PayloadFormat, RoutingKey};
use keeptrusts_webhooks_formats::{
    CLOUDEVENTS_CONTENT_TYPE, Formatter, Interrupt, PayloadEvent, sample_event,
};
use keeptrusts_webhooks_testkit::tools;
use serde_json::Value;
use serde_json::value::RawValue;

/// The bodies of every sample, and of data with each kind of JSON.
fn bodies(format: PayloadFormat<()>) -> Vec<String> {
    let organization: OrganizationId = "acme".parse().expect("valid");
    let formatter = Formatter::compile(&format).expect("a format");
    let key = RoutingKey::new("routing_key", "0123456789abcdef0123456789ABCDEF".to_owned());
    let key = key.expect("a key");
    let rendered = |event: PayloadEvent<'_>| {
        let payload =
            formatter.render(&event, Some(&key), &Interrupt::default()).expect("a payload");
        String::from_utf8(payload.body).expect("UTF-8")
    };
    let samples = EventType::ALL.iter().copied().chain([EventType::Test]);
    let mut bodies: Vec<_> =
        samples.map(|event_type| rendered(sample_event(&organization, event_type))).collect();
    for data in ["{}", r#"{"a":null,"b":true,"c":-1.5e3,"d":"","e":{},"f":[{"":"<&>"}]}"#] {
        let data: &RawValue = serde_json::from_str(data).expect("JSON");
        let event =
            PayloadEvent { data, ..sample_event(&organization, EventType::PolicyViolation) };
        bodies.push(rendered(event));
    }
    bodies
}

/// Runs a checker, and shows its output if it fails.
fn run(command: &mut Command) {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let said = [output.stdout, output.stderr].concat();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&said));
}

/// A literal of TypeScript may have no member that its type lacks.
fn assert_typed(import: &str, of_type: &str, bodies: &[String]) {
    let folder = tempfile::tempdir().expect("a folder");
    let constants = bodies
        .iter()
        .enumerate()
        .map(|(index, body)| format!("export const body{index}: {of_type} = {body};\n"));
    let source: String = [format!("{import}\n")].into_iter().chain(constants).collect();
    let file = folder.path().join("bodies.ts");
    fs::write(&file, source).expect("it is written");
    let modules = tools::node_modules();
    let link = folder.path().join("node_modules");
    std::os::unix::fs::symlink(modules.canonicalize().expect("a folder"), link).expect("a link");
    let compiler = modules.join("typescript/bin/tsc");
    let flags = ["--noEmit", "--strict", "--skipLibCheck", "--module", "commonjs"];
    run(Command::new("node").arg(absolute(&compiler)).args(flags).arg(&file).current_dir(&folder));
}

fn absolute(path: &Path) -> std::path::PathBuf {
    path.canonicalize().expect("it is there")
}

#[test]
fn slack_bodies_are_of_slacks_own_types() {
    let message = "{ text: string; blocks: KnownBlock[] }";
    let import = r#"import type { KnownBlock } from "@slack/types";"#;
    assert_typed(import, message, &bodies(PayloadFormat::Slack));
}

#[test]
fn pagerduty_bodies_are_of_pagerdutys_own_types() {
    let without_client = |body: String| {
        // Documented, and missing in the types: https://developer.pagerduty.com/docs/send-alert-event
        let mut alert: Value = serde_json::from_str(&body).expect("JSON");
        assert!(alert.as_object_mut().expect("an object").remove("client").is_some());
        alert.to_string()
    };
    let bodies: Vec<_> = bodies(PayloadFormat::PagerDuty { routing_key: () });
    let bodies: Vec<_> = bodies.into_iter().map(without_client).collect();
    let import = r#"import type { EventPayloadV2 } from "@pagerduty/pdjs/build/src/events";"#;
    assert_typed(import, "EventPayloadV2", &bodies);
}

#[test]
fn teams_cards_are_valid_by_the_schema_of_adaptive_cards() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("bodies.json");
    let bodies = bodies(PayloadFormat::Teams).join(",");
    fs::write(&file, format!("[{bodies}]")).expect("it is written");
    run(Command::new(tools::python())
        .args(["-W", "ignore", "-c", include_str!("published/cards.py")])
        .arg(&file));
}

#[test]
fn cloud_events_are_read_by_the_cloudevents_sdk() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("bodies.json");
    let bodies = bodies(PayloadFormat::CloudEvents);
    fs::write(&file, serde_json::to_string(&bodies).expect("JSON")).expect("it is written");
    run(Command::new("node")
        .args(["-e", include_str!("published/cloudevents.js")])
        .env("NODE_PATH", absolute(&tools::node_modules()))
        .env("BODIES", &file)
        .env("CONTENT_TYPE", CLOUDEVENTS_CONTENT_TYPE));
}
