//! Payloads follow the vendors' documented rules, whatever an event's data is.

use keeptrusts_webhooks_domain::body::EventData;
use keeptrusts_webhooks_domain::event_type::EventType;
use keeptrusts_webhooks_domain::ids::{EventId, OrganizationId};
use keeptrusts_webhooks_domain::json::{self, Json};
use keeptrusts_webhooks_domain::limits::{MAX_DATA_BYTES, MAX_DATA_DEPTH, MAX_PAYLOAD_DEPTH};
use keeptrusts_webhooks_domain::payload_format::{PayloadFormat, RoutingKey};
use keeptrusts_webhooks_formats::{Formatter, Interrupt, Payload, PayloadEvent, sample_event};
use proptest::prelude::*;
use serde_json::Value;
use serde_json::value::RawValue;
use ulid::Ulid;

mod vendors;

use vendors::{cloudevents, pagerduty, slack, teams};

const ROUTING_KEY: &str = "R0123456789abcdef0123456789ABCDE";

fn organization() -> OrganizationId {
    "acme".parse().expect("valid")
}

fn payload(format: PayloadFormat<()>, event: &PayloadEvent<'_>) -> Payload {
    let key = RoutingKey::new("routing_key", ROUTING_KEY.to_owned()).expect("a key");
    let formatter = Formatter::compile(&format).expect("a format");
    let payload = formatter.render(event, Some(&key), &Interrupt::default()).expect("a payload");
    let again = formatter.render(event, Some(&key), &Interrupt::default()).expect("a payload");
    assert_eq!(payload, again, "the same event gives the same bytes");
    let body = std::str::from_utf8(&payload.body).expect("UTF-8");
    assert_eq!(json::check(body, MAX_PAYLOAD_DEPTH), Ok(()), "{format:?} of {event:?}");
    payload
}

fn check_all(event: &PayloadEvent<'_>) {
    slack::check(&payload(PayloadFormat::Slack, event).body);
    teams::check(&payload(PayloadFormat::Teams, event).body);
    let alert = payload(PayloadFormat::PagerDuty { routing_key: () }, event);
    pagerduty::check(&alert.body);
    let masked = String::from_utf8(alert.masked()).expect("UTF-8");
    assert!(!masked.contains(ROUTING_KEY), "{masked}");
    assert_eq!(masked.len(), alert.body.len());
    assert_eq!(masked.replace(&"*".repeat(32), ROUTING_KEY).as_bytes(), alert.body);
    let cloud_event = payload(PayloadFormat::CloudEvents, event);
    cloudevents::check(&cloud_event.body, cloud_event.content_type);
    let text = String::from_utf8(cloud_event.body).expect("UTF-8");
    assert!(text.ends_with(&format!(r#""data":{}}}"#, event.data.get())), "byte for byte");
    let template = r#"{"type":{{ event }},"of":{{ data }}}"#.to_owned();
    let custom = String::from_utf8(payload(PayloadFormat::Custom { template }, event).body);
    let custom = custom.expect("UTF-8");
    let start = format!(r#"{{"type":"{}","of":"#, event.event_type);
    let data = custom.strip_prefix(&start).and_then(|rest| rest.strip_suffix('}'));
    let data = data.unwrap_or_else(|| panic!("{custom}"));
    assert_eq!(data, plain(event.data.get()), "numbers as they were written, and in their order");
}

/// The same JSON without white space, with every string escaped in the same way.
fn plain(text: &str) -> String {
    let made = json::read(text, |text, json: Json<'_, String>| match json {
        Json::Null | Json::Boolean(_) | Json::Number => text.to_owned(),
        Json::String(string) => Value::from(string).to_string(),
        Json::Array(elements) => format!("[{}]", elements.join(",")),
        Json::Object(members) => {
            let member =
                |it: &json::Member<'_, String>| format!("{}:{}", Value::from(&*it.name), it.value);
            format!("{{{}}}", members.iter().map(member).collect::<Vec<_>>().join(","))
        }
    });
    made.unwrap_or_else(|error| panic!("{text} {error}"))
}

#[test]
fn every_sample_follows_the_vendors_rules() {
    let organization = organization();
    for event_type in EventType::ALL.iter().copied().chain([EventType::Test]) {
        check_all(&sample_event(&organization, event_type));
    }
}

/// JSON with difficult texts: control characters, Markdown, mentions, characters of four bytes.
fn json() -> impl Strategy<Value = Value> {
    let text = prop_oneof![
        "[ -~]{0,40}",
        "[\\x00-\\x1f<>&*_`\\[\\]()|\"\\\\\u{80}-\u{10ffff}]{0,600}",
        "[語🙂]{0,3000}",
        Just("<!channel> [a](https://b) ``` ".repeat(40)),
    ];
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        text.prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 20, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::hash_map("[ -~é\\n]{0,200}", inner, 0..6)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, max_shrink_iters: 100, ..ProptestConfig::default() })]

    #[test]
    fn any_data_follows_the_vendors_rules(
        members in prop::collection::hash_map("[ -~é\\n]{0,200}", json(), 0..24),
        ulid in any::<u128>(),
        kind in 0..EventType::ALL.len(),
        seconds in -60_000_000_000_i64..250_000_000_000,
    ) {
        let object = Value::Object(members.into_iter().collect()).to_string();
        prop_assume!(object.len() <= MAX_DATA_BYTES);
        let data: &RawValue = serde_json::from_str(&object).expect("JSON");
        let organization = "x".repeat(64).parse().expect("valid");
        check_all(&PayloadEvent {
            id: EventId::new(Ulid(ulid)),
            organization_id: &organization,
            event_type: EventType::ALL[kind],
            time: keeptrusts_webhooks_domain::Timestamp::from_second(seconds).expect("in range"),
            data,
        });
    }
}

/// JSON as text, with what a library's values cannot express: numbers of any size and precision, every
/// escape, and sometimes invalid JSON.
fn json_text() -> impl Strategy<Value = String> {
    let number = r"-?(0|[1-9][0-9]{0,30})(\.[0-9]{1,20})?([eE][+-]?[0-9]{1,9})?";
    let string = r#""([ -!#-\[\]-~é🙂]|\\u[0-9a-fA-F]{4}|\\[nrtbf/"\\]){0,20}""#;
    let words =
        prop_oneof![Just("null".to_owned()), Just("true".to_owned()), Just("01".to_owned())];
    let leaf = prop_oneof![10 => number, 10 => string, 2 => words];
    leaf.prop_recursive(4, 30, 6, move |inner| {
        let member = (string, inner.clone()).prop_map(|(name, value)| format!("{name} : {value}"));
        prop_oneof![
            prop::collection::vec(inner, 0..6)
                .prop_map(|items| format!("[{}]", items.join(" ,\n"))),
            prop::collection::vec(member, 0..6)
                .prop_map(|items| format!("{{{}}}", items.join(","))),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, max_shrink_iters: 200, ..ProptestConfig::default() })]

    #[test]
    fn what_is_accepted_is_rendered_in_every_format(value in json_text(), kind in 0..EventType::ALL.len()) {
        let text = format!("{{\"a\":{value}}}");
        let Ok(data) = EventData::new("data_json", &text) else {
            // Not accepted, so no format has to read it.
            return Ok(());
        };
        let data: &RawValue = serde_json::from_str(data.as_str()).expect("JSON");
        let organization = organization();
        check_all(&PayloadEvent { data, ..sample_event(&organization, EventType::ALL[kind]) });
    }
}

#[test]
fn the_largest_data_follows_the_vendors_rules() {
    let (organization, sizes) = (organization(), MAX_DATA_BYTES - 20);
    let names: String = (0..sizes / 11).map(|index| format!("\"{index:06}\":1,")).collect();
    let many = format!("{{{names}\"z\":0}}");
    let depth = MAX_DATA_DEPTH - 1;
    let deep = format!("{{\"a\":{}{}}}", "[".repeat(depth), "]".repeat(depth));
    let wide = format!("{{\"a\":[{}0]}}", "[],".repeat(sizes / 3));
    let controls = format!("{{\"a\":\"{}\"}}", "\\u0001".repeat(sizes / 6));
    let long = format!("{{\"severity\":\"{}\",\"Severity\":1}}", "語".repeat(sizes / 4));
    let digits = format!("{{\"a\":{}}}", "1".repeat(sizes));
    let pairs = format!("{{\"a\":\"{}\"}}", "\\ud83d\\ude42".repeat(sizes / 12));
    for data in [many, deep, wide, controls, long, digits, pairs] {
        let accepted = EventData::new("data_json", &data).expect("it is accepted");
        let data: &RawValue = serde_json::from_str(accepted.as_str()).expect("JSON");
        check_all(&PayloadEvent {
            data,
            ..sample_event(&organization, EventType::PolicyViolation)
        });
    }
}

/// The texts in which Slack interprets mentions, links and formatting.
fn texts_that_are_read<'a>(value: &'a Value, found: &mut Vec<&'a str>) {
    match value {
        Value::Object(fields) if fields.get("type").is_some_and(|kind| kind == "mrkdwn") => {
            found.extend(fields["text"].as_str());
        }
        Value::Object(fields) => {
            fields.values().for_each(|field| texts_that_are_read(field, found));
        }
        Value::Array(items) => items.iter().for_each(|item| texts_that_are_read(item, found)),
        _ => {}
    }
}

#[test]
fn data_can_neither_mention_anybody_nor_hide_a_link() {
    let data = r#"{"a":"<!channel> <https://evil.example|good>","b":"[good](https://evil.example)","c":["```","<!here>"]}"#;
    let data: &RawValue = serde_json::from_str(data).expect("JSON");
    let organization = organization();
    let event = PayloadEvent { data, ..sample_event(&organization, EventType::PolicyViolation) };
    let slack = String::from_utf8(payload(PayloadFormat::Slack, &event).body).expect("UTF-8");
    assert_eq!(slack.matches("```").count(), 2, "{slack}");
    let message: Value = serde_json::from_str(&slack).expect("JSON");
    let mut read = Vec::new();
    texts_that_are_read(&message["blocks"], &mut read);
    for text in read {
        let ours = text.starts_with("<!date^") || !text.contains('<');
        assert!(
            ours && !text.contains("good"),
            "data is plain, or escaped in a code block: {text}"
        );
    }
    assert!(slack.contains("<https://evil.example|good>"), "as it is: {slack}");
    let teams = String::from_utf8(payload(PayloadFormat::Teams, &event).body).expect("UTF-8");
    assert!(!teams.contains("](https"), "{teams}");
}
