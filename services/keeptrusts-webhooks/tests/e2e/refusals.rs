//! Calls that are refused although the request itself is valid: what does not exist, what belongs
//! to others, what comes too late, and where nothing may be sent.

use std::time::Duration;

use hyper_util::client::legacy::Client as HttpClient;
use hyper_util::rt::TokioExecutor;
use keeptrusts_webhooks_contracts::api::next_shown;
use keeptrusts_webhooks_contracts::client::Bearer;
use keeptrusts_webhooks_contracts::v1::dispatch_service_client::DispatchServiceClient;
use keeptrusts_webhooks_contracts::v1::{
    CancelDeliveryRequest, CreateReplayRequest, DeleteEndpointRequest, DisableEndpointRequest,
    EnableEndpointRequest, Endpoint, GetDeliveryRequest, GetEndpointRequest,
    GetEndpointStatsRequest, GetEventRequest, PublishEventRequest, Replay, RetryDeliveryRequest,
    RevealSecretRequest, RotateSecretRequest, SendTestRequest, UpdateEndpointRequest,
    WatchDeliveriesRequest, attempt, delivery, replay,
};
use keeptrusts_webhooks_testkit::first_key::FIRST_KEY;
use keeptrusts_webhooks_testkit::ports::closed_port;
use keeptrusts_webhooks_testkit::postgres::Cluster;
use keeptrusts_webhooks_testkit::process::Signal;
use keeptrusts_webhooks_testkit::receiver::{Receiver, Reply, Script};
use tonic::service::interceptor::InterceptedService;
use tonic::{Code, Request, Status};
use tonic_types::StatusExt;

use crate::platform::{Backend, Client, Database, Server, assert_refused, eventually};

const ULID: &str = "01ARZ3NDEKTSV4RRFFQ69G5FAV";

/// Calls every method that takes an endpoint's id; returns their errors.
async fn ask_for_endpoint(client: &Client, id: &str) -> Vec<Status> {
    macro_rules! refusal {
        ($service:ident.$method:ident($request:ident)) => {{
            let request = $request {
                organization_id: client.organization(),
                endpoint_id: id.to_owned(),
                ..Default::default()
            };
            let answer = client.$service().$method(request).await;
            answer.map(drop).expect_err(stringify!($method))
        }};
    }
    #[allow(clippy::needless_update, reason = "some of the requests have no other field")]
    let refusals = vec![
        refusal!(endpoints.get_endpoint(GetEndpointRequest)),
        refusal!(endpoints.enable_endpoint(EnableEndpointRequest)),
        refusal!(endpoints.disable_endpoint(DisableEndpointRequest)),
        refusal!(endpoints.delete_endpoint(DeleteEndpointRequest)),
        refusal!(endpoints.rotate_secret(RotateSecretRequest)),
        refusal!(endpoints.reveal_secret(RevealSecretRequest)),
        refusal!(dispatch.send_test(SendTestRequest)),
        refusal!(dispatch.get_endpoint_stats(GetEndpointStatsRequest)),
    ];
    refusals
}

/// The same for a delivery's id.
async fn ask_for_delivery(client: &Client, id: &str) -> Vec<Status> {
    let (organization_id, delivery_id) = (client.organization(), id.to_owned());
    let mut dispatch = client.dispatch();
    let request = GetDeliveryRequest {
        organization_id: organization_id.clone(),
        delivery_id: delivery_id.clone(),
        ..Default::default()
    };
    let get = dispatch.get_delivery(request).await.map(drop);
    let request = RetryDeliveryRequest {
        organization_id: organization_id.clone(),
        delivery_id: delivery_id.clone(),
        ..Default::default()
    };
    let retry = dispatch.retry_delivery(request).await.map(drop);
    let request = CancelDeliveryRequest { organization_id, delivery_id };
    let cancel = dispatch.cancel_delivery(request).await.map(drop);
    [get, retry, cancel].map(|answer| answer.expect_err("there is no such delivery")).into()
}

/// The same for an event's id.
async fn ask_for_event(client: &Client, id: &str) -> Vec<Status> {
    let request = GetEventRequest {
        organization_id: client.organization(),
        event_id: id.to_owned(),
        ..Default::default()
    };
    vec![client.ingest().get_event(request).await.expect_err("there is no such event")]
}

#[tokio::test]
async fn missing_things_and_those_of_other_organizations_are_not_found() {
    let database = Database::new(Backend::Sqlite).await;
    let server = Server::all_in_one(&database).start().await;
    let acme = server.client("acme");
    let endpoint = acme.create_endpoint(&closed_port().url("/"), &["key.rotated"]).await;
    let event_id = acme.publish("key.rotated", "{}").await;
    let delivery = acme.wait_for_state(&event_id, delivery::State::Retrying).await;
    let before = acme.endpoint(&endpoint.id).await;

    let other = server.client("other");
    for id in [&endpoint.id, &format!("ep_{ULID}")] {
        for refusal in ask_for_endpoint(&other, id).await {
            assert_not_found(&refusal, "ENDPOINT_NOT_FOUND", id);
        }
        let request = UpdateEndpointRequest {
            organization_id: other.organization(),
            endpoint: Some(Endpoint {
                id: id.clone(),
                display_name: "mine".to_owned(),
                ..Default::default()
            }),
            ..Default::default()
        };
        let refusal = other.endpoints().update_endpoint(request).await.expect_err("not its own");
        assert_not_found(&refusal, "ENDPOINT_NOT_FOUND", id);
    }
    for id in [&delivery.id, &format!("dlv_{ULID}")] {
        for refusal in ask_for_delivery(&other, id).await {
            assert_not_found(&refusal, "DELIVERY_NOT_FOUND", id);
        }
    }
    for id in [&event_id, &format!("evt_{ULID}")] {
        for refusal in ask_for_event(&other, id).await {
            assert_not_found(&refusal, "EVENT_NOT_FOUND", id);
        }
    }
    assert_eq!(acme.endpoint(&endpoint.id).await, before, "nothing of acme's has changed");
}

#[tokio::test]
async fn an_invalid_id_is_distinguished_from_one_that_does_not_exist() {
    let database = Database::new(Backend::Sqlite).await;
    let server = Server::all_in_one(&database).start().await;
    let client = server.client("acme");
    let of_another_kind = format!("op_{ULID}");
    let in_lower_case = format!("ep_{}", ULID.to_lowercase());
    for id in ["", "1", "ep_", &of_another_kind, &in_lower_case] {
        for (field, refusals) in [
            ("endpoint_id", ask_for_endpoint(&client, id).await),
            ("delivery_id", ask_for_delivery(&client, id).await),
            ("event_id", ask_for_event(&client, id).await),
        ] {
            for refusal in refusals {
                assert_refused(&refusal, Code::InvalidArgument, "INVALID_FIELD");
                let details = refusal.get_details_bad_request().expect("field violations");
                let violation = &details.field_violations[0];
                assert_eq!(violation.field, field, "{id:?}");
                let expected = if id.is_empty() { "is required" } else { "and 26 characters" };
                assert!(violation.description.contains(expected), "{violation:?}");
            }
        }
    }
}

#[tokio::test]
async fn what_is_disabled_deleted_or_has_ended_refuses_requests_with_its_reason() {
    let database = Database::new(Backend::Sqlite).await;
    let server = Server::all_in_one(&database).start().await;
    let client = server.client("acme");
    let endpoint = client.create_endpoint(&closed_port().url("/"), &["key.rotated"]).await;
    let event_id = client.publish("key.rotated", "{}").await;
    let delivery = client.wait_for_state(&event_id, delivery::State::Retrying).await;
    let organization_id = || client.organization();
    let endpoint_id = || endpoint.id.clone();
    let delivery_id = || delivery.id.clone();
    let retry = async || {
        let request = RetryDeliveryRequest {
            organization_id: organization_id(),
            delivery_id: delivery_id(),
            ..Default::default()
        };
        client.dispatch().retry_delivery(request).await.expect_err("it is refused")
    };

    let disable = DisableEndpointRequest {
        organization_id: organization_id(),
        endpoint_id: endpoint_id(),
        reason: "maintenance until noon".to_owned(),
    };
    let disabled = client.endpoints().disable_endpoint(disable).await.expect("disabled");
    let disabled = disabled.into_inner().endpoint.expect("an endpoint");
    assert_eq!(disabled.state_reason, "maintenance until noon");
    let test = SendTestRequest {
        organization_id: organization_id(),
        endpoint_id: endpoint_id(),
        ..Default::default()
    };
    let replay = CreateReplayRequest {
        organization_id: organization_id(),
        replay: Some(Replay {
            endpoint_id: endpoint_id(),
            scope: replay::Scope::Failed.into(),
            ..Replay::default()
        }),
        ..Default::default()
    };
    for refusal in [
        retry().await,
        client.dispatch().send_test(test).await.expect_err("it is disabled"),
        client.dispatch().create_replay(replay).await.expect_err("it is disabled"),
    ] {
        assert_refused(&refusal, Code::FailedPrecondition, "ENDPOINT_DISABLED");
    }

    let cancel = async || {
        let request = CancelDeliveryRequest {
            organization_id: organization_id(),
            delivery_id: delivery_id(),
        };
        client.dispatch().cancel_delivery(request).await
    };
    cancel().await.expect("it waits for its retry");
    let cancelled = client.wait_for_state(&event_id, delivery::State::Cancelled).await;
    assert_eq!(cancelled.cancel_reason, "cancelled on request");
    let refusal = cancel().await.expect_err("it has ended");
    assert_refused(&refusal, Code::FailedPrecondition, "DELIVERY_ENDED");

    let delete = DeleteEndpointRequest {
        organization_id: organization_id(),
        endpoint_id: endpoint_id(),
        etag: String::new(),
        ..Default::default()
    };
    client.endpoints().delete_endpoint(delete).await.expect("deleted");
    assert_refused(&retry().await, Code::FailedPrecondition, "ENDPOINT_DELETED");
    assert_eq!(client.delivery(&delivery.id).await.attempts.len(), 1, "its history stays readable");
    let get = GetEndpointRequest { organization_id: organization_id(), endpoint_id: endpoint_id() };
    let refusal = client.endpoints().get_endpoint(get).await.expect_err("it was deleted");
    assert_refused(&refusal, Code::NotFound, "ENDPOINT_NOT_FOUND");
}

fn assert_not_found(status: &Status, reason: &str, id: &str) {
    assert_refused(status, Code::NotFound, reason);
    assert!(status.message().contains(id) && status.message().contains("check both ids"));
}

#[tokio::test]
async fn nothing_is_sent_to_loopback_unless_it_is_allowed() {
    let receiver = Receiver::start(Script::default());
    let database = Database::new(Backend::Sqlite).await;
    let ca = receiver.ca_file().to_str().expect("the path is UTF-8");
    let server = Server::all_in_one(&database).flag("--trust-ca", ca).start().await;
    let client = server.client("acme");
    let port = receiver.address().port();
    for (event_type, host, error) in [
        (
            "gateway.connected",
            "127.0.0.1",
            "refused to connect to 127.0.0.1: loopback address (an operator can permit it with --allow-network 127.0.0.1/32)",
        ),
        ("gateway.disconnected", "[::ffff:127.0.0.1]", "--allow-network"),
        ("config.updated", "localhost", "--allow-network"),
    ] {
        client.create_endpoint(&format!("https://{host}:{port}/"), &[event_type]).await;
        let event_id = client.publish(event_type, "{}").await;
        let delivery = client.wait_for_state(&event_id, delivery::State::Retrying).await;
        let attempt = &delivery.attempts[0];
        assert_eq!((attempt.status_code, attempt.outcome()), (0, attempt::Outcome::Retrying));
        assert!(attempt.error.contains(error), "{host}: {:?}", attempt.error);
    }
    assert_eq!(receiver.connection_count(), 0);
}

#[tokio::test]
async fn a_passed_deadline_is_answered_and_the_work_goes_on() {
    const DEADLINE: Duration = Duration::from_millis(300);
    let script = Script::always(Reply::ok().after(3 * DEADLINE));
    let receiver = Receiver::start(script);
    let database = Database::new(Backend::Sqlite).await;
    let server = Server::all_in_one(&database).delivering_to(&receiver).start().await;
    let client = server.client("acme");
    let endpoint = client.create_endpoint(&receiver.url("/"), &["user.invited"]).await;

    // Tonic's own channel would give up at the deadline; this is the server's answer.
    let http = HttpClient::builder(TokioExecutor::new()).http2_only(true).build_http();
    let origin = format!("http://{}", server.address()).parse().expect("a URL");
    let bearer = Bearer::new(FIRST_KEY).expect("a token");
    let mut dispatch =
        DispatchServiceClient::with_origin(InterceptedService::new(http, bearer), origin);
    let mut request = Request::new(SendTestRequest {
        organization_id: client.organization(),
        endpoint_id: endpoint.id.clone(),
        ..Default::default()
    });
    request.set_timeout(DEADLINE);
    let refusal = dispatch.send_test(request).await.expect_err("the receiver is slow");
    assert_refused(&refusal, Code::DeadlineExceeded, "DEADLINE_EXCEEDED");
    assert!(refusal.message().contains("may still happen"), "{refusal}");

    let mut request = Request::new(WatchDeliveriesRequest {
        organization_id: client.organization(),
        ..Default::default()
    });
    request.set_timeout(DEADLINE);
    let mut changes = dispatch.watch_deliveries(request).await.expect("it begins").into_inner();
    let refusal = loop {
        match next_shown(&mut changes).await {
            Ok(Some(_)) => {}
            Ok(None) => panic!("the stream must not just end"),
            Err(status) => break status,
        }
    };
    assert_refused(&refusal, Code::DeadlineExceeded, "DEADLINE_EXCEEDED");

    let sent = receiver.requests();
    let delivery_id = sent[0].header("x-keeptrusts-delivery").expect("the test was sent");
    eventually("the test has ended all the same", async || {
        let delivery = client.delivery(delivery_id).await;
        (delivery.state() == delivery::State::Delivered).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_shutdown_ends_streams_with_unavailable_and_not_as_if_they_were_complete() {
    let database = Database::new(Backend::Sqlite).await;
    for signal in [Signal::Term, Signal::Int] {
        let mut server = Server::all_in_one(&database).start().await;
        let client = server.client("acme");
        let request =
            WatchDeliveriesRequest { organization_id: client.organization(), ..Default::default() };
        let changes = client.dispatch().watch_deliveries(request).await.expect("it begins");
        let mut changes = changes.into_inner();
        let status = server.end_by(signal).await;
        assert!(status.success(), "{status}");
        let refusal = next_shown(&mut changes).await.expect_err("it does not just end");
        assert_refused(&refusal, Code::Unavailable, "SHUTTING_DOWN");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_that_is_published_again_and_again_while_the_database_comes_back_counts_once() {
    let receiver = Receiver::start(Script::default());
    let cluster = Cluster::builder().fsync(false).create().await;
    let database = Database::in_cluster(&cluster).await;
    let server = Server::all_in_one(&database).delivering_to(&receiver).start().await;
    let client = server.client("acme");
    client.create_endpoint(&receiver.url("/"), &["export.completed"]).await;
    let event_id = client.publish("export.completed", r#"{"n":1}"#).await;
    client.wait_for_state(&event_id, delivery::State::Delivered).await;

    cluster.stop().await;
    let event = PublishEventRequest {
        idempotency_key: "second".to_owned(),
        ..client.event("export.completed", r#"{"n":2}"#)
    };
    let refusal = client.ingest().publish_event(event.clone()).await.expect_err("it is away");
    assert_refused(&refusal, Code::Unavailable, "DATABASE_UNAVAILABLE");
    for refusal in ask_for_event(&client, &event_id).await {
        assert_refused(&refusal, Code::Unavailable, "DATABASE_UNAVAILABLE");
    }

    cluster.start().await;
    let accepted = eventually("publishing works again", async || {
        client.ingest().publish_event(event.clone()).await.ok()
    })
    .await;
    let second = accepted.into_inner().event_id;
    client.wait_for_state(&second, delivery::State::Delivered).await;
    assert_eq!(receiver.request_count(), 2, "each once, however often it was tried");
}
