//! Access control: every method, every role, every organization.

use std::collections::BTreeSet;

use keeptrusts_webhooks_contracts::{DESCRIPTORS, v1};
use keeptrusts_webhooks_testkit::first_key::FIRST_KEY;
use prost::Message;
use prost_types::FileDescriptorSet;
use tonic::client::Grpc;
use tonic::{Code, Request, Status};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;
use tonic_prost::ProstCodec;
use tonic_types::StatusExt;

use super::caller::Caller;
use crate::platform::{Backend, Client, Database, Server, data_json};

pub(super) const PACKAGE: &str = "keeptrusts.webhooks.v1";

/// Which roles may call a method: admin, publisher, viewer, platform; and whether its request names
/// an organization.
pub(super) struct Rule {
    pub(super) method: &'static str,
    admin: bool,
    publisher: bool,
    viewer: bool,
    platform: bool,
    names_organization: bool,
    /// A valid request, as bytes.
    pub(super) request: fn(&ResourceIds) -> Vec<u8>,
}

/// The things that requests name: an endpoint, an event, a delivery.
#[derive(Clone, Debug)]
pub(super) struct ResourceIds {
    organization_id: String,
    endpoint_id: String,
    event_id: String,
    delivery_id: String,
    attempt_id: String,
    key_id: String,
}

/// A channel that does not exist.
const CHANNEL: &str = "chn_00000000000000000000000009";

/// `APVF`: a letter for each role that may, a dash for each that may not; `org`: the request
/// names an organization.
macro_rules! rules {
    ($($method:literal $roles:literal $org:literal $message:ident { $($field:ident: $value:expr),* $(,)? };)*) => {
        vec![$(Rule {
            method: $method,
            admin: $roles.contains('A'),
            publisher: $roles.contains('P'),
            viewer: $roles.contains('V'),
            platform: $roles.contains('F'),
            names_organization: $org,
            request: |ids: &ResourceIds| {
                let _ = ids;
                #[allow(clippy::needless_update, reason = "some requests have all fields given")]
                let message =
                    v1::$message { $($field: $value(ids),)* ..Default::default() };
                message.encode_to_vec()
            },
        },)*]
    };
}

fn org(ids: &ResourceIds) -> String {
    ids.organization_id.clone()
}

fn endpoint(ids: &ResourceIds) -> String {
    ids.endpoint_id.clone()
}

fn event(ids: &ResourceIds) -> String {
    ids.event_id.clone()
}

fn delivery(ids: &ResourceIds) -> String {
    ids.delivery_id.clone()
}

pub(super) fn rules() -> Vec<Rule> {
    rules! {
        "EndpointService/CreateEndpoint" "A--F" true CreateEndpointRequest {
            organization_id: org,
            endpoint: |_| Some(v1::Endpoint {
                display_name: "n".to_owned(),
                url: "https://a.example".to_owned(),
                event_types: vec!["user.invited".to_owned()],
                ..Default::default()
            }),
        };
        "EndpointService/GetEndpoint" "A-VF" true GetEndpointRequest {
            organization_id: org, endpoint_id: endpoint,
        };
        "EndpointService/ListEndpoints" "A-VF" true ListEndpointsRequest { organization_id: org };
        "EndpointService/PreviewPayload" "A-VF" true PreviewPayloadRequest {
            organization_id: org, event_type: |_| "user.invited".to_owned(),
        };
        "EndpointService/UpdateEndpoint" "A--F" true UpdateEndpointRequest {
            organization_id: org,
            endpoint: |ids| Some(v1::Endpoint {
                id: endpoint(ids), display_name: "other".to_owned(), ..Default::default()
            }),
        };
        "EndpointService/EnableEndpoint" "A--F" true EnableEndpointRequest {
            organization_id: org, endpoint_id: endpoint,
        };
        "EndpointService/DisableEndpoint" "A--F" true DisableEndpointRequest {
            organization_id: org, endpoint_id: endpoint,
        };
        "EndpointService/DeleteEndpoint" "A--F" true DeleteEndpointRequest {
            organization_id: org, endpoint_id: |_| "ep_00000000000000000000000009".to_owned(),
        };
        "EndpointService/RotateSecret" "A--F" true RotateSecretRequest {
            organization_id: org, endpoint_id: endpoint,
        };
        "EndpointService/RevealSecret" "A---" true RevealSecretRequest {
            organization_id: org, endpoint_id: endpoint,
        };
        "EndpointService/ListEventTypes" "APVF" true ListEventTypesRequest { organization_id: org };
        "IngestService/PublishEvent" "AP-F" true PublishEventRequest {
            organization_id: org, event_type: |_| "user.invited".to_owned(),
            payload: |_| data_json("{}"),
        };
        "IngestService/BatchPublishEvents" "AP-F" true BatchPublishEventsRequest {
            organization_id: org,
            requests: |_| vec![v1::PublishEventRequest {
                event_type: "user.invited".to_owned(), payload: data_json("{}"),
                ..Default::default()
            }],
        };
        "IngestService/StreamEvents" "AP-F" true StreamEventsRequest {
            sequence_number: |_| 1,
            request: |ids| Some(v1::PublishEventRequest {
                organization_id: org(ids), event_type: "user.invited".to_owned(),
                payload: data_json("{}"), ..Default::default()
            }),
        };
        "IngestService/GetEvent" "APVF" true GetEventRequest {
            organization_id: org, event_id: event,
        };
        "IngestService/ListEvents" "APVF" true ListEventsRequest { organization_id: org };
        "NotificationService/CreateChannel" "A--F" true CreateChannelRequest {
            organization_id: org,
            channel: |_| Some(v1::Channel {
                display_name: "n".to_owned(),
                destination: Some(v1::channel::Destination::Slack(v1::SlackDestination {
                    url: "https://a.example/x".to_owned(), ..Default::default()
                })),
                subscriptions: vec![v1::NotificationType::EndpointDegraded.into()],
                ..Default::default()
            }),
        };
        "NotificationService/GetChannel" "A-VF" true GetChannelRequest {
            organization_id: org, channel_id: |_| CHANNEL.to_owned(),
        };
        "NotificationService/ListChannels" "A-VF" true ListChannelsRequest {
            organization_id: org,
        };
        "NotificationService/UpdateChannel" "A--F" true UpdateChannelRequest {
            organization_id: org,
            channel: |_| Some(v1::Channel {
                id: CHANNEL.to_owned(), display_name: "other".to_owned(), ..Default::default()
            }),
        };
        "NotificationService/DeleteChannel" "A--F" true DeleteChannelRequest {
            organization_id: org, channel_id: |_| CHANNEL.to_owned(),
        };
        "NotificationService/TestChannel" "A--F" true TestChannelRequest {
            organization_id: org, channel_id: |_| CHANNEL.to_owned(),
        };
        "NotificationService/GetNotification" "A-VF" true GetNotificationRequest {
            organization_id: org, notification_id: |_| "ntf_00000000000000000000000009".to_owned(),
        };
        "NotificationService/ListNotifications" "A-VF" true ListNotificationsRequest {
            organization_id: org,
        };
        "DispatchService/SendTest" "A--F" true SendTestRequest {
            organization_id: org, endpoint_id: |_| "ep_00000000000000000000000009".to_owned(),
        };
        "DispatchService/ListDeliveries" "A-VF" true ListDeliveriesRequest { organization_id: org };
        "DispatchService/GetDelivery" "A-VF" true GetDeliveryRequest {
            organization_id: org, delivery_id: delivery,
        };
        "DispatchService/GetAttempt" "A-VF" true GetAttemptRequest {
            organization_id: org, attempt_id: |ids: &ResourceIds| ids.attempt_id.clone(),
        };
        "DispatchService/ListAttempts" "A-VF" true ListAttemptsRequest { organization_id: org };
        "DispatchService/RetryDelivery" "A--F" true RetryDeliveryRequest {
            organization_id: org, delivery_id: delivery,
        };
        "DispatchService/CancelDelivery" "A--F" true CancelDeliveryRequest {
            organization_id: org, delivery_id: delivery,
        };
        "DispatchService/WatchDeliveries" "A-VF" true WatchDeliveriesRequest {
            organization_id: org,
        };
        "DispatchService/WatchEvents" "A-VF" true WatchEventsRequest { organization_id: org };
        "DispatchService/GetEndpointStats" "A-VF" true GetEndpointStatsRequest {
            organization_id: org, endpoint_id: endpoint,
        };
        "DispatchService/GetHealthSummary" "A-VF" true GetHealthSummaryRequest {
            organization_id: org,
        };
        "DispatchService/CreateReplay" "A--F" true CreateReplayRequest {
            organization_id: org,
            replay: |ids| Some(v1::Replay {
                endpoint_id: endpoint(ids), scope: v1::replay::Scope::Missed.into(), ..Default::default()
            }),
        };
        "DispatchService/GetReplay" "A-VF" true GetReplayRequest {
            organization_id: org, replay_id: |_| "rpl_00000000000000000000000009".to_owned(),
        };
        "DispatchService/ListReplays" "A-VF" true ListReplaysRequest { organization_id: org };
        "DispatchService/CancelReplay" "A--F" true CancelReplayRequest {
            organization_id: org, replay_id: |_| "rpl_00000000000000000000000009".to_owned(),
        };
        "DispatchService/WatchReplay" "A-VF" true WatchReplayRequest {
            organization_id: org, replay_id: |_| "rpl_00000000000000000000000009".to_owned(),
        };
        "AccessService/CreateKey" "A---" true CreateKeyRequest {
            organization_id: org,
            key: |_| Some(v1::Key {
                display_name: "n".to_owned(), role: v1::Role::Viewer.into(), ..Default::default()
            }),
        };
        "AccessService/GetKey" "A---" true GetKeyRequest {
            organization_id: org, key_id: |ids: &ResourceIds| ids.key_id.clone(),
        };
        "AccessService/ListKeys" "A---" true ListKeysRequest { organization_id: org };
        "AccessService/RevokeKey" "A---" true RevokeKeyRequest {
            organization_id: org, key_id: |ids: &ResourceIds| ids.key_id.clone(),
        };
        "AccessService/WhoAmI" "APVF" false WhoAmIRequest {};
        "AccessService/CreateSession" "APVF" true CreateSessionRequest { organization_id: org };
        "AccessService/EndSession" "APVF" false EndSessionRequest {};
        "AuditService/ListAuditEntries" "A---" true ListAuditEntriesRequest {
            organization_id: org,
        };
    }
}

#[test]
fn the_table_has_every_method_of_the_contracts() {
    let files = FileDescriptorSet::decode(DESCRIPTORS).expect("descriptors").file;
    let ours = files.iter().filter(|file| file.package() == PACKAGE);
    let services = ours.flat_map(|file| &file.service);
    let methods: BTreeSet<String> = services
        .flat_map(|service| {
            let name = service.name().to_owned();
            service.method.iter().map(move |method| format!("{name}/{}", method.name()))
        })
        .collect();
    let table: BTreeSet<String> = rules().iter().map(|rule| rule.method.to_owned()).collect();
    assert_eq!(table, methods, "add a line for what is new, and say who may");
}

/// The result of a call, as far as access is concerned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum AccessResult {
    /// The token is not valid.
    Unauthenticated,
    /// The role does not permit it.
    Denied,
    /// Another organization.
    NoSuchOrganization,
    /// It reached its service.
    LetIn,
}

fn outcome(status: &Result<(), Status>) -> AccessResult {
    let Err(status) = status else { return AccessResult::LetIn };
    let reason = status.get_details_error_info().map(|info| info.reason).unwrap_or_default();
    match status.code() {
        Code::Unauthenticated => AccessResult::Unauthenticated,
        Code::PermissionDenied => AccessResult::Denied,
        Code::NotFound if reason == "ORGANIZATION_NOT_FOUND" => AccessResult::NoSuchOrganization,
        Code::Unimplemented | Code::Internal | Code::Unknown => panic!("{status}"),
        _ => AccessResult::LetIn,
    }
}

/// Streams that have no end.
fn is_endless(method: &str) -> bool {
    method.ends_with("WatchDeliveries") || method.ends_with("WatchEvents")
}

/// Calls a method with the bytes of a request, and drops the response. A stream has begun when its
/// first headers have arrived.
async fn call(caller: &Caller, method: &str, request: Vec<u8>) -> Result<(), Status> {
    let mut grpc = Grpc::new(caller.channel.clone());
    grpc.ready().await.map_err(|error| Status::unknown(error.to_string()))?;
    let path = format!("/{PACKAGE}.{method}").parse().expect("a path");
    let request = Request::new(Encoded(request));
    let codec = ProstCodec::<Encoded, ()>::default();
    grpc.server_streaming(request, path, codec).await?.into_inner().message().await.map(drop)
}

/// A message that is encoded already.
#[derive(Debug, Default)]
struct Encoded(Vec<u8>);

impl Message for Encoded {
    fn encode_raw(&self, buffer: &mut impl prost::bytes::BufMut) {
        buffer.put_slice(&self.0);
    }

    fn merge_field(
        &mut self,
        _: u32,
        _: prost::encoding::WireType,
        _: &mut impl prost::bytes::Buf,
        _: prost::encoding::DecodeContext,
    ) -> Result<(), prost::DecodeError> {
        Ok(())
    }

    fn encoded_len(&self) -> usize {
        self.0.len()
    }

    fn clear(&mut self) {
        self.0.clear();
    }
}

/// Creates one thing of each kind in an organization.
pub(super) async fn create_resources(client: &Client, admin: &Caller) -> ResourceIds {
    let url = "https://receiver.invalid/";
    let endpoint = client.create_endpoint(url, &["policy.violation"]).await;
    let event_id = client.publish("policy.violation", "{}").await;
    let retrying = |delivery: &v1::Delivery| delivery.attempt_count > 0;
    let delivery = client.wait_for_delivery(&event_id, "was attempted", retrying).await;
    let key = admin.create_key(&client.organization(), v1::Role::Viewer).await;
    ResourceIds {
        organization_id: client.organization(),
        endpoint_id: endpoint.id,
        event_id,
        attempt_id: delivery.attempts[0].id.clone(),
        delivery_id: delivery.id,
        key_id: key.key.expect("a key").id,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_method_admits_exactly_the_roles_of_its_rule() {
    let database = Database::new(Backend::Sqlite).await;
    let server = Server::all_in_one(&database).retrying_after("1h").start().await;
    let first = Caller::first(&server);
    let acme = create_resources(&server.client("acme"), &first).await;
    let globex = create_resources(&server.client("globex"), &first).await;
    let nobodys = ResourceIds { organization_id: "initech".to_owned(), ..globex.clone() };
    let as_mine = ResourceIds { organization_id: "acme".to_owned(), ..globex.clone() };

    for (role, organization) in [
        (v1::Role::Admin, "acme"),
        (v1::Role::Publisher, "acme"),
        (v1::Role::Viewer, "acme"),
        (v1::Role::Admin, "*"),
        (v1::Role::Publisher, "*"),
        (v1::Role::Viewer, "*"),
        (v1::Role::Platform, "*"),
    ] {
        let key = first.create_key(organization, role).await;
        let caller = Caller::with(&server, &key.token);
        for rule in rules() {
            let may = match role {
                v1::Role::Admin => rule.admin,
                v1::Role::Publisher => rule.publisher,
                v1::Role::Viewer => rule.viewer,
                _ => rule.platform,
            };
            let context = format!("{} as {role:?} of {organization}", rule.method);
            let asked = async |ids: &ResourceIds| {
                tokio::time::timeout(
                    std::time::Duration::from_millis(if is_endless(rule.method) {
                        300
                    } else {
                        30_000
                    }),
                    call(&caller, rule.method, (rule.request)(ids)),
                )
                .await
                // A stream that has begun and has no message yet.
                .unwrap_or(Ok(()))
            };
            let own = asked(&acme).await;
            let expected = if may { AccessResult::LetIn } else { AccessResult::Denied };
            assert_eq!(outcome(&own), expected, "{context}, own: {own:?}");
            if !may || !rule.names_organization {
                continue;
            }
            let (other, unknown) = (asked(&globex).await, asked(&nobodys).await);
            let expected = match organization {
                "*" => AccessResult::LetIn,
                _ => AccessResult::NoSuchOrganization,
            };
            assert_eq!(outcome(&other), expected, "{context}, another's: {other:?}");
            assert_eq!(outcome(&unknown), expected, "{context}, nobody's: {unknown:?}");
            if let (Err(other), Err(unknown), true) = (&other, &unknown, organization != "*") {
                let told = other.message().replace("globex", "initech");
                assert_eq!(told, unknown.message(), "{context}: nothing tells that it exists");
            }
            // Nor are another organization's things found in one's own.
            if organization != "*" && (rule.request)(&as_mine) != (rule.request)(&acme) {
                let foreign = asked(&as_mine).await.expect_err(&context);
                assert_eq!(foreign.code(), Code::NotFound, "{context}: {foreign}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_valid_token_only_health_and_reflection_answer() {
    let database = Database::new(Backend::Sqlite).await;
    let server =
        Server::all_in_one(&database).flag("--failed-logins-per-minute", "100000").start().await;
    let first = Caller::first(&server);
    let ids = create_resources(&server.client("acme"), &first).await;
    let revoked = first.create_key("acme", v1::Role::Admin).await;
    first.revoke("acme", &revoked.key.expect("a key").id).await;

    let wrong_key = format!("kt_{}", "0".repeat(64));
    let upper = FIRST_KEY.to_uppercase();
    let tokens =
        [&revoked.token, &wrong_key, &FIRST_KEY[3..], &upper, "", "kt_", "a.b.c", "Bearer x"];
    for token in tokens {
        let caller = Caller::with(&server, token);
        for rule in rules() {
            let answer = call(&caller, rule.method, (rule.request)(&ids)).await;
            let context = format!("{} with {token:?}: {answer:?}", rule.method);
            assert_eq!(outcome(&answer), AccessResult::Unauthenticated, "{context}");
        }
    }
    for rule in rules() {
        let mut grpc = Grpc::new(crate::platform::channel(server.address()));
        grpc.ready().await.expect("it listens");
        let path = format!("/{PACKAGE}.{}", rule.method).parse().expect("a path");
        let request = Request::new(Encoded((rule.request)(&ids)));
        let codec = ProstCodec::<Encoded, ()>::default();
        let answer = grpc.server_streaming(request, path, codec).await;
        let refused = answer.map(drop).expect_err(rule.method);
        assert_eq!(
            refused.code(),
            Code::Unauthenticated,
            "{} with nothing: {refused}",
            rule.method
        );
    }
    let mut health = HealthClient::new(crate::platform::channel(server.address()));
    health.check(HealthCheckRequest::default()).await.expect("health takes no token");
    let unheard_of = call(&first, "EndpointService/Steal", Vec::new()).await;
    assert_eq!(unheard_of.expect_err("no such method").code(), Code::Unimplemented);
}
