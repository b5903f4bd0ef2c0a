//! Requests with a `request_id` (AIP-155): sent again, they do nothing, also after `kill -9` between
//! the commit and the answer.

use std::net::SocketAddr;
use std::time::Duration;

use keeptrusts_webhooks_contracts::client::{AuthorizedChannel, Bearer};
use keeptrusts_webhooks_contracts::v1;
use keeptrusts_webhooks_contracts::v1::access_service_client::AccessServiceClient;
use keeptrusts_webhooks_contracts::v1::notification_service_client::NotificationServiceClient;
use keeptrusts_webhooks_testkit::first_key::FIRST_KEY;
use keeptrusts_webhooks_testkit::random::Random;
use keeptrusts_webhooks_testkit::receiver::{Receiver, Reply, Script};
use tokio::time::sleep;
use tonic::{Code, Status};
use tonic_types::StatusExt;

use crate::chaos::check_tables;
use crate::platform::{
    Backend, Client, Database, PATIENCE, Server, assert_refused, channel, eventually,
    on_both_backends,
};

on_both_backends! {
    each_method_does_nothing_twice,
    what_was_deleted_since_is_not_made_again,
    a_request_that_is_sent_again_after_a_kill_is_done_once,
}

const ORGANIZATION: &str = "acme";

/// A caller with all services.
#[derive(Clone)]
struct Caller {
    client: Client,
    channels: NotificationServiceClient<AuthorizedChannel>,
    access: AccessServiceClient<AuthorizedChannel>,
}

impl Caller {
    fn with(address: SocketAddr, token: &str) -> Caller {
        let on = || Bearer::new(token).expect("a token").on(channel(address));
        let services = [channel(address), channel(address), channel(address)];
        Caller {
            client: Client::with_token(ORGANIZATION, services, token),
            channels: NotificationServiceClient::new(on()),
            access: AccessServiceClient::new(on()),
        }
    }

    async fn endpoint_ids(&self) -> Vec<String> {
        let request = v1::ListEndpointsRequest {
            organization_id: ORGANIZATION.to_owned(),
            page_size: 1_000,
            ..Default::default()
        };
        let listed = self.client.endpoints().list_endpoints(request).await.expect("listed");
        listed.into_inner().endpoints.into_iter().map(|endpoint| endpoint.id).collect()
    }

    async fn key_ids(&mut self) -> Vec<String> {
        let request =
            v1::ListKeysRequest { organization_id: ORGANIZATION.to_owned(), ..Default::default() };
        let listed = self.access.list_keys(request).await.expect("listed").into_inner();
        listed.keys.into_iter().map(|key| key.id).collect()
    }
}

fn organization_id() -> String {
    ORGANIZATION.to_owned()
}

fn create_endpoint(receiver: &Receiver, request_id: &str) -> v1::CreateEndpointRequest {
    v1::CreateEndpointRequest {
        organization_id: organization_id(),
        endpoint: Some(v1::Endpoint {
            display_name: "siem".to_owned(),
            url: receiver.url("/hook"),
            event_types: vec!["policy.violation".to_owned()],
            ..Default::default()
        }),
        request_id: request_id.to_owned(),
        ..Default::default()
    }
}

fn create_key(request_id: &str, role: v1::Role) -> v1::CreateKeyRequest {
    v1::CreateKeyRequest {
        organization_id: organization_id(),
        key: Some(v1::Key {
            display_name: "ci".to_owned(),
            role: role.into(),
            ..Default::default()
        }),
        request_id: request_id.to_owned(),
    }
}

fn assert_reused<T: std::fmt::Debug>(answer: Result<T, Status>) {
    assert_refused(&answer.expect_err("the id is used"), Code::AlreadyExists, "REQUEST_ID_REUSED");
}

async fn each_method_does_nothing_twice(backend: Backend) {
    let receiver = Receiver::start(Script::always(Reply::ok()));
    let database = Database::new(backend).await;
    let server = Server::all_in_one(&database).delivering_to(&receiver);
    let mut server = server.flag("--max-endpoints-per-organization", "1").start().await;
    let mut first = Caller::with(server.address(), FIRST_KEY);

    // CreateKey, and with it the second caller.
    let request = create_key("key", v1::Role::Admin);
    let created = first.access.create_key(request.clone()).await.expect("created").into_inner();
    assert!(!created.duplicate && created.token.starts_with("kt_"));
    let again = first.access.create_key(request.clone()).await.expect("repeated").into_inner();
    let id = |key: &Option<v1::Key>| key.as_ref().expect("a key").id.clone();
    assert_eq!((id(&again.key), again.token.as_str()), (id(&created.key), ""));
    assert!(again.duplicate);
    assert_reused(first.access.create_key(create_key("key", v1::Role::Viewer)).await);
    assert_eq!(first.key_ids().await, [id(&created.key)]);
    let mut other = Caller::with(server.address(), &created.token);

    // CreateSession.
    let request =
        v1::CreateSessionRequest { request_id: "session".to_owned(), ..Default::default() };
    let created = other.access.create_session(request.clone()).await.expect("opened").into_inner();
    let again = other.access.create_session(request).await.expect("repeated").into_inner();
    assert!(!created.token.is_empty() && !created.duplicate);
    assert_eq!((id(&again.session), again.token.as_str()), (id(&created.session), ""));
    assert!(again.duplicate);

    // CreateEndpoint, although the organization is full after the first one.
    let request = create_endpoint(&receiver, "endpoint");
    let mut endpoints = first.client.endpoints();
    let created = endpoints.create_endpoint(request.clone()).await.expect("created").into_inner();
    let again = endpoints.create_endpoint(request.clone()).await.expect("repeated").into_inner();
    let endpoint_id = created.endpoint.clone().expect("an endpoint").id;
    assert_eq!(again.endpoint.expect("an endpoint").id, endpoint_id);
    assert_eq!((&again.secret, again.duplicate), (&created.secret, true));
    assert!(!created.duplicate);
    let mut other_name = request.clone();
    other_name.endpoint.as_mut().expect("an endpoint").display_name = "other".to_owned();
    assert_reused(endpoints.create_endpoint(other_name).await);
    // Another caller, another method, and an id that CreateKey has used, which may be on another shard.
    assert_reused(other.client.endpoints().create_endpoint(request.clone()).await);
    assert_reused(endpoints.create_endpoint(create_endpoint(&receiver, "key")).await);
    let wrong = endpoints.create_endpoint(create_endpoint(&receiver, "a b")).await;
    let wrong = wrong.expect_err("not an id");
    assert_refused(&wrong, Code::InvalidArgument, "INVALID_FIELD");
    let fields = wrong.get_details_bad_request().expect("violations").field_violations;
    assert_eq!(fields[0].field, "request_id");
    let elsewhere = v1::CreateEndpointRequest { organization_id: "globex".to_owned(), ..request };
    let theirs = endpoints.create_endpoint(elsewhere).await.expect("another organization's id");
    assert!(!theirs.into_inner().duplicate);
    assert_eq!(first.endpoint_ids().await, [endpoint_id.as_str()]);

    // RotateSecret.
    let request = v1::RotateSecretRequest {
        organization_id: organization_id(),
        endpoint_id: endpoint_id.clone(),
        request_id: "rotation".to_owned(),
        ..Default::default()
    };
    let rotated = endpoints.rotate_secret(request.clone()).await.expect("rotated").into_inner();
    let again = endpoints.rotate_secret(request.clone()).await.expect("repeated").into_inner();
    assert_ne!(rotated.secret, created.secret);
    assert_eq!((&again.secret, again.duplicate), (&rotated.secret, true));
    let other_secret =
        v1::RotateSecretRequest { secret: "correct horse battery".to_owned(), ..request };
    assert_reused(endpoints.rotate_secret(other_secret).await);
    // A repetition of the creation has the present secret.
    let present = create_endpoint(&receiver, "endpoint");
    let present = endpoints.create_endpoint(present).await.expect("repeated").into_inner();
    assert_eq!(present.secret, rotated.secret);

    // SendTest.
    let mut dispatch = first.client.dispatch();
    let request = v1::SendTestRequest {
        organization_id: organization_id(),
        endpoint_id: endpoint_id.clone(),
        request_id: "test".to_owned(),
        ..Default::default()
    };
    let (sent, meanwhile) = {
        let mut second = first.client.dispatch();
        let at_once = second.send_test(request.clone());
        let (sent, meanwhile) = tokio::join!(dispatch.send_test(request.clone()), at_once);
        (sent.expect("sent").into_inner(), meanwhile.expect("sent").into_inner())
    };
    assert_ne!(sent.duplicate, meanwhile.duplicate, "one of two at once is sent");
    let again = dispatch.send_test(request).await.expect("repeated").into_inner();
    assert!(again.duplicate);
    for answer in [&sent, &meanwhile, &again] {
        let attempt = answer.attempt.as_ref().expect("its outcome");
        assert_eq!(attempt, sent.attempt.as_ref().expect("its outcome"));
        assert_eq!(attempt.status_code, 200);
    }
    assert_eq!(receiver.request_count(), 1);

    // RetryDelivery.
    let event = first.client.publish("policy.violation", "{}").await;
    let delivered = first.client.wait_for_state(&event, v1::delivery::State::Delivered).await;
    let request = v1::RetryDeliveryRequest {
        organization_id: organization_id(),
        delivery_id: delivered.id.clone(),
        request_id: "retry".to_owned(),
    };
    let asked = dispatch.retry_delivery(request.clone()).await.expect("requested").into_inner();
    assert!(!asked.duplicate);
    receiver.wait_for(3, PATIENCE).await;
    let retried = |delivery: &v1::Delivery| delivery.attempt_count == 2;
    first.client.wait_for_delivery(&event, "is retried", retried).await;
    let again = dispatch.retry_delivery(request).await.expect("repeated").into_inner();
    assert!(again.duplicate);
    let again = again.delivery.expect("a delivery");
    assert_eq!((again.id, again.attempt_count), (delivered.id, 2));
    assert_eq!(again.next_attempt_time, None, "no other attempt was requested");

    // CreateReplay, which would be refused while the first one runs.
    let request = v1::CreateReplayRequest {
        organization_id: organization_id(),
        replay: Some(v1::Replay {
            endpoint_id: endpoint_id.clone(),
            scope: v1::replay::Scope::All.into(),
            include_delivered: true,
            deliveries_per_second: 1,
            ..Default::default()
        }),
        request_id: "replay".to_owned(),
        ..Default::default()
    };
    let counted = v1::CreateReplayRequest { validate_only: true, ..request.clone() };
    let counted = dispatch.create_replay(counted).await.expect("counted").into_inner();
    assert!(!counted.duplicate);
    let created = dispatch.create_replay(request.clone()).await.expect("created").into_inner();
    let again = dispatch.create_replay(request).await.expect("repeated").into_inner();
    let id = |replay: &Option<v1::Replay>| replay.as_ref().expect("a replay").id.clone();
    assert_eq!((id(&again.replay), again.duplicate), (id(&created.replay), true));
    assert!(!created.duplicate);

    // CreateChannel and TestChannel.
    let request = v1::CreateChannelRequest {
        organization_id: organization_id(),
        channel: Some(v1::Channel {
            display_name: "ops".to_owned(),
            destination: Some(v1::channel::Destination::Webhook(v1::WebhookDestination {
                url: receiver.url("/channel"),
                secret: "correct horse battery".to_owned(),
            })),
            subscriptions: vec![v1::NotificationType::EndpointDegraded.into()],
            ..Default::default()
        }),
        request_id: "channel".to_owned(),
        ..Default::default()
    };
    let created = other.channels.create_channel(request.clone()).await.expect("created");
    let created = created.into_inner();
    let again =
        other.channels.create_channel(request.clone()).await.expect("repeated").into_inner();
    assert_eq!((&again.channel, again.duplicate), (&created.channel, true));
    assert_reused(first.channels.create_channel(request).await);
    let request = v1::TestChannelRequest {
        organization_id: organization_id(),
        channel_id: created.channel.expect("a channel").id,
        request_id: "channel-test".to_owned(),
    };
    let sent = other.channels.test_channel(request.clone()).await.expect("sent").into_inner();
    let again = other.channels.test_channel(request).await.expect("repeated").into_inner();
    assert!(!sent.duplicate && again.duplicate);
    assert_eq!(again.notification, sent.notification);
    let of_channel = receiver.requests().iter().filter(|of| of.path == "/channel").count();
    assert_eq!(of_channel, 1);

    server.stop().await;
    check_tables(&database).await;
}

async fn what_was_deleted_since_is_not_made_again(backend: Backend) {
    let receiver = Receiver::start(Script::always(Reply::ok()));
    let database = Database::new(backend).await;
    let server = Server::all_in_one(&database).delivering_to(&receiver).start().await;
    let client = server.client(ORGANIZATION);
    let request = create_endpoint(&receiver, "r");
    let mut endpoints = client.endpoints();
    let created = endpoints.create_endpoint(request.clone()).await.expect("created").into_inner();
    let delete = v1::DeleteEndpointRequest {
        organization_id: organization_id(),
        endpoint_id: created.endpoint.expect("an endpoint").id,
        ..Default::default()
    };
    endpoints.delete_endpoint(delete).await.expect("deleted");
    let gone = endpoints.create_endpoint(request).await.expect_err("it was deleted");
    assert_refused(&gone, Code::NotFound, "ENDPOINT_NOT_FOUND");
    assert!(gone.message().contains("send another request_id"), "{}", gone.message());
    endpoints.create_endpoint(create_endpoint(&receiver, "r2")).await.expect("created");
}

async fn a_request_that_is_sent_again_after_a_kill_is_done_once(backend: Backend) {
    const KILLS: usize = 6;
    let mut random = Random::of_new_seed();
    let receiver = Receiver::start(Script::always(Reply::ok()));
    let database = Database::new(backend).await;
    let serve = Server::all_in_one(&database).delivering_to(&receiver).on_a_fixed_port();
    let mut server = serve.flag("--lease-ttl", "2s").start().await;
    let mut caller = Caller::with(server.address(), FIRST_KEY);
    let (mut endpoints, mut keys) = (Vec::new(), Vec::new());
    for kill in 0..KILLS {
        let id = format!("kill-{kill}");
        let (endpoint, key) = (create_endpoint(&receiver, &id), create_key(&id, v1::Role::Viewer));
        // The id is the organization's: one for each request.
        let key = v1::CreateKeyRequest { request_id: format!("{id}-key"), ..key };
        let first = tokio::spawn({
            let (mut caller, endpoint, key) = (caller.clone(), endpoint.clone(), key.clone());
            async move {
                let mut client = caller.client.endpoints();
                _ = tokio::join!(client.create_endpoint(endpoint), caller.access.create_key(key));
            }
        });
        sleep(random.duration(Duration::from_millis(12))).await;
        server.kill().await;
        first.await.expect("it ends with the connection");
        server.start_again().await;

        let (mut of_endpoint, mut of_key) = (None, None);
        eventually("the server has answered both", async || {
            if of_endpoint.is_none() {
                let answer = caller.client.endpoints().create_endpoint(endpoint.clone()).await;
                of_endpoint = answered(answer);
            }
            if of_key.is_none() {
                of_key = answered(caller.access.create_key(key.clone()).await);
            }
            (of_endpoint.is_some() && of_key.is_some()).then_some(())
        })
        .await;
        let (of_endpoint, of_key) = (of_endpoint.expect("there"), of_key.expect("there"));
        println!("created before the kill: {}, {}", of_endpoint.duplicate, of_key.duplicate);
        assert!(of_endpoint.secret.starts_with("whsec_"), "it has a secret in any case");
        assert_eq!(of_key.token.is_empty(), of_key.duplicate);
        endpoints.push(of_endpoint.endpoint.expect("an endpoint").id);
        keys.push(of_key.key.expect("a key").id);
    }
    let newest_first = |mut ids: Vec<String>| {
        ids.sort_unstable_by(|one, other| other.cmp(one));
        ids
    };
    assert_eq!(caller.endpoint_ids().await, newest_first(endpoints.clone()));
    assert_eq!(caller.key_ids().await, newest_first(keys));

    // The receiver has the test, and the server dies before it has told anybody.
    receiver.set_script(Script::always(Reply::ok().after(Duration::from_secs(2))));
    let test = v1::SendTestRequest {
        organization_id: organization_id(),
        endpoint_id: endpoints.remove(0),
        request_id: "test".to_owned(),
        ..Default::default()
    };
    let first = tokio::spawn({
        let (mut dispatch, test) = (caller.client.dispatch(), test.clone());
        async move { dispatch.send_test(test).await }
    });
    receiver.wait_for(1, PATIENCE).await;
    server.kill().await;
    first.await.expect("no panic").expect_err("it was killed");
    receiver.set_script(Script::always(Reply::ok()));
    server.start_again().await;
    let outcome = eventually("the test has its outcome", async || {
        answered(caller.client.dispatch().send_test(test.clone()).await)
    });
    let outcome = outcome.await;
    assert!(outcome.duplicate);
    assert_eq!(outcome.attempt.expect("an attempt").status_code, 200);
    let deliveries: std::collections::BTreeSet<_> = receiver
        .requests()
        .iter()
        .map(|request| request.header("x-keeptrusts-delivery").expect("its id").to_owned())
        .collect();
    assert_eq!(deliveries.len(), 1, "a crash may repeat the attempt, but there is one test");

    server.stop().await;
    check_tables(&database).await;
}

/// None: the server is not available yet.
fn answered<T>(answer: Result<tonic::Response<T>, Status>) -> Option<T> {
    match answer {
        Ok(answer) => Some(answer.into_inner()),
        Err(status) if status.code() == Code::Unavailable => None,
        Err(status) => panic!("{status}"),
    }
}

#[tokio::test]
async fn a_repetition_shows_no_secret_to_a_role_that_may_not_reveal_it() {
    let receiver = Receiver::start(Script::always(Reply::ok()));
    let database = Database::new(Backend::Sqlite).await;
    let server = Server::all_in_one(&database).delivering_to(&receiver).start().await;
    let mut admin = Caller::with(server.address(), FIRST_KEY);
    let mut key = create_key("", v1::Role::Platform);
    key.organization_id = "*".to_owned();
    let token = admin.access.create_key(key).await.expect("created").into_inner().token;
    let platform = Caller::with(server.address(), &token);

    let request = create_endpoint(&receiver, "endpoint");
    let mut endpoints = platform.client.endpoints();
    let created = endpoints.create_endpoint(request.clone()).await.expect("created").into_inner();
    assert!(created.secret.starts_with("whsec_"));
    let endpoint_id = created.endpoint.expect("an endpoint").id;
    let rotation = v1::RotateSecretRequest {
        organization_id: organization_id(),
        endpoint_id,
        request_id: "rotation".to_owned(),
        ..Default::default()
    };
    let rotated = endpoints.rotate_secret(rotation.clone()).await.expect("rotated").into_inner();
    assert!(rotated.secret.starts_with("whsec_"));
    // An admin's own, which the platform was never told.
    let chosen = v1::RotateSecretRequest {
        secret: "correct horse battery".to_owned(),
        request_id: String::new(),
        ..rotation.clone()
    };
    admin.client.endpoints().rotate_secret(chosen).await.expect("rotated");
    let again = endpoints.rotate_secret(rotation).await.expect("repeated").into_inner();
    assert_eq!((again.duplicate, again.secret.as_str()), (true, ""));
    assert_eq!(again.standard_webhooks_secret, "");
    let again = endpoints.create_endpoint(request).await.expect("repeated").into_inner();
    assert_eq!((again.duplicate, again.secret.as_str()), (true, ""));
}
