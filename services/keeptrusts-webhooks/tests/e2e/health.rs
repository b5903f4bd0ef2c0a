//! What the API shows of an endpoint's health: why it was disabled, its pause, the week's summary.
//! When an endpoint is disabled or paused is the simulation's.

use std::time::{Duration, SystemTime};

use keeptrusts_webhooks_contracts::v1::audit_service_client::AuditServiceClient;
use keeptrusts_webhooks_contracts::v1::{
    self, AuditAction, GetHealthSummaryRequest, ListAuditEntriesRequest, ListEndpointsRequest,
    delivery, endpoint,
};
use keeptrusts_webhooks_testkit::first_key::FIRST_KEY;
use keeptrusts_webhooks_testkit::receiver::{Receiver, Reply, Script};

use crate::platform::{Backend, Client, Database, Server, channel, eventually};

async fn listed(client: &Client) -> Vec<v1::Endpoint> {
    let request =
        ListEndpointsRequest { organization_id: client.organization(), ..Default::default() };
    let listed = client.endpoints().list_endpoints(request).await.expect("listed");
    listed.into_inner().endpoints
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endpoint_that_was_disabled_for_failing_is_shown_so_in_lists_and_in_the_audit_trail() {
    let receiver = Receiver::start(Script::always(Reply::status(503)));
    let database = Database::new(Backend::Sqlite).await;
    let server = Server::all_in_one(&database)
        .delivering_to(&receiver)
        .retrying_after("10ms")
        .flag("--disable-failing-after", "300ms")
        .start()
        .await;
    let client = server.client("acme");
    let endpoint = client.create_endpoint(&receiver.url("/"), &["gateway.connected"]).await;
    let disabled = eventually("the endpoint is disabled", async || {
        client.publish("gateway.connected", "{}").await;
        let now = client.endpoint(&endpoint.id).await;
        (now.state() == endpoint::State::Disabled).then_some(now)
    })
    .await;
    assert_eq!(disabled.state_cause(), endpoint::StateCause::FailedTooLong);
    let reason = &disabled.state_reason;
    assert!(reason.contains(&disabled.state_delivery_id), "{reason}");
    assert!(disabled.failing_since_time.is_some());
    assert_eq!(listed(&client).await, [disabled]);

    let trail = ListAuditEntriesRequest {
        organization_id: client.organization(),
        actions: vec![AuditAction::EndpointDisabled.into()],
        ..Default::default()
    };
    let mut trail = tonic::Request::new(trail);
    let token = format!("Bearer {FIRST_KEY}").parse().expect("a header");
    trail.metadata_mut().insert("authorization", token);
    let trail = AuditServiceClient::new(channel(server.address())).list_audit_entries(trail).await;
    let entries = trail.expect("the trail").into_inner().entries;
    let actors: Vec<_> = entries.iter().map(|entry| entry.actor.as_str()).collect();
    assert_eq!(actors, ["dispatch"], "nobody has requested it");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pause_that_a_real_answer_has_caused_is_shown_with_its_endpoint_also_in_lists() {
    let too_many = Reply::status(429).with_header("retry-after", "200");
    let receiver = Receiver::start(Script::always(too_many));
    let database = Database::new(Backend::Sqlite).await;
    let server = Server::all_in_one(&database).delivering_to(&receiver).start().await;
    let client = server.client("acme");
    let busy = client.create_endpoint(&receiver.url("/busy"), &["policy.block"]).await;
    client.create_endpoint(&receiver.url("/well"), &["key.rotated"]).await;
    let event_id = client.publish("policy.block", "{}").await;
    let delivery = client.wait_for_state(&event_id, delivery::State::Retrying).await;
    let shown = client.endpoint(&busy.id).await;
    let pause = shown.pause.as_ref().expect("it is paused");
    assert_eq!((pause.status_code, &pause.delivery_id), (429, &delivery.id));
    let [start, end] = [pause.start_time, pause.end_time]
        .map(|time| SystemTime::try_from(time.expect("a time")).expect("in range"));
    assert_eq!(end.duration_since(start).expect("it ends later"), Duration::from_secs(200));
    let mut paused = listed(&client).await;
    paused.retain(|endpoint| endpoint.pause.is_some());
    assert_eq!(paused, [shown]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_summary_is_of_one_organization_and_of_the_week_that_contains_a_time() {
    let receiver = Receiver::start(Script::by_path([
        ("/good", Script::default()),
        ("/bad", Script::always(Reply::status(500))),
    ]));
    let database = Database::new(Backend::Sqlite).await;
    let server =
        Server::all_in_one(&database).delivering_to(&receiver).retrying_after("10ms").start().await;
    let client = server.client("acme");
    let well = client.create_endpoint(&receiver.url("/good"), &["gateway.connected"]).await;
    let poorly = client.create_endpoint(&receiver.url("/bad"), &["gateway.disconnected"]).await;
    let event = client.publish("gateway.connected", "{}").await;
    client.wait_for_state(&event, delivery::State::Delivered).await;
    let event = client.publish("gateway.disconnected", "{}").await;
    client.wait_for_state(&event, delivery::State::Failed).await;

    let summary = async |of: &Client, time| {
        let request = GetHealthSummaryRequest { organization_id: of.organization(), time };
        of.dispatch().get_health_summary(request).await.expect("a summary").into_inner()
    };
    let now = Some(SystemTime::now().into());
    let current = summary(&client, now).await;
    let ids: Vec<_> = current.endpoints.iter().map(|of| of.endpoint_id.as_str()).collect();
    assert_eq!(ids, [poorly.id.as_str(), well.id.as_str()]);
    let total = current.total.expect("a total");
    assert_eq!((total.delivered_count, total.retrying_count, total.failed_count), (1, 1, 1));
    assert_eq!(current.endpoints[0].state(), endpoint::State::Degraded);
    assert!(current.endpoints[0].stats.is_some_and(|stats| stats.median_duration.is_some()));

    let last = summary(&client, None).await;
    assert_eq!(last.end_time, current.start_time, "by default it is the week before");
    assert_eq!((last.endpoint_count, last.endpoints.len()), (0, 0));
    let others = summary(&server.client("other"), now).await;
    assert_eq!(others.endpoint_count, 0, "another organization's endpoints are not shown");
}

/// The endpoints in these states, page by page, newest first.
async fn endpoints_in(client: &Client, states: &[endpoint::State]) -> Vec<String> {
    let mut request = ListEndpointsRequest {
        organization_id: client.organization(),
        states: states.iter().map(|state| (*state).into()).collect(),
        page_size: 1,
        ..Default::default()
    };
    let mut found = Vec::new();
    loop {
        let page = client.endpoints().list_endpoints(request.clone()).await.expect("listed");
        let v1::ListEndpointsResponse { endpoints, next_page_token } = page.into_inner();
        for row in endpoints {
            assert!(states.is_empty() || states.contains(&row.state()), "{row:?}");
            found.push(row.id);
        }
        if next_page_token.is_empty() {
            return found;
        }
        request.page_token = next_page_token;
    }
}

async fn a_receiver_that_fails_and_recovers(backend: Backend) {
    use endpoint::State::{Active, Degraded, Disabled, Failing};
    let script =
        |ill: Reply| Script::by_path([("/well", Script::default()), ("/ill", Script::always(ill))]);
    let receiver = Receiver::start(script(Reply::status(500)));
    let database = Database::new(backend).await;
    let server =
        Server::all_in_one(&database).delivering_to(&receiver).retrying_after("1h").start().await;
    let client = server.client("acme");
    let well = client.create_endpoint(&receiver.url("/well"), &["key.rotated"]).await.id;
    let ill = client.create_endpoint(&receiver.url("/ill"), &["policy.block"]).await.id;
    let other = client.create_endpoint(&receiver.url("/well"), &["key.rotated"]).await.id;
    let publish_failing = async || {
        let event_id = client.publish("policy.block", "{}").await;
        client.wait_for_state(&event_id, delivery::State::Retrying).await
    };

    let first = publish_failing().await;
    publish_failing().await;
    let before = client.endpoint(&ill).await;
    assert_eq!((before.state(), before.state_reason.as_str()), (Active, ""));
    assert!(before.failing_since_time.is_some());
    publish_failing().await;
    let failing = client.endpoint(&ill).await;
    assert_eq!(failing.state(), Failing);
    assert!(failing.state_reason.contains("3 failed attempts so far"), "{}", failing.state_reason);
    assert_eq!(failing.state_delivery_id, first.id);
    assert_eq!((failing.state_cause, failing.state_time), (None, failing.failing_since_time));
    assert_eq!(failing.update_time, before.update_time, "nothing is recorded");

    // Every place that shows a state or is filtered by it says the same.
    let all = [other.clone(), ill.clone(), well.clone()];
    assert_eq!(endpoints_in(&client, &[]).await, all);
    assert_eq!(endpoints_in(&client, &[Failing]).await, std::slice::from_ref(&ill));
    assert_eq!(endpoints_in(&client, &[Active]).await, [other, well]);
    assert_eq!(endpoints_in(&client, &[Failing, Active]).await, all);
    assert_eq!(endpoints_in(&client, &[Degraded, Disabled]).await, <[String; 0]>::default());
    let request = GetHealthSummaryRequest {
        organization_id: client.organization(),
        time: Some(SystemTime::now().into()),
    };
    let summary = client.dispatch().get_health_summary(request).await.expect("a summary");
    assert_eq!(summary.into_inner().endpoints[0].state(), Failing);
    let update = v1::UpdateEndpointRequest {
        organization_id: client.organization(),
        endpoint: Some(v1::Endpoint {
            id: ill.clone(),
            display_name: "ill".to_owned(),
            ..Default::default()
        }),
        ..Default::default()
    };
    let updated = client.endpoints().update_endpoint(update).await.expect("updated").into_inner();
    assert_eq!(updated.endpoint.expect("an endpoint").state(), Failing);

    receiver.set_script(script(Reply::ok()));
    let event_id = client.publish("policy.block", "{}").await;
    client.wait_for_state(&event_id, delivery::State::Delivered).await;
    let recovered = client.endpoint(&ill).await;
    assert_eq!((recovered.state(), recovered.state_reason.as_str()), (Active, ""));
    assert_eq!((recovered.failing_since_time, recovered.state_time), (None, before.state_time));
    assert_eq!(endpoints_in(&client, &[Failing]).await, <[String; 0]>::default());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endpoint_is_failing_after_three_failures_until_it_recovers() {
    a_receiver_that_fails_and_recovers(Backend::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endpoint_is_failing_after_three_failures_until_it_recovers_on_postgres() {
    a_receiver_that_fails_and_recovers(Backend::Postgres).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn deliveries_are_paused_while_their_endpoint_is_disabled() {
    use delivery::State::{Delivered, Paused, Retrying, Scheduled};
    let receiver = Receiver::start(Script::always(Reply::status(500)));
    let database = Database::new(Backend::Sqlite).await;
    let server = Server::all_in_one(&database).delivering_to(&receiver);
    let server = server.retrying_after("1h").start().await;
    let client = server.client("acme");
    let endpoint_id = client.create_endpoint(&receiver.url("/"), &["policy.block"]).await.id;
    let event_id = client.publish("policy.block", "{}").await;
    let waiting = client.wait_for_state(&event_id, Retrying).await;
    let request = v1::DisableEndpointRequest {
        organization_id: client.organization(),
        endpoint_id: endpoint_id.clone(),
        reason: "maintenance".to_owned(),
    };
    client.endpoints().disable_endpoint(request).await.expect("disabled");
    let paused = client.wait_for_state(&event_id, Paused).await;
    assert!(paused.next_attempt_time.is_some(), "an attempt is due, and waits");
    let listed = async |states: &[delivery::State]| {
        let request = v1::ListDeliveriesRequest {
            organization_id: client.organization(),
            states: states.iter().map(|state| (*state).into()).collect(),
            ..Default::default()
        };
        let page = client.dispatch().list_deliveries(request).await.expect("listed").into_inner();
        page.deliveries.iter().map(|row| (row.id.clone(), row.state())).collect::<Vec<_>>()
    };
    assert_eq!(listed(&[Paused]).await, [(waiting.id.clone(), Paused)]);
    assert_eq!(listed(&[]).await, [(waiting.id.clone(), Paused)]);
    assert_eq!(listed(&[Scheduled, Retrying, Delivered]).await, []);
    let retry = async || {
        let request = v1::RetryDeliveryRequest {
            organization_id: client.organization(),
            delivery_id: waiting.id.clone(),
            ..Default::default()
        };
        client.dispatch().retry_delivery(request).await
    };
    let refused = retry().await.expect_err("nothing is sent");
    assert_eq!(refused.code(), tonic::Code::FailedPrecondition);

    receiver.set_script(Script::default());
    let request = v1::EnableEndpointRequest { organization_id: client.organization(), endpoint_id };
    client.endpoints().enable_endpoint(request).await.expect("enabled");
    assert_eq!(client.delivery(&waiting.id).await.state(), Retrying);
    assert_eq!(listed(&[Paused]).await, []);
    let retried = retry().await.expect("it is retried").into_inner().delivery;
    assert_eq!(retried.expect("a delivery").state(), Retrying);
    client.wait_for_state(&event_id, Delivered).await;
}
