//! Payload formats: what receivers of each format get, its signature, what is stored of it, and how
//! a failing template is repaired.

#[path = "../../../../crates/formats/tests/vendors/mod.rs"]
mod vendors;

use crate::platform::{
    Backend, Client, Database, Endpoint, PATIENCE, Server, on_both_backends, seen_at, watched,
};
use keeptrusts_webhooks_contracts::v1;
use keeptrusts_webhooks_contracts::v1::{PayloadFormat, delivery};
use keeptrusts_webhooks_testkit::receiver::{ReceivedRequest, Receiver, Reply, Script};
use keeptrusts_webhooks_testkit::verify;
use prost_types::FieldMask;
use tonic::{Code, Status};
use tonic_types::StatusExt;

on_both_backends! {
    invariant_10_a_routing_key_is_nowhere_but_at_its_receiver,
}

const ROUTING_KEY: &str = "R0PLANTEDabcdef0123456789ABCDEFG";
const DATA: &str = r#"{ "policy":"pii", "count":3, "matches":[{"type":"us_ssn"}] }"#;
const TEMPLATE: &str = r#"{"text": {{ "Policy " ~ data.policy ~ " in " ~ organization_id }}}"#;

fn endpoint_of(receiver: &Receiver, format: PayloadFormat) -> v1::Endpoint {
    let (template, key) = match format {
        PayloadFormat::Custom => (TEMPLATE, ""),
        PayloadFormat::Pagerduty => ("", ROUTING_KEY),
        _ => ("", ""),
    };
    v1::Endpoint {
        display_name: format.as_str_name().to_owned(),
        url: receiver.url(&format!("/{}", format.as_str_name())),
        event_types: vec!["policy.violation".to_owned()],
        payload_format: format.into(),
        payload_template: template.to_owned(),
        routing_key: key.to_owned(),
        ..Default::default()
    }
}

async fn try_create(
    client: &Client,
    endpoint: v1::Endpoint,
) -> Result<v1::CreateEndpointResponse, Status> {
    let (organization_id, endpoint) = (client.organization(), Some(endpoint));
    let request = v1::CreateEndpointRequest { organization_id, endpoint, ..Default::default() };
    Ok(client.endpoints().create_endpoint(request).await?.into_inner())
}

async fn create(client: &Client, endpoint: v1::Endpoint) -> Endpoint {
    let created = try_create(client, endpoint).await.expect("it is created");
    let v1::CreateEndpointResponse { endpoint, secret, .. } = created;
    Endpoint { id: endpoint.expect("an endpoint").id, secret }
}

async fn update(
    client: &Client,
    endpoint: v1::Endpoint,
    paths: &[&str],
) -> Result<v1::Endpoint, tonic::Status> {
    let paths = paths.iter().map(|path| (*path).to_owned()).collect();
    let request = v1::UpdateEndpointRequest {
        organization_id: client.organization(),
        endpoint: Some(endpoint),
        update_mask: Some(FieldMask { paths }),
        ..Default::default()
    };
    let updated = client.endpoints().update_endpoint(request).await?;
    Ok(updated.into_inner().endpoint.expect("an endpoint"))
}

/// Checks which field is at fault, and that there is a description.
#[track_caller]
fn assert_wrong<T: std::fmt::Debug>(answer: Result<T, Status>, field: &str) {
    let status = answer.expect_err("it is refused");
    assert_eq!(status.code(), Code::InvalidArgument, "{status}");
    let details = status.get_details_bad_request().expect("fields at fault").field_violations;
    let fields: Vec<_> = details.iter().map(|violation| violation.field.as_str()).collect();
    assert_eq!(fields, [field], "{status}");
    assert!(details[0].description.len() > 10, "{status}");
}

fn every_format() -> Vec<PayloadFormat> {
    // The numbers of the enum have no gap. 0: unspecified.
    (1..).map_while(|number| PayloadFormat::try_from(number).ok()).collect()
}

fn text(request: &ReceivedRequest) -> &str {
    std::str::from_utf8(&request.body).expect("UTF-8")
}

#[tokio::test(flavor = "multi_thread")]
async fn each_format_arrives_as_its_receiver_understands_it_and_signed_as_it_arrives() {
    let receiver = Receiver::start(Script::default());
    let database = Database::new(Backend::Sqlite).await;
    let server = Server::all_in_one(&database).delivering_to(&receiver).start().await;
    let client = server.client("acme");
    let formats = every_format();
    let mut endpoints = Vec::new();
    for format in formats.iter().copied() {
        endpoints.push(create(&client, endpoint_of(&receiver, format)).await);
    }
    let event_id = client.publish("policy.violation", DATA).await;
    let received = receiver.wait_for(formats.len(), PATIENCE).await;

    for (format, endpoint) in formats.into_iter().zip(&endpoints) {
        let path = format!("/{}", format.as_str_name());
        let mut of_format = received.iter().filter(|request| request.path == path);
        let request = of_format.next().expect("its request");
        let content_type = request.header("content-type").expect("a content type");
        verify::assert_signed(&endpoint.secret, std::slice::from_ref(request));
        match format {
            PayloadFormat::Slack => vendors::slack::check(&request.body),
            PayloadFormat::Teams => vendors::teams::check(&request.body),
            PayloadFormat::Pagerduty => {
                vendors::pagerduty::check(&request.body);
                assert!(text(request).contains(ROUTING_KEY) && text(request).contains(&event_id));
            }
            PayloadFormat::Cloudevents => {
                vendors::cloudevents::check(&request.body, content_type);
                assert!(text(request).contains(DATA), "byte for byte: {}", text(request));
            }
            PayloadFormat::Custom => assert_eq!(text(request), r#"{"text": "Policy pii in acme"}"#),
            _ => assert!(text(request).ends_with(&format!(r#""data":{DATA}}}"#))),
        }
        if format != PayloadFormat::Cloudevents {
            assert_eq!(content_type, "application/json");
        }
        let exact = request.header("x-keeptrusts-event-time").expect("the exact time");
        let whole = format!("{}Z", &exact[.."2026-04-23T10:30:00".len()]);
        let form = if format == PayloadFormat::Cloudevents { exact } else { whole.as_str() };
        assert!(
            text(request).contains(form) || format == PayloadFormat::Custom,
            "{form} is not in {}",
            text(request)
        );
        let delivery_id = request.header("x-keeptrusts-delivery").expect("a delivery");
        let shown = crate::platform::eventually("the attempt is recorded", async || {
            client.delivery(delivery_id).await.attempts.pop()
        })
        .await;
        let sent = text(request).replace(ROUTING_KEY, &"*".repeat(32));
        assert_eq!(shown.request_body, sent, "what was sent, without the key");

        // A test is an event like others, and comes in the endpoint's format.
        for event_type in ["webhook.test", "policy.violation"] {
            let test = v1::SendTestRequest {
                organization_id: client.organization(),
                endpoint_id: endpoint.id.clone(),
                event_type: event_type.to_owned(),
                ..Default::default()
            };
            client.dispatch().send_test(test).await.expect("it is sent");
            let requests = receiver.requests();
            let mut newest_first = requests.iter().rev();
            let test = newest_first.find(|request| request.path == path).expect("the test");
            assert_eq!(test.header("x-keeptrusts-event"), Some(event_type));
            let ours = format!(r#"{{"event":"{event_type}""#);
            let is_ours = text(test).starts_with(&ours);
            assert_eq!(is_ours, format == PayloadFormat::Keeptrusts, "{}", text(test));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failing_template_fails_the_attempt_and_a_retry_after_its_repair_succeeds() {
    let receiver = Receiver::start(Script::default());
    let database = Database::new(Backend::Sqlite).await;
    let server = Server::all_in_one(&database).delivering_to(&receiver);
    let server = server.retrying_after("1h").start().await;
    let client = server.client("acme");
    // Works for the sample, which has no count, and fails for this event.
    let template = "{\n\"count\": {{ data.count|int }}}";
    let request = v1::Endpoint {
        payload_template: template.to_owned(),
        ..endpoint_of(&receiver, PayloadFormat::Custom)
    };
    let endpoint = create(&client, request).await;
    let event_id = client.publish("policy.violation", r#"{"count":"a few"}"#).await;
    let failed = client.wait_for_state(&event_id, delivery::State::Retrying).await;
    let [attempt] = &failed.attempts[..] else { panic!("one attempt: {failed:?}") };
    let told = "nothing was sent, because the payload cannot be made: the template fails in line 2";
    assert!(attempt.error.starts_with(told), "{}", attempt.error);
    assert_eq!((attempt.status_code, attempt.request_body.as_str()), (0, ""));
    assert_eq!(receiver.request_count(), 0, "nothing was sent");

    let repaired = v1::Endpoint {
        id: endpoint.id.clone(),
        payload_template: r#"{"count": {{ data.count }}}"#.to_owned(),
        ..Default::default()
    };
    update(&client, repaired, &["payload_template"]).await.expect("it is repaired");
    let retry = v1::RetryDeliveryRequest {
        organization_id: client.organization(),
        delivery_id: failed.id.clone(),
        ..Default::default()
    };
    client.dispatch().retry_delivery(retry).await.expect("it is retried");
    let delivered = client.wait_for_state(&event_id, delivery::State::Delivered).await;
    assert_eq!(delivered.attempts[1].request_body, r#"{"count": "a few"}"#);
    let received = receiver.requests();
    assert_eq!(text(&received[0]), r#"{"count": "a few"}"#);
    verify::assert_signed(&endpoint.secret, &received);
}

/// As costly as the limit of steps permits.
const COSTLY: &str = "{% for x in data.l %}{% if data.m|json_text == x %}1{% endif %}{% endfor %}1";

fn costly_data() -> String {
    let list = (0..12_000).map(|index| index.to_string()).collect::<Vec<_>>().join(",");
    format!(r#"{{"m":[{list}],"l":[{list}]}}"#)
}

fn costly_preview(client: &Client) -> v1::PreviewPayloadRequest {
    v1::PreviewPayloadRequest {
        organization_id: client.organization(),
        payload_format: PayloadFormat::Custom.into(),
        payload_template: COSTLY.to_owned(),
        event_type: "policy.violation".to_owned(),
        data_json: costly_data(),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn previews_beyond_the_limit_are_counted_and_logged() {
    let database = Database::new(Backend::Sqlite).await;
    let (server, url) = watched(Server::all_in_one(&database)).await;
    let client = server.client("acme");
    let preview = costly_preview(&client);
    let mut previews = tokio::task::JoinSet::new();
    for _ in 0..60 {
        let (mut endpoints, preview) = (client.endpoints(), preview.clone());
        previews.spawn(async move { endpoints.preview_payload(preview).await });
    }
    let answers = previews.join_all().await;
    let is_refused = |answer: &Result<_, Status>| {
        let details = answer.as_ref().err().and_then(StatusExt::get_details_error_info);
        details.is_some_and(|info| info.reason == "OVERLOADED")
    };
    let refused = answers.iter().filter(|answer| is_refused(answer)).count();
    assert!(refused > 0, "60 came at once, and 17 have room");
    let (_, metrics) = seen_at(&url, "/metrics").await;
    let counted = metrics.lines().find(|line| {
        line.starts_with("keeptrusts_webhooks_requests_refused_total{")
            && line.contains(r#"what="renderings""#)
            && line.contains(r#"limit="share""#)
    });
    let counted = counted.unwrap_or_else(|| panic!("it is counted: {metrics}"));
    assert!(counted.ends_with(&format!(" {refused}")), "{counted}, and {refused} were refused");
    let is_told = |line: &str| {
        line.contains("requests are refused")
            && line.contains("renderings")
            && line.contains("acme")
    };
    server.process().wait_for_line(is_told, PATIENCE).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn invariant_8_costly_templates_fail_soon_and_delay_no_other_endpoint() {
    let receiver = Receiver::start(Script::default());
    let database = Database::new(Backend::Sqlite).await;
    let server = Server::all_in_one(&database).delivering_to(&receiver);
    let server = server.retrying_after("1h").start().await;
    let (costly, other) = (server.client("acme"), server.client("globex"));
    let data = costly_data();
    let endpoint = v1::Endpoint {
        payload_template: COSTLY.to_owned(),
        ..endpoint_of(&receiver, PayloadFormat::Custom)
    };
    create(&costly, endpoint).await;
    let preview = costly_preview(&costly);
    let mut previews = tokio::task::JoinSet::new();
    for _ in 0..10 {
        let (mut endpoints, preview) = (costly.endpoints(), preview.clone());
        previews.spawn(async move { endpoints.preview_payload(preview).await });
    }
    let mut event_ids = Vec::new();
    for _ in 0..3 {
        event_ids.push(costly.publish("policy.violation", &data).await);
    }

    create(&other, endpoint_of(&receiver, PayloadFormat::Custom)).await;
    other.publish("policy.violation", DATA).await;
    let received = receiver.wait_for(1, PATIENCE).await;
    assert_eq!(text(&received[0]), r#"{"text": "Policy pii in globex"}"#);

    while let Some(preview) = previews.join_next().await {
        let refused = preview.expect("no panic");
        assert_wrong(refused, "payload_template");
    }
    for event_id in event_ids {
        let failed = costly.wait_for_state(&event_id, delivery::State::Retrying).await;
        let [attempt] = &failed.attempts[..] else { panic!("one attempt: {failed:?}") };
        assert!(attempt.error.contains("too many steps"), "{}", attempt.error);
        assert_eq!(attempt.request_body, "");
    }
}

async fn invariant_10_a_routing_key_is_nowhere_but_at_its_receiver(backend: Backend) {
    // Some receivers echo what they were sent.
    let echo = |request: &ReceivedRequest| {
        let key = if text(request).contains(ROUTING_KEY) { ROUTING_KEY } else { "none" };
        Reply::status(400).with_header("x-routing-key", key).with_body(request.body.clone())
    };
    let receiver = Receiver::start(Script::new(echo));
    let database = Database::new(backend).await;
    let serve = Server::all_in_one(&database).delivering_to(&receiver).retrying_after("1h");
    let mut server = serve.flag("--log-level", "trace").start().await;
    let client = server.client("acme");
    let refused = v1::Endpoint {
        display_name: String::new(),
        ..endpoint_of(&receiver, PayloadFormat::Pagerduty)
    };
    let refused = try_create(&client, refused).await.expect_err("it has no name");
    assert!(!format!("{refused:?}").contains(ROUTING_KEY));
    let endpoint = create(&client, endpoint_of(&receiver, PayloadFormat::Pagerduty)).await;
    let shown = client.endpoint(&endpoint.id).await;
    assert!(shown.has_routing_key && !format!("{shown:?}").contains(ROUTING_KEY));

    let event_id = client.publish("policy.violation", DATA).await;
    let delivery = client.wait_for_state(&event_id, delivery::State::Retrying).await;
    let received = receiver.wait_for(1, PATIENCE).await;
    assert!(text(&received[0]).contains(ROUTING_KEY), "its receiver has it");
    let attempt = &delivery.attempts[0];
    let masked = text(&received[0]).replace(ROUTING_KEY, &"*".repeat(32));
    assert_eq!((&attempt.request_body, &attempt.response_body), (&masked, &masked));
    assert!(!format!("{delivery:?}").contains(ROUTING_KEY));

    server.kill().await;
    for (name, bytes) in database.content().await {
        for form in [ROUTING_KEY.to_owned(), hex::encode(ROUTING_KEY)] {
            let found = bytes.windows(form.len()).any(|part| part == form.as_bytes());
            assert!(!found, "{name} has the key");
        }
    }
    let logs = server.process().output();
    assert!(logs.contains("TRACE"), "the logs are detailed");
    assert!(!logs.contains(ROUTING_KEY), "a log line has the key");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_template_is_tried_with_the_event_types_of_the_endpoint_that_results() {
    let receiver = Receiver::start(Script::default());
    let database = Database::new(Backend::Sqlite).await;
    let server = Server::all_in_one(&database).start().await;
    let client = server.client("acme");
    let custom = |template: &str| v1::Endpoint {
        payload_template: template.to_owned(),
        ..endpoint_of(&receiver, PayloadFormat::Custom)
    };
    let refused = try_create(&client, custom("{{ data }} {}")).await;
    assert_wrong(refused, "endpoint.payload_template");
    let only_violations =
        r#"{% if event == "policy.violation" %}1{% elif event == "webhook.test" %}2{% endif %}"#;
    let endpoint = create(&client, custom(only_violations)).await;
    let with = |change: v1::Endpoint| v1::Endpoint { id: endpoint.id.clone(), ..change };
    let more =
        with(v1::Endpoint { event_types: vec!["policy.block".to_owned()], ..Default::default() });
    let refused = update(&client, more, &["event_types"]).await;
    assert_wrong(refused, "endpoint.payload_template");
    let alert = with(v1::Endpoint {
        payload_format: PayloadFormat::Pagerduty.into(),
        ..Default::default()
    });
    let refused = update(&client, alert, &["payload_format"]).await;
    assert_wrong(refused, "endpoint.routing_key");
    let before = client.endpoint(&endpoint.id).await;
    let slack =
        with(v1::Endpoint { payload_format: PayloadFormat::Slack.into(), ..Default::default() });
    let slack = update(&client, slack, &["payload_format"]).await.expect("it needs nothing");
    assert_eq!(
        (slack.payload_format(), slack.payload_template.as_str()),
        (PayloadFormat::Slack, "")
    );
    assert_ne!(slack.etag, before.etag);

    let preview = v1::PreviewPayloadRequest {
        organization_id: client.organization(),
        payload_format: PayloadFormat::Pagerduty.into(),
        event_type: "key.revoked".to_owned(),
        ..Default::default()
    };
    let preview = client.endpoints().preview_payload(preview).await.expect("it is shown");
    let preview = preview.into_inner();
    vendors::pagerduty::check(preview.body.as_bytes());
    assert!(preview.body.contains(&"*".repeat(32)) && preview.body.contains("gk_8790"));
    assert_eq!(preview.size_bytes, i64::try_from(preview.body.len()).expect("small"));
}
