//! Lists over gRPC: their orders, filters of several values, and views; and what one resource of a list
//! looks like on its own.

use std::collections::BTreeSet;
use std::time::{Duration, SystemTime};

use keeptrusts_webhooks_contracts::client::{AuthorizedChannel, Bearer};
use keeptrusts_webhooks_contracts::v1;
use keeptrusts_webhooks_contracts::v1::access_service_client::AccessServiceClient;
use keeptrusts_webhooks_contracts::v1::audit_service_client::AuditServiceClient;
use keeptrusts_webhooks_contracts::v1::notification_service_client::NotificationServiceClient;
use keeptrusts_webhooks_domain::event_type::EventType;
use keeptrusts_webhooks_testkit::first_key::FIRST_KEY;
use keeptrusts_webhooks_testkit::receiver::{Receiver, Reply, Script};
use tonic::{Code, Status};

use crate::platform::{
    Backend, Client, Database, Server, assert_refused, channel, on_both_backends,
};

on_both_backends! {
    lists_are_sorted_by_each_of_their_fields_and_walked_without_loss,
    filters_let_several_values_through,
    views_say_how_much_of_a_resource_is_returned,
}

const ORGANIZATION: &str = "acme";

fn with_key(server: &Server, token: &str) -> AuthorizedChannel {
    Bearer::new(token).expect("a token").on(channel(server.address()))
}

/// All items of a list, from pages of so many.
async fn walk<Item>(
    size: i32,
    page: impl AsyncFn(i32, String) -> Result<(Vec<Item>, String), Status>,
) -> Vec<Item> {
    let (mut all, mut token) = (Vec::new(), String::new());
    loop {
        let (items, next) = page(size, token).await.expect("a page");
        assert!(items.len() <= size as usize);
        all.extend(items);
        if next.is_empty() {
            return all;
        }
        token = next;
    }
}

/// Walks a list in each order by one field, in both directions, and in one of two fields, in small and
/// large pages: each shows the same resources in the same order.
async fn assert_sorts<Item: Clone + PartialEq + std::fmt::Debug>(
    fields: &[&str],
    id: impl Fn(&Item) -> String,
    page: impl AsyncFn(String, i32, String) -> Result<(Vec<Item>, String), Status>,
) {
    let newest_first =
        walk(1_000, async |size, token| page(String::new(), size, token).await).await;
    let ids = |items: &[Item]| items.iter().map(&id).collect::<Vec<_>>();
    let all: BTreeSet<_> = ids(&newest_first).into_iter().collect();
    assert!(all.len() > 4);
    for field in fields {
        let [ascending, descending] = [field.to_string(), format!("{field} desc")];
        let other = if *field == "id" { "create_time desc" } else { "id" };
        let both = format!("{field}, {other}");
        for order_by in [&ascending, &descending, &both] {
            let in_order =
                |size| walk(size, async |size, token| page(order_by.clone(), size, token).await);
            let whole = in_order(1_000).await;
            assert_eq!(ids(&whole).into_iter().collect::<BTreeSet<_>>(), all, "{order_by}");
            assert_eq!(whole.len(), all.len(), "{order_by}");
            for size in [1, 3] {
                assert_eq!(ids(&in_order(size).await), ids(&whole), "{order_by}, {size}");
            }
        }
    }
    let reverse: Vec<_> = ids(&newest_first).into_iter().rev().collect();
    let oldest_first = walk(2, async |size, token| page("id".to_owned(), size, token).await).await;
    assert_eq!(ids(&oldest_first), reverse);

    let refused =
        page("secret".to_owned(), 1, String::new()).await.map(|_| ()).expect_err("unknown");
    assert_refused(&refused, Code::InvalidArgument, "INVALID_FIELD");
    for field in fields {
        assert!(refused.message().contains(field), "{refused}");
    }
    let (_, token) = page(fields[1].to_owned(), 1, String::new()).await.expect("a page");
    let other = page(String::new(), 1, token).await.map(|_| ()).expect_err("another order");
    assert_refused(&other, Code::InvalidArgument, "INVALID_FIELD");
}

async fn lists_are_sorted_by_each_of_their_fields_and_walked_without_loss(backend: Backend) {
    let database = Database::new(backend).await;
    let server = Server::all_in_one(&database).start().await;
    let client = server.client(ORGANIZATION);
    for (index, name) in
        ["beta", "Alpha", "alpha", "gamma", "alpha", "Beta"].into_iter().enumerate()
    {
        let request = v1::CreateEndpointRequest {
            organization_id: client.organization(),
            endpoint: Some(v1::Endpoint {
                display_name: name.to_owned(),
                url: format!("https://{}.example", 9 - index),
                event_types: vec!["policy.violation".to_owned()],
                ..Default::default()
            }),
            ..Default::default()
        };
        let created = client.endpoints().create_endpoint(request).await.expect("created");
        if index % 3 == 0 {
            let request = v1::DisableEndpointRequest {
                organization_id: client.organization(),
                endpoint_id: created.into_inner().endpoint.expect("an endpoint").id,
                reason: String::new(),
            };
            client.endpoints().disable_endpoint(request).await.expect("disabled");
        }
    }
    let endpoints = async |order_by, page_size, page_token| {
        let request = v1::ListEndpointsRequest {
            organization_id: client.organization(),
            page_size,
            page_token,
            order_by,
            ..Default::default()
        };
        let page = client.endpoints().list_endpoints(request).await?.into_inner();
        Ok((page.endpoints, page.next_page_token))
    };
    let fields = ["id", "display_name", "url", "state", "create_time", "update_time"];
    assert_sorts(&fields, |endpoint: &v1::Endpoint| endpoint.id.clone(), endpoints).await;
    let (by_name, _) =
        endpoints("display_name".to_owned(), 50, String::new()).await.expect("a page");
    let names: Vec<_> = by_name.iter().map(|endpoint| endpoint.display_name.as_str()).collect();
    assert_eq!(names, ["Alpha", "alpha", "alpha", "Beta", "beta", "gamma"]);
    assert!(by_name[1].id > by_name[2].id, "of equal ones the newest first");
    let (by_state, _) =
        endpoints("state desc, url".to_owned(), 50, String::new()).await.expect("a page");
    let urls: Vec<_> = by_state.iter().map(|endpoint| &endpoint.url[8..9]).collect();
    assert_eq!(urls, ["6", "9", "4", "5", "7", "8"], "the disabled ones first");

    let channels = NotificationServiceClient::new(with_key(&server, FIRST_KEY));
    for name in ["siem", "SOC", "ops", "SIEM", "soc"] {
        let request = v1::CreateChannelRequest {
            organization_id: client.organization(),
            channel: Some(v1::Channel {
                display_name: name.to_owned(),
                destination: Some(v1::channel::Destination::Slack(v1::SlackDestination {
                    url: "https://a.example/x".to_owned(),
                    ..Default::default()
                })),
                subscriptions: vec![v1::NotificationType::EndpointDegraded.into()],
                ..Default::default()
            }),
            ..Default::default()
        };
        channels.clone().create_channel(request).await.expect("created");
    }
    let pages = async |order_by, page_size, page_token| {
        let request = v1::ListChannelsRequest {
            organization_id: client.organization(),
            page_size,
            page_token,
            order_by,
        };
        let page = channels.clone().list_channels(request).await?.into_inner();
        Ok((page.channels, page.next_page_token))
    };
    let fields = ["id", "display_name", "state", "create_time", "update_time"];
    assert_sorts(&fields, |channel: &v1::Channel| channel.id.clone(), pages).await;
    let (by_name, _) =
        pages("display_name desc".to_owned(), 50, String::new()).await.expect("a page");
    let names: Vec<_> = by_name.iter().map(|channel| channel.display_name.as_str()).collect();
    assert_eq!(names, ["soc", "SOC", "siem", "SIEM", "ops"]);

    let keys = make_keys(&server).await;
    let pages = async |order_by, page_size, page_token| {
        list_keys(&server, order_by, &[], page_size, page_token).await
    };
    // The time of a key's last use is noted now and then, and so may change between two walks.
    let fields = ["id", "display_name", "role", "create_time", "end_time"];
    assert_sorts(&fields, |key: &v1::Key| key.id.clone(), pages).await;
    let (by_end, _) = pages("end_time".to_owned(), 50, String::new()).await.expect("a page");
    assert_eq!(by_end.len(), keys);
    let ends: Vec<_> = by_end.iter().filter_map(|key| key.end_time).collect();
    assert!(ends.is_sorted_by_key(|end| (end.seconds, end.nanos)));
    let with_end = by_end.iter().take_while(|key| key.end_time.is_some()).count();
    assert!(with_end == ends.len() && with_end < keys, "keys without an end are the last ones");
}

async fn list_keys(
    server: &Server,
    order_by: String,
    states: &[v1::key::State],
    page_size: i32,
    page_token: String,
) -> Result<(Vec<v1::Key>, String), Status> {
    let request = v1::ListKeysRequest {
        organization_id: ORGANIZATION.to_owned(),
        page_size,
        page_token,
        kind: v1::key::Kind::Unspecified.into(),
        states: states.iter().map(|state| i32::from(*state)).collect(),
        order_by,
    };
    let mut access = AccessServiceClient::new(with_key(server, FIRST_KEY));
    let page = access.list_keys(request).await?.into_inner();
    Ok((page.keys, page.next_page_token))
}

async fn create_key(server: &Server, name: &str, life: Option<Duration>) -> v1::CreateKeyResponse {
    let request = v1::CreateKeyRequest {
        organization_id: ORGANIZATION.to_owned(),
        key: Some(v1::Key {
            display_name: name.to_owned(),
            role: v1::Role::Viewer.into(),
            expiration: life.map(|life| {
                v1::key::Expiration::Ttl(prost_types::Duration {
                    seconds: life.as_secs() as i64,
                    nanos: 0,
                })
            }),
            ..Default::default()
        }),
        ..Default::default()
    };
    let mut access = AccessServiceClient::new(with_key(server, FIRST_KEY));
    access.create_key(request).await.expect("created").into_inner()
}

/// Two keys without an end, one with an end, two that are revoked, and a session of each of the latter
/// and of a valid one. Returns their number.
async fn make_keys(server: &Server) -> usize {
    let hour = Duration::from_secs(3_600);
    create_key(server, "b", Some(hour)).await;
    let mut open = 0;
    for (name, is_revoked) in [("c", false), ("a", true), ("B", true), ("a", false)] {
        let made = create_key(server, name, None).await;
        if name != "c" {
            let mut access = AccessServiceClient::new(with_key(server, &made.token));
            let request = v1::CreateSessionRequest {
                organization_id: ORGANIZATION.to_owned(),
                ..Default::default()
            };
            access.create_session(request).await.expect("a session");
            open += 1;
        }
        if is_revoked {
            let request = v1::RevokeKeyRequest {
                organization_id: ORGANIZATION.to_owned(),
                key_id: made.key.expect("a key").id,
                revoke_made: false,
            };
            let mut access = AccessServiceClient::new(with_key(server, FIRST_KEY));
            access.revoke_key(request).await.expect("revoked");
        }
    }
    5 + open
}

async fn filters_let_several_values_through(backend: Backend) {
    use v1::key::State;
    let database = Database::new(backend).await;
    let server = Server::all_in_one(&database).start().await;
    let client = server.client(ORGANIZATION);
    let count = make_keys(&server).await;
    for (states, expected) in [
        (&[][..], count),
        (&[State::Valid], 4),
        (&[State::Revoked], 2),
        (&[State::EndedWithKey], 2),
        (&[State::Expired], 0),
        (&[State::Revoked, State::EndedWithKey, State::Revoked], 4),
        (&[State::Valid, State::Expired, State::Revoked, State::EndedWithKey], count),
    ] {
        for order_by in ["", "display_name", "end_time desc"] {
            for size in [1, 2, 50] {
                let keys = walk(size, async |size, token| {
                    list_keys(&server, order_by.to_owned(), states, size, token).await
                });
                let keys = keys.await;
                assert_eq!(keys.len(), expected, "{states:?}, {order_by}, {size}");
                let ids: BTreeSet<_> = keys.iter().map(|key| &key.id).collect();
                assert_eq!(ids.len(), expected, "{states:?}, {order_by}, {size}");
                assert!(keys.iter().all(|key| states.is_empty() || states.contains(&key.state())));
            }
        }
    }
    let (keys, _) =
        list_keys(&server, String::new(), &[], 50, String::new()).await.expect("a page");
    let mut access = AccessServiceClient::new(with_key(&server, FIRST_KEY));
    for key in &keys {
        let request =
            v1::GetKeyRequest { organization_id: ORGANIZATION.to_owned(), key_id: key.id.clone() };
        let got = access.get_key(request).await.expect("found").into_inner().key.expect("a key");
        assert_eq!((&got.id, got.state, got.end_time), (&key.id, key.state, key.end_time));
        let foreign =
            v1::GetKeyRequest { organization_id: "globex".to_owned(), key_id: key.id.clone() };
        let refused = access.get_key(foreign).await.expect_err("another organization's");
        assert_refused(&refused, Code::NotFound, "KEY_NOT_FOUND");
    }
    let everywhere = v1::ListKeysRequest { organization_id: "*".to_owned(), ..Default::default() };
    let everywhere = access.list_keys(everywhere).await.expect("listed").into_inner().keys;
    let request =
        v1::GetKeyRequest { organization_id: "*".to_owned(), key_id: everywhere[0].id.clone() };
    let got = access.get_key(request).await.expect("found").into_inner().key.expect("a key");
    assert_eq!(got.organization_id, "*");

    // The audit trail.
    let one = client.create_endpoint("https://a.example/", &["policy.violation"]).await.id;
    let other = client.create_endpoint("https://b.example/", &["policy.violation"]).await.id;
    client.create_endpoint("https://c.example/", &["policy.violation"]).await;
    let trail = async |actions: &[v1::AuditAction], endpoints: &[&String]| {
        let mut audit = AuditServiceClient::new(with_key(&server, FIRST_KEY));
        let request = v1::ListAuditEntriesRequest {
            organization_id: ORGANIZATION.to_owned(),
            actions: actions.iter().map(|action| i32::from(*action)).collect(),
            endpoint_ids: endpoints.iter().map(|id| (*id).clone()).collect(),
            ..Default::default()
        };
        audit.list_audit_entries(request).await.expect("listed").into_inner().entries
    };
    assert_eq!(trail(&[], &[&one, &other, &one]).await.len(), 2);
    let both = [v1::AuditAction::KeyRevoked, v1::AuditAction::EndpointCreated];
    assert_eq!(trail(&both, &[]).await.len(), 5);
    assert_eq!(trail(&both, &[&other]).await.len(), 1);

    // Replays and notifications; what is wrong is named by its index.
    for endpoint_id in [&one, &other] {
        let request = v1::CreateReplayRequest {
            organization_id: ORGANIZATION.to_owned(),
            replay: Some(v1::Replay {
                endpoint_id: endpoint_id.clone(),
                scope: v1::replay::Scope::All.into(),
                ..Default::default()
            }),
            ..Default::default()
        };
        client.dispatch().create_replay(request).await.expect("created");
    }
    let list = v1::ListReplaysRequest {
        organization_id: ORGANIZATION.to_owned(),
        endpoint_ids: vec![one.clone(), other, one],
        states: vec![v1::replay::State::Running.into(), v1::replay::State::Done.into()],
        ..Default::default()
    };
    let listed = client.dispatch().list_replays(list.clone()).await.expect("listed").into_inner();
    assert_eq!(listed.replays.len(), 2);
    let wrong = v1::ListReplaysRequest { states: vec![1, 0, 99], ..list.clone() };
    let refused = client.dispatch().list_replays(wrong).await.expect_err("unspecified");
    for words in ["states[1]", "states[2]"] {
        assert!(refused.message().contains(words), "{refused}");
    }
    let many = v1::ListReplaysRequest { states: vec![1; 101], ..list };
    let refused = client.dispatch().list_replays(many).await.expect_err("too many");
    assert!(refused.message().contains("more than 100 entries"), "{refused}");
    let mut channels = NotificationServiceClient::new(with_key(&server, FIRST_KEY));
    let missing = "ntf_00000000000000000000000009".to_owned();
    let request = v1::GetNotificationRequest {
        organization_id: ORGANIZATION.to_owned(),
        notification_id: missing,
    };
    let refused = channels.get_notification(request).await.expect_err("there is none");
    assert_refused(&refused, Code::NotFound, "NOTIFICATION_NOT_FOUND");

    let types = walk(3, async |page_size, page_token| {
        let organization_id = ORGANIZATION.to_owned();
        let request = v1::ListEventTypesRequest { organization_id, page_size, page_token };
        let page = client.endpoints().list_event_types(request).await?.into_inner();
        Ok((page.event_types, page.next_page_token))
    });
    let types = types.await;
    assert!(types.iter().map(|it| it.id.as_str()).eq(EventType::ALL.iter().map(|it| it.name())));

    let who = access.who_am_i(v1::WhoAmIRequest {}).await.expect("known").into_inner();
    assert_eq!(who.server_version, env!("CARGO_PKG_VERSION"));
    let time = SystemTime::try_from(who.server_time.expect("a time")).expect("a time");
    let difference = SystemTime::now().duration_since(time).expect("earlier");
    assert!(difference < Duration::from_secs(60), "{difference:?}");
}

/// So large that a read of a list has few of them.
const DATA_BYTES: usize = 200 * 1024;

async fn views_say_how_much_of_a_resource_is_returned(backend: Backend) {
    let receiver = Receiver::start(Script::always(Reply::status(500).with_body("no")));
    let database = Database::new(backend).await;
    let server = Server::all_in_one(&database).delivering_to(&receiver).retrying_after("1ms,1ms");
    let server = server.start().await;
    let client = server.client(ORGANIZATION);
    client.create_endpoint(&receiver.url("/"), &["export.completed"]).await;
    let large = format!(r#"{{"text":"{}"}}"#, "d".repeat(DATA_BYTES));
    for index in 0..12 {
        let event_id =
            client.publish("export.completed", if index % 3 == 0 { "{}" } else { &large }).await;
        client.wait_for_failure(&event_id).await;
    }
    // What another key published is not a publisher's to read, in any view.
    let publisher = {
        let mut access = AccessServiceClient::new(with_key(&server, FIRST_KEY));
        let request = v1::CreateKeyRequest {
            organization_id: ORGANIZATION.to_owned(),
            key: Some(v1::Key {
                display_name: "p".to_owned(),
                role: v1::Role::Publisher.into(),
                ..Default::default()
            }),
            ..Default::default()
        };
        let token = access.create_key(request).await.expect("created").into_inner().token;
        Client::with_token(ORGANIZATION, [(); 3].map(|()| channel(server.address())), &token)
    };
    let own = publisher.publish("export.failed", r#"{"own":true}"#).await;

    use v1::EventView as View;
    let events = async |client: &Client, view: View, size, page_token| {
        let request = v1::ListEventsRequest {
            organization_id: ORGANIZATION.to_owned(),
            page_size: size,
            page_token,
            view: view.into(),
            ..Default::default()
        };
        let page = client.ingest().list_events(request).await?.into_inner();
        Ok((page.events, page.next_page_token))
    };
    for size in [1, 4, 1_000] {
        let full =
            walk(size, async |size, token| events(&client, View::Full, size, token).await).await;
        assert_eq!(full.len(), 13, "{size}");
        for view in [View::Unspecified, View::Basic] {
            let basic =
                walk(size, async |size, token| events(&client, view, size, token).await).await;
            let expected =
                full.iter().map(|event| v1::Event { body: String::new(), ..event.clone() });
            assert!(basic.into_iter().eq(expected), "{view:?}, {size}");
        }
        for event in &full {
            assert_eq!(event.body.len() as i64, event.body_size_bytes);
            for view in [View::Unspecified, View::Basic, View::Full] {
                let request = v1::GetEventRequest {
                    organization_id: ORGANIZATION.to_owned(),
                    event_id: event.id.clone(),
                    view: view.into(),
                };
                let got =
                    client.ingest().get_event(request.clone()).await.expect("found").into_inner();
                let got = got.event.expect("an event");
                match view {
                    View::Basic => {
                        assert_eq!(got, v1::Event { body: String::new(), ..event.clone() })
                    }
                    View::Unspecified | View::Full => assert_eq!(&got, event),
                }
                let of_publisher = publisher.ingest().get_event(request).await;
                assert_eq!(of_publisher.is_ok(), event.id == own, "{view:?}");
            }
        }
    }
    for view in [View::Basic, View::Full] {
        let (listed, _) = events(&publisher, view, 50, String::new()).await.expect("listed");
        assert_eq!(listed.iter().map(|event| &event.id).collect::<Vec<_>>(), [&own], "{view:?}");
    }

    let attempts = async |view: v1::AttemptView, size, page_token| {
        let request = v1::ListAttemptsRequest {
            organization_id: ORGANIZATION.to_owned(),
            page_size: size,
            page_token,
            view: view.into(),
            ..Default::default()
        };
        let page = client.dispatch().list_attempts(request).await?.into_inner();
        Ok((page.attempts, page.next_page_token))
    };
    let basic =
        walk(1_000, async |size, token| attempts(v1::AttemptView::Basic, size, token).await).await;
    assert_eq!(basic.len(), 36);
    assert!(
        basic
            .iter()
            .all(|attempt| attempt.request_headers.is_empty() && attempt.request_body.is_empty())
    );
    for size in [5, 1_000] {
        let full =
            walk(size, async |size, token| attempts(v1::AttemptView::Full, size, token).await);
        let full = full.await;
        assert!(full.iter().map(|it| &it.id).eq(basic.iter().map(|it| &it.id)), "{size}");
        for (attempt, basic) in full.iter().zip(&basic) {
            assert!(!attempt.request_headers.is_empty() && attempt.response_body == "no");
            for (view, expected) in [
                (v1::AttemptView::Unspecified, attempt),
                (v1::AttemptView::Full, attempt),
                (v1::AttemptView::Basic, basic),
            ] {
                let request = v1::GetAttemptRequest {
                    organization_id: ORGANIZATION.to_owned(),
                    attempt_id: attempt.id.clone(),
                    view: view.into(),
                };
                let got = client.dispatch().get_attempt(request).await.expect("found").into_inner();
                assert_eq!(got.attempt.as_ref(), Some(expected), "{view:?}");
            }
        }
    }

    let deliveries = async |view: v1::DeliveryView, size, page_token| {
        let request = v1::ListDeliveriesRequest {
            organization_id: ORGANIZATION.to_owned(),
            page_size: size,
            page_token,
            view: view.into(),
            ..Default::default()
        };
        let page = client.dispatch().list_deliveries(request).await?.into_inner();
        Ok((page.deliveries, page.next_page_token))
    };
    let basic =
        walk(1_000, async |size, token| deliveries(v1::DeliveryView::Basic, size, token).await)
            .await;
    assert_eq!(basic.len(), 12);
    assert!(basic.iter().all(|delivery| delivery.attempts.is_empty()));
    for size in [1, 5, 1_000] {
        let full =
            walk(size, async |size, token| deliveries(v1::DeliveryView::Full, size, token).await);
        let full = full.await;
        assert!(full.iter().map(|it| &it.id).eq(basic.iter().map(|it| &it.id)), "{size}");
        for (delivery, basic) in full.iter().zip(&basic) {
            assert_eq!(delivery.attempts.len(), 3);
            for (view, expected) in [
                (v1::DeliveryView::Unspecified, delivery),
                (v1::DeliveryView::Full, delivery),
                (v1::DeliveryView::Basic, basic),
            ] {
                let request = v1::GetDeliveryRequest {
                    organization_id: ORGANIZATION.to_owned(),
                    delivery_id: delivery.id.clone(),
                    view: view.into(),
                };
                let got =
                    client.dispatch().get_delivery(request).await.expect("found").into_inner();
                assert_eq!(got.delivery.as_ref(), Some(expected), "{view:?}");
            }
        }
    }
}
