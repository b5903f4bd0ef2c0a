//! Every response fits into the 4 MiB that clients accept by default, with the largest things that
//! can be stored. All clients here have that limit, and so does grpcurl.

mod stored;

use std::collections::BTreeSet;

use keeptrusts_webhooks_contracts::client::{AuthorizedChannel, Bearer};
use keeptrusts_webhooks_contracts::v1::access_service_client::AccessServiceClient;
use keeptrusts_webhooks_contracts::v1::audit_service_client::AuditServiceClient;
use keeptrusts_webhooks_contracts::v1::dispatch_service_client::DispatchServiceClient;
use keeptrusts_webhooks_contracts::v1::endpoint_service_client::EndpointServiceClient;
use keeptrusts_webhooks_contracts::v1::ingest_service_client::IngestServiceClient;
use keeptrusts_webhooks_contracts::v1::notification_service_client::NotificationServiceClient;
use keeptrusts_webhooks_contracts::v1::{self, PayloadFormat};
use keeptrusts_webhooks_contracts::{DESCRIPTORS, api};
use keeptrusts_webhooks_domain::event_type::EventType;
use keeptrusts_webhooks_testkit::first_key::FIRST_KEY;
use keeptrusts_webhooks_testkit::process::Launch;
use keeptrusts_webhooks_testkit::receiver::{Receiver, Reply, Script};
use keeptrusts_webhooks_testkit::tools;
use prost::Message;
use prost_types::{FieldMask, FileDescriptorSet};
use tokio::task::JoinSet;

use crate::platform::{Backend, Client, Database, PATIENCE, Server, channel};

/// 22 KB each: together more than fits.
const ENDPOINTS: usize = 240;
/// With 250 KiB each: together more than fits.
const ATTEMPTS: usize = 17;
const DATA_BYTES: usize = 250 * 1024;
/// Endpoints that are created at the same time.
const AT_ONCE: usize = 4;

/// The methods that return pages.
macro_rules! lists {
    ($($method:literal $client:ident $call:ident $request:ident $things:ident;)*) => {
        const LISTS: &[&str] = &[$($method),*];

        /// Reads a list to its end; returns the number of things on each page.
        // Some requests have further fields, filters.
        #[allow(clippy::needless_update)]
        async fn pages_of(
            method: &str,
            organization: &str,
            channel: &AuthorizedChannel,
        ) -> Vec<usize> {
            let mut pages = Vec::new();
            match method {
                $($method => {
                    let mut client = $client::new(channel.clone());
                    let mut page_token = String::new();
                    loop {
                        let request = v1::$request {
                            organization_id: organization.to_owned(),
                            page_size: 1_000,
                            page_token,
                            ..Default::default()
                        };
                        let page = client.$call(request).await.expect(method).into_inner();
                        assert!(page.encoded_len() <= api::MAX_RESPONSE_BYTES, "{method}");
                        pages.push(page.$things.len());
                        page_token = page.next_page_token;
                        if page_token.is_empty() {
                            return pages;
                        }
                    }
                })*
                _ => panic!("{method} is not listed here"),
            }
        }
    };
}

lists! {
    "AccessService/ListKeys" AccessServiceClient list_keys ListKeysRequest keys;
    "AuditService/ListAuditEntries" AuditServiceClient list_audit_entries ListAuditEntriesRequest entries;
    "DispatchService/ListAttempts" DispatchServiceClient list_attempts ListAttemptsRequest attempts;
    "DispatchService/ListDeliveries" DispatchServiceClient list_deliveries ListDeliveriesRequest deliveries;
    "DispatchService/ListReplays" DispatchServiceClient list_replays ListReplaysRequest replays;
    "EndpointService/ListEventTypes" EndpointServiceClient list_event_types ListEventTypesRequest event_types;
    "EndpointService/ListEndpoints" EndpointServiceClient list_endpoints ListEndpointsRequest endpoints;
    "IngestService/ListEvents" IngestServiceClient list_events ListEventsRequest events;
    "NotificationService/ListChannels" NotificationServiceClient list_channels ListChannelsRequest channels;
    "NotificationService/ListNotifications" NotificationServiceClient list_notifications ListNotificationsRequest notifications;
}

/// Other large responses, each with a test in this file.
const LARGE: [&str; 5] = [
    "DispatchService/GetAttempt",
    "DispatchService/GetDelivery",
    "EndpointService/PreviewPayload",
    "IngestService/GetEvent",
    "IngestService/BatchPublishEvents",
];

/// Responses with one thing without bodies, or with a fixed number of small ones. An endpoint is
/// the largest of these things, with less than 64 KiB.
const SMALL: [&str; 33] = [
    "AccessService/CreateKey",
    "AccessService/CreateSession",
    "AccessService/EndSession",
    "AccessService/GetKey",
    "AccessService/RevokeKey",
    "AccessService/WhoAmI",
    "DispatchService/CancelDelivery",
    "DispatchService/CancelReplay",
    "DispatchService/GetEndpointStats",
    "DispatchService/GetHealthSummary",
    "DispatchService/GetReplay",
    "DispatchService/CreateReplay",
    "DispatchService/RetryDelivery",
    // A test's event is small, and its response has one attempt.
    "DispatchService/SendTest",
    "DispatchService/WatchDeliveries",
    // One event in one format, which has at most 272 KiB.
    "DispatchService/WatchEvents",
    "DispatchService/WatchReplay",
    "EndpointService/CreateEndpoint",
    "EndpointService/DeleteEndpoint",
    "EndpointService/DisableEndpoint",
    "EndpointService/EnableEndpoint",
    "EndpointService/GetEndpoint",
    "EndpointService/RevealSecret",
    "EndpointService/RotateSecret",
    "EndpointService/UpdateEndpoint",
    "IngestService/PublishEvent",
    // One acknowledgement in each message.
    "IngestService/StreamEvents",
    "NotificationService/CreateChannel",
    "NotificationService/DeleteChannel",
    "NotificationService/GetChannel",
    "NotificationService/GetNotification",
    "NotificationService/TestChannel",
    "NotificationService/UpdateChannel",
];

#[test]
fn every_method_of_the_contracts_is_known_here_by_how_large_its_answer_can_be() {
    let files = FileDescriptorSet::decode(DESCRIPTORS).expect("descriptors").file;
    let files: Vec<_> =
        files.into_iter().filter(|file| file.package() == "keeptrusts.webhooks.v1").collect();
    let pages = |message: &str| {
        let name = message.rsplit('.').next().expect("a name");
        let mut messages = files.iter().flat_map(|file| &file.message_type);
        let message = messages.find(|message| message.name() == name).expect("a message");
        message.field.iter().any(|field| field.name() == "next_page_token")
    };
    let (mut lists, mut others) = (BTreeSet::new(), BTreeSet::new());
    for service in files.iter().flat_map(|file| &file.service) {
        for method in &service.method {
            let name = format!("{}/{}", service.name(), method.name());
            if pages(method.output_type()) {
                lists.insert(name)
            } else {
                others.insert(name)
            };
        }
    }
    let known: BTreeSet<_> = LISTS.iter().map(|method| (*method).to_owned()).collect();
    assert_eq!(lists, known, "a new list is measured here");
    let known: BTreeSet<_> = LARGE.iter().chain(&SMALL).map(|it| (*it).to_owned()).collect();
    assert_eq!(others, known, "say how large the answer of a new method can be");
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_of_rows_with_long_texts_come_in_pages_that_fit() {
    let database = Database::new(Backend::Sqlite).await;
    stored::fill(&database, "acme").await;
    let server = Server::all_in_one(&database).start().await;
    let channel = first_keys_channel(&server);
    for method in LISTS {
        let pages = pages_of(method, "acme", &channel).await;
        let total = pages.iter().sum::<usize>();
        match *method {
            // Nobody has created an endpoint. The trail shows what was written into the log
            // directly only if people do such things.
            "EndpointService/ListEndpoints" => assert_eq!(total, 0),
            "EndpointService/ListEventTypes" => {
                assert_eq!(total, EventType::ALL.len());
                continue;
            }
            "AuditService/ListAuditEntries" => assert!(total >= stored::ROWS, "{total}"),
            _ => assert_eq!(total, stored::ROWS, "{method}: nothing twice, nothing lost"),
        }
        assert!(pages.len() > 1 || total == 0, "{method}: {pages:?} in 4 MiB");
    }
}

fn first_keys_channel(server: &Server) -> AuthorizedChannel {
    Bearer::new(FIRST_KEY).expect("a token").on(channel(server.address()))
}

/// A template of the largest size with a first character of its own.
fn template(first: char) -> String {
    let (begin, end) = (r#"{"text":""#, r#""}"#);
    let length = 16 * 1024 - begin.len() - end.len() - 1;
    format!("{begin}{first}{}{end}", "t".repeat(length))
}

/// Endpoints of the largest size, each changed once.
async fn make_endpoints(client: &Client, url: &str) {
    let url = format!("{url}{}", "u".repeat(2_048 - url.len()));
    let mut making = JoinSet::new();
    for _ in 0..ENDPOINTS {
        if making.len() == AT_ONCE {
            making.join_next().await.expect("one").expect("it is made");
        }
        let (client, url) = (client.clone(), url.clone());
        making.spawn(async move {
            let request = v1::CreateEndpointRequest {
                organization_id: client.organization(),
                endpoint: Some(v1::Endpoint {
                    display_name: "語".repeat(100),
                    url,
                    description: "語".repeat(1_000),
                    event_types: vec!["policy.violation".to_owned()],
                    payload_format: PayloadFormat::Custom.into(),
                    payload_template: template('a'),
                    ..v1::Endpoint::default()
                }),
                ..Default::default()
            };
            let created = client.endpoints().create_endpoint(request).await.expect("created");
            let endpoint = created.into_inner().endpoint.expect("an endpoint");
            let request = v1::UpdateEndpointRequest {
                organization_id: client.organization(),
                endpoint: Some(v1::Endpoint {
                    id: endpoint.id,
                    payload_template: template('b'),
                    description: "誤".repeat(1_000),
                    ..Default::default()
                }),
                update_mask: Some(FieldMask {
                    paths: vec!["payload_template".to_owned(), "description".to_owned()],
                }),
                ..Default::default()
            };
            client.endpoints().update_endpoint(request).await.expect("updated");
        });
    }
    while let Some(made) = making.join_next().await {
        made.expect("it is made");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_of_the_largest_things_come_in_pages_that_fit() {
    let receiver = Receiver::start(Script::default());
    let database = Database::new(Backend::Sqlite).await;
    let server = Server::all_in_one(&database).delivering_to(&receiver).start().await;
    let client = server.client("acme");
    make_endpoints(&client, &receiver.url("/")).await;
    let refused = v1::BatchPublishEventsRequest {
        organization_id: client.organization(),
        requests: vec![client.event(&"e".repeat(1_000), "[]"); 1_000],
    };
    let refused =
        client.ingest().batch_publish_events(refused).await.expect("an answer").into_inner();
    assert_eq!(refused.results.len(), 1_000);

    let channel = first_keys_channel(&server);
    for method in LISTS {
        let pages = pages_of(method, "acme", &channel).await;
        let expected = match *method {
            "EndpointService/ListEndpoints" => ENDPOINTS,
            "AuditService/ListAuditEntries" => 2 * ENDPOINTS,
            _ => continue,
        };
        assert_eq!(pages.iter().sum::<usize>(), expected, "{method}: nothing twice, nothing lost");
        assert!(pages.len() > 1, "{method}: {pages:?} in 4 MiB");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_delivery_shows_as_many_attempts_as_fit_and_the_others_one_by_one() {
    let long = Reply::status(500).with_header("x-long", &"h".repeat(7 * 1024));
    let receiver = Receiver::start(Script::always(long.with_body("é".repeat(8 * 1024))));
    let database = Database::new(Backend::Sqlite).await;
    let schedule = vec!["1ms"; ATTEMPTS - 1].join(",");
    let server = Server::all_in_one(&database).delivering_to(&receiver).retrying_after(&schedule);
    let server = server.start().await;
    let client = server.client("acme");
    let request = v1::CreateEndpointRequest {
        organization_id: client.organization(),
        endpoint: Some(v1::Endpoint {
            display_name: "siem".to_owned(),
            url: receiver.url("/"),
            event_types: vec!["export.completed".to_owned()],
            payload_format: PayloadFormat::Cloudevents.into(),
            ..v1::Endpoint::default()
        }),
        ..Default::default()
    };
    client.endpoints().create_endpoint(request).await.expect("created");
    let data = format!(r#"{{"text":"{}"}}"#, "d".repeat(DATA_BYTES - 11));
    let event_id = client.publish("export.completed", &data).await;

    let delivery = client.wait_for_failure(&event_id).await;
    let bytes = delivery.encoded_len();
    let spare = api::MAX_RESPONSE_BYTES - bytes;
    assert!(spare < 2 * DATA_BYTES, "{bytes} bytes: what has room is shown");
    let numbers: Vec<_> = delivery.attempts.iter().map(|attempt| attempt.number).collect();
    assert!(numbers.into_iter().eq(1..=ATTEMPTS as i32));
    let omitted = delivery.attempts.iter().take_while(|attempt| attempt.content_omitted).count();
    assert!(omitted > 0 && omitted < ATTEMPTS, "{omitted}");
    for (index, attempt) in delivery.attempts.iter().enumerate() {
        assert_eq!(attempt.content_omitted, index < omitted, "the newest are shown");
        let has_content = [
            !attempt.request_headers.is_empty(),
            !attempt.request_body.is_empty(),
            !attempt.response_headers.is_empty(),
            !attempt.response_body.is_empty(),
        ];
        assert_eq!(has_content, [!attempt.content_omitted; 4]);
        let request = v1::GetAttemptRequest {
            organization_id: client.organization(),
            attempt_id: attempt.id.clone(),
            ..Default::default()
        };
        let got = client.dispatch().get_attempt(request).await.expect("found").into_inner();
        let got = got.attempt.expect("an attempt");
        assert!(got.request_body.len() > DATA_BYTES && got.response_body.len() == 16 * 1024);
        match attempt.content_omitted {
            false => assert_eq!(&got, attempt),
            true => assert_eq!((&got.id, got.number), (&attempt.id, attempt.number)),
        }
    }

    let got = v1::GetEventRequest {
        organization_id: client.organization(),
        event_id,
        ..Default::default()
    };
    let got = client.ingest().get_event(got).await.expect("found").into_inner();
    assert!(got.event.expect("an event").body.len() > DATA_BYTES);
    let preview = v1::PreviewPayloadRequest {
        organization_id: client.organization(),
        event_type: "export.completed".to_owned(),
        payload_format: PayloadFormat::Cloudevents.into(),
        data_json: data,
        ..Default::default()
    };
    client.endpoints().preview_payload(preview).await.expect("it is made");
    for method in LISTS {
        pages_of(method, "acme", &first_keys_channel(&server)).await;
    }
    full_pages(&client, &delivery).await;

    let request = format!(r#"{{"organizationId":"acme","deliveryId":"{}"}}"#, delivery.id);
    let authorization = format!("authorization: Bearer {FIRST_KEY}");
    let arguments = ["-plaintext", "-H", &authorization, "-d", &request];
    let grpcurl = Launch::program(tools::grpcurl()).args(arguments);
    let method = "keeptrusts.webhooks.v1.DispatchService/GetDelivery";
    let mut grpcurl = grpcurl.arg(server.address().to_string()).arg(method).start();
    let status = grpcurl.wait_exit(PATIENCE).await;
    assert!(status.success(), "the line of docs/api.md works");
    assert!(grpcurl.output().contains("\"contentOmitted\": true"));
}

/// Reads the lists with headers and bodies: of the attempts of a delivery whose bodies fit no response
/// together, and of the delivery, which is as GetDelivery has it.
async fn full_pages(client: &Client, delivery: &v1::Delivery) {
    let (mut numbers, mut page_token) = (Vec::new(), String::new());
    loop {
        let request = v1::ListAttemptsRequest {
            organization_id: client.organization(),
            page_size: 1_000,
            page_token,
            view: v1::AttemptView::Full.into(),
            ..Default::default()
        };
        let page = client.dispatch().list_attempts(request).await.expect("listed").into_inner();
        assert!(page.encoded_len() <= api::MAX_RESPONSE_BYTES);
        assert!(page.attempts.iter().all(|attempt| attempt.request_body.len() > DATA_BYTES));
        let is_full = page.encoded_len() + 2 * DATA_BYTES > api::MAX_RESPONSE_BYTES;
        assert!(is_full || page.next_page_token.is_empty(), "what has room is shown");
        numbers.extend(page.attempts.iter().map(|attempt| attempt.number));
        page_token = page.next_page_token;
        if page_token.is_empty() {
            break;
        }
    }
    assert!(numbers.into_iter().eq((1..=ATTEMPTS as i32).rev()), "nothing twice, nothing lost");
    let request = v1::ListDeliveriesRequest {
        organization_id: client.organization(),
        view: v1::DeliveryView::Full.into(),
        ..Default::default()
    };
    let page = client.dispatch().list_deliveries(request).await.expect("listed").into_inner();
    assert!(page.encoded_len() <= api::MAX_RESPONSE_BYTES);
    assert_eq!(page.deliveries, std::slice::from_ref(delivery));
}
