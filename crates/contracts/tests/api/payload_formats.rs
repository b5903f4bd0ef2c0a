use keeptrusts_webhooks_contracts::api::{CreateEndpoint, PreviewPayload, UpdateEndpoint};
use keeptrusts_webhooks_contracts::v1;
use keeptrusts_webhooks_domain::payload_format::{
    PayloadFormat, PayloadKind, PayloadPatch, RoutingKey,
};
use prost_types::FieldMask;

use crate::{endpoint_id, wrong_fields};

const KEY: &str = "0123456789abcdef0123456789ABCDEF";

fn create(format: v1::PayloadFormat, template: &str, key: &str) -> v1::CreateEndpointRequest {
    v1::CreateEndpointRequest {
        organization_id: "default".to_owned(),
        endpoint: Some(v1::Endpoint {
            display_name: "alerts".to_owned(),
            url: "https://events.pagerduty.com/v2/enqueue".to_owned(),
            event_types: vec!["policy.block".to_owned()],
            payload_format: format.into(),
            payload_template: template.to_owned(),
            routing_key: key.to_owned(),
            ..v1::Endpoint::default()
        }),
        ..Default::default()
    }
}

fn created(format: v1::PayloadFormat, template: &str, key: &str) -> PayloadFormat<RoutingKey> {
    CreateEndpoint::try_from(create(format, template, key)).expect("right").config.payload_format
}

#[test]
fn a_new_endpoint_has_the_given_format_or_by_default_ours() {
    use v1::PayloadFormat as Format;
    assert_eq!(created(Format::Unspecified, "", ""), PayloadFormat::Keeptrusts);
    assert_eq!(created(Format::Teams, "", ""), PayloadFormat::Teams);
    let template = "{{ data }}".to_owned();
    assert_eq!(created(Format::Custom, &template, ""), PayloadFormat::Custom { template });
    let alert = created(Format::Pagerduty, "", KEY);
    assert_eq!(alert.routing_key().expect("a key").secret().expose(), KEY);
    for (format, template, key, field) in [
        (Format::Custom, "", "", "endpoint.payload_template"),
        (Format::Slack, "{}", "", "endpoint.payload_template"),
        (Format::Unspecified, "{}", "", "endpoint.payload_template"),
        (Format::Pagerduty, "", "", "endpoint.routing_key"),
        (Format::Pagerduty, "", "0123", "endpoint.routing_key"),
        (Format::Slack, "", KEY, "endpoint.routing_key"),
    ] {
        let wrong = CreateEndpoint::try_from(create(format, template, key));
        assert_eq!(wrong_fields(wrong), [field], "{format:?}");
    }
}

fn update(
    paths: &[&str],
    format: v1::PayloadFormat,
    template: &str,
    key: &str,
) -> v1::UpdateEndpointRequest {
    let endpoint = v1::Endpoint {
        id: endpoint_id().to_string(),
        display_name: "new".to_owned(),
        url: "https://new.example/".to_owned(),
        event_types: vec!["policy.block".to_owned()],
        payload_format: format.into(),
        payload_template: template.to_owned(),
        routing_key: key.to_owned(),
        ..Default::default()
    };
    let paths = paths.iter().map(|path| (*path).to_owned()).collect();
    v1::UpdateEndpointRequest {
        organization_id: "default".to_owned(),
        endpoint: Some(endpoint),
        update_mask: Some(FieldMask { paths }),
        ..Default::default()
    }
}

fn updated(request: v1::UpdateEndpointRequest) -> PayloadPatch<RoutingKey> {
    UpdateEndpoint::try_from(request).expect("right").patch.payload_format.unwrap_or_default()
}

#[test]
fn an_update_changes_the_parts_of_the_format_that_its_mask_names() {
    use v1::PayloadFormat as Format;
    assert_eq!(
        updated(update(&["display_name"], Format::Slack, "{}", KEY)),
        PayloadPatch::default()
    );
    let kind = updated(update(&["payload_format"], Format::Slack, "{}", KEY));
    let slack = PayloadPatch { kind: Some(PayloadKind::Slack), ..PayloadPatch::default() };
    assert_eq!(kind, slack);
    let emptied = updated(update(&["payload_template"], Format::Slack, "", ""));
    assert_eq!(emptied.template.as_deref(), Some(""));
    assert!(updated(update(&["routing_key"], Format::Slack, "", KEY)).routing_key.is_some());
    let wrong = update(&["payload_format", "routing_key"], Format::Unspecified, "", "");
    let wrong = UpdateEndpoint::try_from(wrong);
    assert_eq!(wrong_fields(wrong), ["endpoint.payload_format", "endpoint.routing_key"]);
}

#[test]
fn a_star_replaces_the_format_if_one_is_given_and_never_the_routing_key() {
    use v1::PayloadFormat as Format;
    let unknown = updated(update(&["*"], Format::Unspecified, "", KEY));
    assert_eq!(unknown, PayloadPatch::default(), "of clients that know no formats");
    let alert = updated(update(&["*"], Format::Pagerduty, "", KEY));
    assert_eq!((alert.kind, alert.routing_key), (Some(PayloadKind::PagerDuty), None));
    let custom = updated(update(&["*"], Format::Custom, "{}", ""));
    assert_eq!(custom.template.as_deref(), Some("{}"));
    // Without a mask it is as with a star, and the key that is given is meant.
    assert!(updated(update(&[], Format::Pagerduty, "", KEY)).routing_key.is_some());
}

#[test]
fn a_preview_takes_a_format_a_type_and_data_and_no_key() {
    let request = |format: v1::PayloadFormat, event_type: &str, data: &str| {
        PreviewPayload::try_from(v1::PreviewPayloadRequest {
            organization_id: "default".to_owned(),
            payload_format: format.into(),
            payload_template: String::new(),
            event_type: event_type.to_owned(),
            data_json: data.to_owned(),
        })
    };
    let right = request(v1::PayloadFormat::Pagerduty, "webhook.test", "").expect("right");
    assert_eq!(right.payload_format, PayloadFormat::PagerDuty { routing_key: () });
    assert_eq!(right.data, None);
    assert!(request(v1::PayloadFormat::Slack, "policy.block", "{}").expect("right").data.is_some());
    let wrong = request(v1::PayloadFormat::Custom, "policy.blocked", "[]");
    assert_eq!(wrong_fields(wrong), ["payload_template", "event_type", "data_json"]);
}
