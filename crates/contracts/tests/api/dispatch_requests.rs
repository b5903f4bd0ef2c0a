use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use keeptrusts_webhooks_contracts::api::{
    DeliveryRef, GetDelivery, GetEndpointStats, ListAttempts, ListDeliveries, ListReplays,
    ResumePoint, SendTest, View, WatchDeliveries, WatchEvents,
};
use keeptrusts_webhooks_contracts::v1;
use keeptrusts_webhooks_domain::attempt::AttemptOutcome;
use keeptrusts_webhooks_domain::delivery::EffectiveDeliveryState;
use keeptrusts_webhooks_domain::event_type::EventType;
use keeptrusts_webhooks_domain::log::{RecordName, Stream, Version};
use keeptrusts_webhooks_domain::payload_format::PayloadFormat;

use crate::{delivery_id, endpoint_id, event_id, proto_time, time, wrong_fields};

#[test]
fn deliveries_can_be_filtered_by_every_field_of_the_request() {
    let request = v1::ListDeliveriesRequest {
        organization_id: "default".to_owned(),
        page_size: 7,
        endpoint_ids: vec![endpoint_id().to_string()],
        event_id: event_id().to_string(),
        event_types: vec!["policy.block".to_owned()],
        states: vec![v1::delivery::State::Retrying.into()],
        end_time: Some(proto_time()),
        ..Default::default()
    };
    let list = ListDeliveries::try_from(request).expect("right");
    assert_eq!((list.endpoint_ids, list.event_id), (vec![endpoint_id()], Some(event_id())));
    assert_eq!((list.states, list.page.size), (vec![EffectiveDeliveryState::Retrying], 7));
    assert_eq!((list.start_time, list.end_time), (None, Some(time())));

    let wrong = v1::ListDeliveriesRequest {
        page_token: "ep_1".to_owned(),
        endpoint_ids: vec!["1".to_owned()],
        event_id: "2".to_owned(),
        event_types: vec!["3".to_owned()],
        states: vec![-1],
        ..Default::default()
    };
    assert_eq!(
        wrong_fields(ListDeliveries::try_from(wrong)),
        [
            "organization_id",
            "page_token",
            "endpoint_ids[0]",
            "event_id",
            "event_types[0]",
            "states[0]"
        ]
    );
}

#[test]
fn attempts_can_be_filtered_by_every_field_of_the_request() {
    let request = v1::ListAttemptsRequest {
        organization_id: "default".to_owned(),
        delivery_id: delivery_id().to_string(),
        outcomes: vec![v1::attempt::Outcome::Failed.into()],
        ..Default::default()
    };
    let list = ListAttempts::try_from(request).expect("right");
    assert_eq!(
        (list.delivery_id, list.outcomes),
        (Some(delivery_id()), vec![AttemptOutcome::Failed])
    );
    assert!(list.endpoint_ids.is_empty() && list.event_types.is_empty(), "all");

    let wrong = v1::ListAttemptsRequest {
        organization_id: "default".to_owned(),
        page_size: i32::MIN,
        delivery_id: endpoint_id().to_string(),
        outcomes: vec![4],
        ..Default::default()
    };
    assert_eq!(
        wrong_fields(ListAttempts::try_from(wrong)),
        ["page_size", "delivery_id", "outcomes[0]"]
    );
}

#[test]
fn a_delivery_or_an_endpoint_is_named_by_two_ids() {
    let retry = v1::RetryDeliveryRequest {
        organization_id: "default".to_owned(),
        delivery_id: delivery_id().to_string(),
        ..Default::default()
    };
    assert_eq!(DeliveryRef::try_from(retry).map(|named| named.delivery_id), Ok(delivery_id()));
    let cancel = v1::CancelDeliveryRequest::default();
    assert_eq!(wrong_fields(DeliveryRef::try_from(cancel)), ["organization_id", "delivery_id"]);
}

#[test]
fn a_test_has_a_type_of_the_catalogue_or_that_of_tests() {
    let test = |event_type: &str| v1::SendTestRequest {
        organization_id: "default".to_owned(),
        endpoint_id: endpoint_id().to_string(),
        event_type: event_type.to_owned(),
        ..Default::default()
    };
    let checked = |event_type| SendTest::try_from(test(event_type)).map(|test| test.event_type);
    for name in ["", "webhook.test"] {
        assert_eq!(checked(name), Ok(EventType::Test), "{name:?}");
    }
    assert_eq!(checked("policy.block"), Ok(EventType::PolicyBlock));
    let unknown =
        v1::SendTestRequest { event_type: "policy.violated".to_owned(), ..Default::default() };
    let wrong = ["organization_id", "endpoint_id", "event_type"];
    assert_eq!(wrong_fields(SendTest::try_from(unknown)), wrong);
    let violations = checked("policy.violated").expect_err("it is unknown").into_vec();
    assert_eq!(violations[0].description, "is not one of ListEventTypes");
}

#[test]
fn a_watch_begins_now_or_where_a_token_says() {
    let watch = |resume_token: &str| {
        let watched = WatchDeliveries::try_from(v1::WatchDeliveriesRequest {
            organization_id: "default".to_owned(),
            endpoint_ids: Vec::new(),
            resume_token: resume_token.to_owned(),
        });
        watched.map(|watched| watched.resume)
    };
    assert_eq!(watch(""), Ok(None));
    let record = RecordName { stream: Stream::Delivery(delivery_id()), version: Version(7) };
    let start = ResumePoint::Start(vec![1, 0, 255]);
    for point in [ResumePoint::After(record), ResumePoint::Within(record), start] {
        assert_eq!(watch(&point.token()), Ok(Some(point)));
    }
    let of_a_list = URL_SAFE_NO_PAD.encode(delivery_id().to_string());
    let no_record = URL_SAFE_NO_PAD.encode(format!("delivery/{}/0", delivery_id()));
    for wrong in ["7", "-1", "!", &of_a_list, &no_record, &record.to_string()] {
        assert_eq!(wrong_fields(watch(wrong)), ["resume_token"], "{wrong}");
    }
}

#[test]
fn statistics_go_back_whole_hours_from_1_to_720() {
    let stats = |seconds: Option<i64>| {
        let request = GetEndpointStats::try_from(v1::GetEndpointStatsRequest {
            organization_id: "default".to_owned(),
            endpoint_id: endpoint_id().to_string(),
            window: seconds.map(|seconds| prost_types::Duration { seconds, nanos: 0 }),
        });
        request.map(|request| request.hours)
    };
    assert_eq!((stats(None), stats(Some(3_600))), (Ok(24), Ok(1)));
    assert_eq!((stats(Some(3_601)), stats(Some(30 * 86_400))), (Ok(2), Ok(720)));
    for wrong in [-3_600, 0, 3_599, 30 * 86_400 + 1, i64::MAX] {
        assert_eq!(wrong_fields(stats(Some(wrong))), ["window"], "{wrong}");
    }
}

#[test]
fn watched_events_have_types_a_format_and_a_place_to_resume() {
    let request = v1::WatchEventsRequest {
        organization_id: "default".to_owned(),
        event_types: vec!["policy.block".to_owned()],
        payload_format: v1::PayloadFormat::Pagerduty.into(),
        ..Default::default()
    };
    let watch = WatchEvents::try_from(request).expect("it needs no routing key");
    assert_eq!(watch.payload_format, PayloadFormat::PagerDuty { routing_key: () });
    assert_eq!((watch.event_types, watch.resume), (vec![EventType::PolicyBlock], None));
    let all =
        v1::WatchEventsRequest { organization_id: "default".to_owned(), ..Default::default() };
    let all = WatchEvents::try_from(all).expect("all types in our own format");
    assert_eq!((all.payload_format, all.event_types), (PayloadFormat::Keeptrusts, vec![]));

    let wrong = v1::WatchEventsRequest {
        event_types: vec!["1".to_owned()],
        payload_template: "{}".to_owned(),
        resume_token: "7".to_owned(),
        ..Default::default()
    };
    assert_eq!(
        wrong_fields(WatchEvents::try_from(wrong)),
        ["organization_id", "event_types[0]", "payload_template", "resume_token"]
    );
}

#[test]
fn a_view_is_full_for_one_and_basic_in_a_list_unless_the_request_says_otherwise() {
    use v1::DeliveryView as Message;
    let one = |view: i32| {
        GetDelivery::try_from(v1::GetDeliveryRequest {
            organization_id: "default".to_owned(),
            delivery_id: delivery_id().to_string(),
            view,
        })
    };
    let list = |view: i32| {
        let organization_id = "default".to_owned();
        let request = v1::ListDeliveriesRequest { organization_id, view, ..Default::default() };
        ListDeliveries::try_from(request)
    };
    for (view, of_one, of_list) in [
        (Message::Unspecified, View::Full, View::Basic),
        (Message::Basic, View::Basic, View::Basic),
        (Message::Full, View::Full, View::Full),
    ] {
        assert_eq!(one(view.into()).map(|request| request.view), Ok(of_one), "{view:?}");
        assert_eq!(list(view.into()).map(|request| request.view), Ok(of_list), "{view:?}");
    }
    assert_eq!(wrong_fields(one(3)), ["view"]);
    assert_eq!(wrong_fields(list(-1)), ["view"]);
}

#[test]
fn a_wrong_value_of_a_filter_is_named_by_its_index_and_repeated_ones_do_no_harm() {
    let organization_id = "default".to_owned();
    let endpoint = endpoint_id().to_string();
    let watch = v1::WatchDeliveriesRequest {
        organization_id: organization_id.clone(),
        endpoint_ids: vec![endpoint.clone(), endpoint.clone()],
        ..Default::default()
    };
    let watch = WatchDeliveries::try_from(watch).expect("right");
    assert_eq!(watch.endpoint_ids, [endpoint_id(), endpoint_id()]);
    let wrong = v1::WatchDeliveriesRequest {
        organization_id: organization_id.clone(),
        endpoint_ids: vec![endpoint.clone(), "evt_1".to_owned()],
        ..Default::default()
    };
    assert_eq!(wrong_fields(WatchDeliveries::try_from(wrong)), ["endpoint_ids[1]"]);
    let replays = v1::ListReplaysRequest {
        organization_id,
        endpoint_ids: vec![endpoint, String::new()],
        states: vec![1, 0, 99],
        ..Default::default()
    };
    assert_eq!(
        wrong_fields(ListReplays::try_from(replays)),
        ["endpoint_ids[1]", "states[1]", "states[2]"]
    );
}
