//! Page tokens and resume tokens that somebody has made up. They carry no authority: whatever is in one,
//! its answer has rows of the caller's organization, or says that the token is wrong.

use std::fmt::Debug;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use keeptrusts_webhooks_contracts::client::AuthorizedChannel;
use keeptrusts_webhooks_contracts::v1;
use keeptrusts_webhooks_contracts::v1::notification_service_client::NotificationServiceClient;
use keeptrusts_webhooks_testkit::random::Random;
use keeptrusts_webhooks_testkit::receiver::{Receiver, Script};
use tonic::{Code, Status};

use crate::access::caller::{Caller, client as client_with};
use crate::platform::{
    Backend, Client, Database, Server, assert_refused, eventually, on_both_backends,
};

on_both_backends!(a_made_up_token_gives_rows_of_the_callers_organization_or_is_refused);

/// Its name is in no text of the other organization's.
const OTHER: &str = "globex";
/// For each method.
const MADE_UP: usize = 120;
/// What a page token begins with: which list it is of.
const LIST_BYTES: usize = 8;

const METHODS: [&str; 16] = [
    "ListEndpoints",
    "ListEndpoints by name",
    "ListEventTypes",
    "ListEvents",
    "ListDeliveries",
    "ListAttempts",
    "ListReplays",
    "ListChannels",
    "ListChannels by time",
    "ListNotifications",
    "ListKeys",
    "ListKeys by name",
    "ListAuditEntries",
    "ListAuditEntries of endpoints",
    "WatchDeliveries",
    "WatchEvents",
];

/// Somebody who belongs to one organization.
struct Member {
    client: Client,
    caller: Caller,
}

/// What a method has shown, and a token of its.
type Shown = Result<(String, String), Status>;

fn shown(items: impl Debug, token: String) -> Shown {
    Ok((format!("{items:?}"), token))
}

impl Member {
    fn channels(&self) -> NotificationServiceClient<AuthorizedChannel> {
        NotificationServiceClient::new(self.caller.channel.clone())
    }

    /// The rows of a page with this token. Of a watch, only its first response.
    #[allow(clippy::needless_update, reason = "some requests have no other field")]
    async fn ask(&self, method: &str, token: String) -> Shown {
        let (name, variant) = method.split_once(' ').unwrap_or((method, ""));
        macro_rules! list {
            ($client:expr, $call:ident, $request:ident, $items:ident $(, $field:ident: $value:expr)*) => {{
                let request = v1::$request {
                    organization_id: self.client.organization(),
                    page_size: 1,
                    page_token: token,
                    $($field: $value,)*
                    ..Default::default()
                };
                let page = $client.$call(request).await?.into_inner();
                shown(page.$items, page.next_page_token)
            }};
        }
        macro_rules! watch {
            ($call:ident, $request:ident) => {{
                let request = v1::$request {
                    organization_id: self.client.organization(),
                    resume_token: token,
                    ..Default::default()
                };
                let mut watched = self.client.dispatch().$call(request).await?.into_inner();
                let first = watched.message().await?.expect("at once");
                shown(first.resume_token.clone(), first.resume_token)
            }};
        }
        let by = |field: &str| if variant.is_empty() { String::new() } else { field.to_owned() };
        let client = &self.client;
        match name {
            "ListEndpoints" => list!(
                client.endpoints(), list_endpoints, ListEndpointsRequest, endpoints,
                order_by: by("display_name")
            ),
            "ListEventTypes" => {
                list!(client.endpoints(), list_event_types, ListEventTypesRequest, event_types)
            }
            "ListEvents" => list!(client.ingest(), list_events, ListEventsRequest, events),
            "ListDeliveries" => {
                list!(client.dispatch(), list_deliveries, ListDeliveriesRequest, deliveries)
            }
            "ListAttempts" => {
                list!(client.dispatch(), list_attempts, ListAttemptsRequest, attempts)
            }
            "ListReplays" => list!(client.dispatch(), list_replays, ListReplaysRequest, replays),
            "ListChannels" => list!(
                self.channels(), list_channels, ListChannelsRequest, channels,
                order_by: by("create_time desc")
            ),
            "ListNotifications" => {
                list!(self.channels(), list_notifications, ListNotificationsRequest, notifications)
            }
            "ListKeys" => list!(
                self.caller.access(), list_keys, ListKeysRequest, keys,
                order_by: by("display_name")
            ),
            "ListAuditEntries" => list!(
                self.caller.audit(), list_audit_entries, ListAuditEntriesRequest, entries,
                actions: if variant.is_empty() { vec![] } else {
                    vec![v1::AuditAction::EndpointCreated.into()]
                }
            ),
            "WatchDeliveries" => watch!(watch_deliveries, WatchDeliveriesRequest),
            "WatchEvents" => watch!(watch_events, WatchEventsRequest),
            _ => unreachable!("{method}"),
        }
    }

    /// Makes at least two of everything that is listed.
    async fn fill(&self, receiver: &Receiver) {
        let organization_id = self.client.organization();
        for number in 0..2 {
            let url = receiver.url(&format!("/{organization_id}"));
            let endpoint = self.client.create_endpoint(&url, &["config.updated"]).await;
            let event = self.client.publish("config.updated", "{}").await;
            self.client.wait_for_state(&event, v1::delivery::State::Delivered).await;
            let replay = v1::CreateReplayRequest {
                organization_id: organization_id.clone(),
                replay: Some(v1::Replay {
                    endpoint_id: endpoint.id,
                    scope: v1::replay::Scope::Failed.into(),
                    ..Default::default()
                }),
                ..Default::default()
            };
            self.client.dispatch().create_replay(replay).await.expect("a replay");
            self.caller.create_key(&organization_id, v1::Role::Viewer).await;
            let secret = "correct horse battery staple".to_owned();
            let webhook = v1::WebhookDestination { url, secret };
            let channel = v1::CreateChannelRequest {
                organization_id: organization_id.clone(),
                channel: Some(v1::Channel {
                    display_name: format!("{organization_id} {number}"),
                    destination: Some(v1::channel::Destination::Webhook(webhook)),
                    subscriptions: vec![v1::NotificationType::EndpointDegraded.into()],
                    ..Default::default()
                }),
                ..Default::default()
            };
            let channel = self.channels().create_channel(channel).await.expect("a channel");
            let test = v1::TestChannelRequest {
                organization_id: organization_id.clone(),
                channel_id: channel.into_inner().channel.expect("a channel").id,
                ..Default::default()
            };
            self.channels().test_channel(test).await.expect("it is sent");
        }
    }

    /// A token that the method has given.
    async fn token(&self, method: &str) -> Vec<u8> {
        let token = eventually(method, async || {
            let (_, token) = self.ask(method, String::new()).await.expect("the first page");
            (!token.is_empty()).then_some(token)
        });
        URL_SAFE_NO_PAD.decode(token.await).expect("base64")
    }
}

/// A token that is like these, the first of which is good.
fn made_up(random: &mut Random, tokens: &[Vec<u8>]) -> Vec<u8> {
    let own = &tokens[0];
    let other = random.pick(tokens).expect("there are some").clone();
    let any = |random: &mut Random, length: usize| -> Vec<u8> {
        (0..length).map(|_| random.number() as u8).collect()
    };
    let (list, payload) = own.split_at(LIST_BYTES.min(own.len()));
    match random.below(7) {
        // Others' places in the own list.
        0 | 1 => [list, other.get(LIST_BYTES..).unwrap_or_default()].concat(),
        2 => other,
        3 => {
            let length = random.index(80);
            [list, &any(random, length)].concat()
        }
        4 => {
            let length = random.index(80);
            any(random, length)
        }
        5 => [list, payload, "7".repeat(random.index(50_000)).as_bytes()].concat(),
        _ => {
            let mut changed = own.clone();
            for _ in 0..=random.index(3) {
                let at = random.index(changed.len());
                match random.below(3) {
                    0 => changed[at] = random.number() as u8,
                    1 => _ = changed.remove(at),
                    _ => changed.insert(at, random.number() as u8),
                }
            }
            changed
        }
    }
}

async fn a_made_up_token_gives_rows_of_the_callers_organization_or_is_refused(backend: Backend) {
    let mut random = Random::of_new_seed();
    let receiver = Receiver::start(Script::default());
    let database = Database::new(backend).await;
    let server = Server::all_in_one(&database).delivering_to(&receiver).start().await;
    let first = Caller::first(&server);
    let mut members = Vec::new();
    for organization in ["acme", OTHER] {
        let key = first.create_key(organization, v1::Role::Admin).await.token;
        let client = client_with(&server, organization, &key);
        let member = Member { client, caller: Caller::with(&server, &key) };
        member.fill(&receiver).await;
        members.push(member);
    }
    let [own, theirs] = &members[..] else { panic!("two") };
    let mut others = Vec::new();
    for method in METHODS {
        others.push(theirs.token(method).await);
        others.push(own.token(method).await);
    }
    for method in METHODS {
        let good = own.token(method).await;
        let tokens: Vec<_> = [good].into_iter().chain(others.clone()).collect();
        let mut answers = [0, 0];
        for made_up in
            (0..MADE_UP).map(|_| made_up(&mut random, &tokens)).chain([tokens[0].clone()])
        {
            let token = URL_SAFE_NO_PAD.encode(&made_up);
            match own.ask(method, token).await {
                Ok((rows, _)) => {
                    assert!(!rows.contains(OTHER), "{method} {made_up:?}: {rows}");
                    answers[0] += 1;
                }
                Err(refused) => {
                    assert_refused(&refused, Code::InvalidArgument, "INVALID_FIELD");
                    answers[1] += 1;
                }
            }
        }
        assert!(answers.iter().all(|count| *count > 0), "{method}: {answers:?}");
        let foreign = theirs.token(method).await;
        let refused = own.ask(method, URL_SAFE_NO_PAD.encode(foreign)).await.map(|_| ());
        assert_refused(&refused.expect_err(method), Code::InvalidArgument, "INVALID_FIELD");
    }
    assert!(own.ask("ListEvents", "\u{0}é".repeat(10)).await.is_err());
}
