use std::time::Duration;

use keeptrusts_webhooks_contracts::api::{
    CreateEndpoint, DeleteEndpoint, DisableEndpoint, EndpointRef, ListEndpoints, ListEventTypes,
    RotateSecret, UpdateEndpoint,
};
use keeptrusts_webhooks_contracts::v1;
use keeptrusts_webhooks_domain::endpoint::EffectiveEndpointState;
use keeptrusts_webhooks_domain::event_type::EventType;
use keeptrusts_webhooks_domain::ids::EndpointId;
use prost_types::FieldMask;

use crate::{endpoint_id, wrong_fields};

const SECRET: &str = "0123456789abcdef";

fn create() -> v1::CreateEndpointRequest {
    v1::CreateEndpointRequest {
        organization_id: "default".to_owned(),
        endpoint: Some(v1::Endpoint {
            display_name: "siem".to_owned(),
            url: "https://siem.example/in".to_owned(),
            event_types: vec!["user.invited".to_owned(), "policy.block".to_owned()],
            ..v1::Endpoint::default()
        }),
        ..Default::default()
    }
}

/// An update of everything, without a mask.
fn update() -> v1::UpdateEndpointRequest {
    let endpoint = v1::Endpoint {
        id: endpoint_id().to_string(),
        display_name: "new".to_owned(),
        url: "https://new.example/".to_owned(),
        description: "notes".to_owned(),
        event_types: vec!["policy.block".to_owned()],
        etag: "\"1\"".to_owned(),
        secret: SECRET.to_owned(),
        ..Default::default()
    };
    v1::UpdateEndpointRequest {
        organization_id: "default".to_owned(),
        endpoint: Some(endpoint),
        update_mask: None,
        ..Default::default()
    }
}

fn with_mask(paths: &[&str]) -> v1::UpdateEndpointRequest {
    let paths = paths.iter().map(|path| (*path).to_owned()).collect();
    v1::UpdateEndpointRequest { update_mask: Some(FieldMask { paths }), ..update() }
}

#[test]
fn a_valid_endpoint_is_normalized() {
    let created = CreateEndpoint::try_from(create()).expect("right");
    assert_eq!(created.organization_id.as_str(), "default");
    assert_eq!(created.config.event_types, [EventType::PolicyBlock, EventType::UserInvited]);
    assert_eq!(created.secret, None, "one is to be generated");
    let mut request = create();
    request.endpoint.as_mut().expect("given").secret = SECRET.to_owned();
    let secret = CreateEndpoint::try_from(request).expect("right").secret.expect("given");
    assert_eq!(secret.expose(), SECRET);
}

#[test]
fn all_invalid_fields_of_a_request_are_reported_at_once() {
    let request = v1::CreateEndpointRequest {
        organization_id: String::new(),
        endpoint: Some(v1::Endpoint {
            display_name: String::new(),
            url: "http://siem.example/".to_owned(),
            description: "d".repeat(1_001),
            event_types: vec!["policy.block".to_owned(), "policy.violated".to_owned()],
            secret: "short".to_owned(),
            payload_format: 99,
            payload_template: String::new(),
            routing_key: "short".to_owned(),
            ..v1::Endpoint::default()
        }),
        ..Default::default()
    };
    assert_eq!(
        wrong_fields(CreateEndpoint::try_from(request)),
        [
            "organization_id",
            "endpoint.display_name",
            "endpoint.url",
            "endpoint.description",
            "endpoint.event_types[1]",
            "endpoint.secret",
            "endpoint.payload_format",
            "endpoint.routing_key"
        ]
    );
}

#[test]
fn an_endpoint_is_required_to_create_one() {
    let nothing = v1::CreateEndpointRequest::default();
    assert_eq!(
        wrong_fields(CreateEndpoint::try_from(nothing)),
        ["organization_id", "endpoint.display_name", "endpoint.url", "endpoint.event_types"]
    );
}

#[test]
fn an_endpoint_may_be_created_with_a_callers_id() {
    let with_id = |id: &str| {
        CreateEndpoint::try_from(v1::CreateEndpointRequest {
            endpoint_id: id.to_owned(),
            ..create()
        })
    };
    assert_eq!(with_id("").expect("right").endpoint_id, None);
    let made = with_id("ep_01K7ZK5W1T9Q4N3V8R2M6X0YBC").expect("right").endpoint_id;
    assert_eq!(made.map(|id| id.to_string()).as_deref(), Some("ep_01K7ZK5W1T9Q4N3V8R2M6X0YBC"));
    for wrong in ["siem", "chn_01K7ZK5W1T9Q4N3V8R2M6X0YBC", &EndpointId::MAX.to_string()] {
        assert_eq!(wrong_fields(with_id(wrong)), ["endpoint_id"], "{wrong}");
    }
}

#[test]
fn an_update_may_say_what_to_create_whatever_its_mask_says() {
    let allowing = |request| v1::UpdateEndpointRequest { allow_missing: true, ..request };
    let checked = UpdateEndpoint::try_from(allowing(with_mask(&["description"]))).expect("right");
    assert_eq!(checked.patch.url, None);
    let creation = checked.creation.expect("allowed").expect("right");
    assert_eq!(creation.endpoint_id, Some(checked.endpoint_id));
    assert_eq!(creation.config.url, "https://new.example/");
    assert!(creation.secret.is_some());
    let denied = UpdateEndpoint::try_from(with_mask(&["description"])).expect("right");
    assert_eq!(denied.creation, None);
    // What is missing matters only if it has to be created.
    let endpoint = v1::Endpoint { id: endpoint_id().to_string(), ..Default::default() };
    let nothing = v1::UpdateEndpointRequest { endpoint: Some(endpoint), ..allowing(update()) };
    let creation = UpdateEndpoint::try_from(nothing).expect("right as an update").creation;
    let fields = ["endpoint.display_name", "endpoint.url", "endpoint.event_types"];
    assert_eq!(wrong_fields(creation.expect("allowed")), fields);
}

#[test]
fn an_update_without_a_mask_changes_the_fields_that_are_not_empty() {
    let updated = UpdateEndpoint::try_from(update()).expect("right");
    assert_eq!(updated.endpoint_id, endpoint_id());
    assert_eq!(updated.etag.as_deref(), Some("\"1\""));
    assert_eq!(updated.patch.display_name.as_deref(), Some("new"));
    assert_eq!(updated.patch.event_types, Some(vec![EventType::PolicyBlock]));
    assert!(
        updated.patch.url.is_some()
            && updated.patch.description.is_some()
            && updated.secret.is_some()
    );

    let endpoint = v1::Endpoint { id: endpoint_id().to_string(), ..Default::default() };
    let nothing = v1::UpdateEndpointRequest { endpoint: Some(endpoint), ..update() };
    let updated = UpdateEndpoint::try_from(nothing.clone()).expect("right, if pointless");
    assert_eq!(
        (&updated.etag, &updated.patch.display_name, &updated.patch.url),
        (&None, &None, &None)
    );
    assert!(updated.patch.description.is_none() && updated.patch.event_types.is_none());
    assert_eq!(updated.secret, None);
    let empty_mask =
        v1::UpdateEndpointRequest { update_mask: Some(FieldMask::default()), ..nothing };
    assert_eq!(UpdateEndpoint::try_from(empty_mask), Ok(updated), "an empty mask is none");
}

#[test]
fn an_update_with_a_mask_changes_the_fields_that_it_names() {
    let updated = UpdateEndpoint::try_from(with_mask(&["description"])).expect("right");
    assert_eq!(updated.patch.description.as_deref(), Some("notes"));
    assert!(
        updated.patch.display_name.is_none()
            && updated.patch.url.is_none()
            && updated.secret.is_none()
    );

    let mut emptied = with_mask(&["description"]);
    emptied.endpoint.as_mut().expect("given").description.clear();
    let updated = UpdateEndpoint::try_from(emptied).expect("right");
    assert_eq!(updated.patch.description.as_deref(), Some(""), "a mask can empty a field");
}

#[test]
fn a_star_means_every_field_but_the_secret() {
    let updated = UpdateEndpoint::try_from(with_mask(&["*"])).expect("right");
    assert!(updated.patch.display_name.is_some() && updated.patch.url.is_some());
    assert!(updated.patch.description.is_some() && updated.patch.event_types.is_some());
    assert_eq!(updated.secret, None);
    for both in [["secret", "*"], ["*", "secret"]] {
        assert!(UpdateEndpoint::try_from(with_mask(&both)).expect("right").secret.is_some());
    }
}

#[test]
fn a_mask_with_a_field_that_cannot_be_updated_is_refused() {
    let wrong = UpdateEndpoint::try_from(with_mask(&["display_name", "state", "endpoint.url"]));
    assert_eq!(wrong_fields(wrong), ["update_mask.paths[1]", "update_mask.paths[2]"]);
}

#[test]
fn a_required_field_that_a_mask_names_must_be_given() {
    let request = v1::UpdateEndpointRequest {
        endpoint: Some(v1::Endpoint { id: "evt_1".to_owned(), ..Default::default() }),
        ..with_mask(&["*", "secret"])
    };
    assert_eq!(
        wrong_fields(UpdateEndpoint::try_from(request)),
        [
            "endpoint.id",
            "endpoint.display_name",
            "endpoint.url",
            "endpoint.event_types",
            "endpoint.secret"
        ]
    );
    let request = v1::UpdateEndpointRequest { endpoint: None, ..update() };
    assert_eq!(wrong_fields(UpdateEndpoint::try_from(request)), ["endpoint"]);
}

#[test]
fn a_rotation_overlaps_for_24_hours_unless_asked_and_30_days_at_the_most() {
    const DAY: i64 = 24 * 60 * 60;
    let rotate = |overlap: Option<i64>| {
        let overlap = overlap.map(|seconds| prost_types::Duration { seconds, nanos: 0 });
        let rotated = RotateSecret::try_from(v1::RotateSecretRequest {
            organization_id: "default".to_owned(),
            endpoint_id: endpoint_id().to_string(),
            secret: String::new(),
            overlap,
            ..Default::default()
        });
        rotated.map(|rotated| rotated.overlap.as_secs() as i64)
    };
    assert_eq!((rotate(None), rotate(Some(0))), (Ok(DAY), Ok(0)));
    assert_eq!(rotate(Some(30 * DAY)), Ok(30 * DAY));
    for wrong in [-1, 30 * DAY + 1, i64::MAX] {
        assert_eq!(wrong_fields(rotate(Some(wrong))), ["overlap"]);
    }
}

#[test]
fn an_endpoint_is_named_by_two_ids() {
    let get = |organization_id: &str, endpoint_id: &str| {
        EndpointRef::try_from(v1::GetEndpointRequest {
            organization_id: organization_id.to_owned(),
            endpoint_id: endpoint_id.to_owned(),
        })
    };
    let id = endpoint_id().to_string();
    assert_eq!(get("default", &id).map(|named| named.endpoint_id), Ok(endpoint_id()));
    for wrong in ["", "1", "evt_00000000000000000000000001", "ep_0000000000000000000000000a"] {
        assert_eq!(wrong_fields(get("default", wrong)), ["endpoint_id"], "{wrong:?}");
    }
    assert_eq!(wrong_fields(get("A", "")), ["organization_id", "endpoint_id"]);
}

#[test]
fn lists_are_filtered_and_cut_into_pages() {
    let request = v1::ListEndpointsRequest {
        organization_id: "default".to_owned(),
        states: vec![v1::endpoint::State::Degraded.into()],
        search: "siem".to_owned(),
        ..Default::default()
    };
    let list = ListEndpoints::try_from(request.clone()).expect("right");
    assert_eq!(list.states, [EffectiveEndpointState::Degraded]);
    assert_eq!(list.search.as_deref(), Some("siem"));

    let wrong = v1::ListEndpointsRequest {
        page_size: -1,
        page_token: "?".to_owned(),
        states: vec![99],
        search: "\0".to_owned(),
        ..request
    };
    assert_eq!(
        wrong_fields(ListEndpoints::try_from(wrong.clone())),
        ["page_size", "page_token", "states[0]", "search"]
    );
    let wrong = v1::ListEndpointsRequest { order_by: "name".to_owned(), ..wrong };
    assert_eq!(
        wrong_fields(ListEndpoints::try_from(wrong)),
        ["order_by", "page_size", "page_token", "states[0]", "search"]
    );
    let all = v1::ListEndpointsRequest { organization_id: "a".to_owned(), ..Default::default() };
    let all = ListEndpoints::try_from(all).expect("right");
    assert!(all.states.is_empty() && all.search.is_none());
}

#[test]
fn the_small_requests_are_checked_too() {
    let disabled = DisableEndpoint::try_from(v1::DisableEndpointRequest {
        organization_id: "default".to_owned(),
        endpoint_id: endpoint_id().to_string(),
        reason: "r".repeat(501),
    });
    assert_eq!(wrong_fields(disabled), ["reason"]);
    let deleted = DeleteEndpoint::try_from(v1::DeleteEndpointRequest {
        organization_id: "default".to_owned(),
        endpoint_id: endpoint_id().to_string(),
        etag: String::new(),
        ..Default::default()
    });
    assert_eq!(deleted.map(|deleted| deleted.etag), Ok(None));
    let types = ListEventTypes::try_from(v1::ListEventTypesRequest::default());
    assert_eq!(wrong_fields(types), ["organization_id"]);
}

#[test]
fn an_overlap_is_a_duration() {
    let rotated = RotateSecret::try_from(v1::RotateSecretRequest {
        organization_id: "default".to_owned(),
        endpoint_id: endpoint_id().to_string(),
        secret: SECRET.to_owned(),
        overlap: Some(prost_types::Duration { seconds: 1, nanos: 500_000_000 }),
        ..Default::default()
    });
    let rotated = rotated.expect("right");
    assert_eq!(rotated.overlap, Duration::from_millis(1_500));
    assert!(rotated.secret.is_some());
}
