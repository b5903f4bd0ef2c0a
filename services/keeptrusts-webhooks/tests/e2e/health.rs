//! Endpoints that only fail: they are disabled after a while, can be enabled again, and are in the
//! week's summary.

use std::time::SystemTime;

use keeptrusts_webhooks_contracts::v1::audit_service_client::AuditServiceClient;
use keeptrusts_webhooks_contracts::v1::{
    self, AuditAction, DeliveryState, EnableEndpointRequest, EndpointStatus, EndpointStatusCause,
    GetHealthSummaryRequest, ListAuditEntriesRequest, ListEndpointsRequest,
};
use keeptrusts_webhooks_testkit::first_key::FIRST_KEY;
use keeptrusts_webhooks_testkit::receiver::{Receiver, Reply, Script};

use crate::platform::{Backend, Client, Database, Server, channel, eventually, on_both_backends};

on_both_backends! {
    an_endpoint_of_which_nothing_succeeds_is_disabled_and_can_be_enabled_again,
    the_weeks_summary_has_the_worst_endpoint_first,
}

async fn enable(client: &Client, id: &str) -> v1::Endpoint {
    let request = EnableEndpointRequest {
        organization_id: client.organization(),
        endpoint_id: id.to_owned(),
    };
    let enabled = client.endpoints().enable_endpoint(request).await.expect("enabled").into_inner();
    enabled.endpoint.expect("the endpoint")
}

async fn an_endpoint_of_which_nothing_succeeds_is_disabled_and_can_be_enabled_again(
    backend: Backend,
) {
    let receiver = Receiver::start(Script::always(Reply::status(503)));
    let database = Database::new(backend).await;
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
        (now.status() == EndpointStatus::Disabled).then_some(now)
    })
    .await;
    assert_eq!(disabled.status_cause(), EndpointStatusCause::Failing);
    let reason = &disabled.status_reason;
    assert!(reason.starts_with("nothing but failures since 20"), "{reason}");
    assert!(reason.contains(&disabled.status_delivery_id), "{reason}");
    let since = disabled.failing_since_time.expect("since when");
    let seen = client.delivery(&disabled.status_delivery_id).await;
    let attempts = seen.attempts.iter().filter_map(|attempt| attempt.start_time);
    assert!(attempts.min_by_key(order).is_some_and(|first| order(&since) <= order(&first)));

    // The list says the same.
    let list =
        ListEndpointsRequest { organization_id: client.organization(), ..Default::default() };
    let listed = client.endpoints().list_endpoints(list).await.expect("listed").into_inner();
    assert_eq!(listed.endpoints, std::slice::from_ref(&disabled));
    // Nobody has requested it, which the trail says.
    let trail = ListAuditEntriesRequest {
        organization_id: client.organization(),
        action: AuditAction::EndpointDisabled.into(),
        ..Default::default()
    };
    let mut trail = tonic::Request::new(trail);
    let token = format!("Bearer {FIRST_KEY}").parse().expect("a header");
    trail.metadata_mut().insert("authorization", token);
    let trail = AuditServiceClient::new(channel(server.address())).list_audit_entries(trail).await;
    let entries = trail.expect("the trail").into_inner().entries;
    let actors: Vec<_> = entries.iter().map(|entry| entry.actor.as_str()).collect();
    assert_eq!(actors, ["dispatch"]);

    receiver.set_script(Script::default());
    let enabled = enable(&client, &endpoint.id).await;
    assert_eq!((enabled.status(), enabled.status_reason.as_str()), (EndpointStatus::Active, ""));
    assert_eq!(enabled.failing_since_time, None);
    let event = client.publish("gateway.connected", "{}").await;
    client.wait_for_state(&event, DeliveryState::Delivered).await;
}

fn order(time: &prost_types::Timestamp) -> (i64, i32) {
    (time.seconds, time.nanos)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endpoint_that_was_disabled_after_410_gone_says_why() {
    let receiver = Receiver::start(Script::always(Reply::status(410)));
    let database = Database::new(Backend::Sqlite).await;
    let server = Server::all_in_one(&database).delivering_to(&receiver).start().await;
    let client = server.client("acme");
    let endpoint = client.create_endpoint(&receiver.url("/"), &["gateway.connected"]).await;
    let event = client.publish("gateway.connected", "{}").await;
    let disabled = client.wait_for_status(&endpoint.id, EndpointStatus::Disabled).await;
    assert_eq!(disabled.status_cause(), EndpointStatusCause::Gone);
    let waiting = client.wait_for_state(&event, DeliveryState::Retrying).await;
    assert_eq!(disabled.status_delivery_id, waiting.id);
    assert!(disabled.status_reason.contains("410 Gone"), "{}", disabled.status_reason);
    assert_eq!(receiver.requests().len(), 1);
}

async fn the_weeks_summary_has_the_worst_endpoint_first(backend: Backend) {
    let good = Receiver::start(Script::default());
    let bad = Receiver::start(Script::always(Reply::status(500)));
    let database = Database::new(backend).await;
    let server = Server::all_in_one(&database)
        .delivering_to(&good)
        .delivering_to(&bad)
        .retrying_after("10ms")
        .start()
        .await;
    let client = server.client("acme");
    let well = client.create_endpoint(&good.url("/"), &["gateway.connected"]).await;
    let poorly = client.create_endpoint(&bad.url("/"), &["gateway.disconnected"]).await;
    let event = client.publish("gateway.connected", "{}").await;
    client.wait_for_state(&event, DeliveryState::Delivered).await;
    let event = client.publish("gateway.disconnected", "{}").await;
    client.wait_for_state(&event, DeliveryState::Failed).await;

    let summary = async |of: &Client, time| {
        let request = GetHealthSummaryRequest { organization_id: of.organization(), time };
        of.dispatch().get_health_summary(request).await.expect("a summary").into_inner()
    };
    let now = Some(SystemTime::now().into());
    let current = summary(&client, now).await;
    let ids: Vec<_> = current.endpoints.iter().map(|of| of.endpoint_id.as_str()).collect();
    assert_eq!(ids, [poorly.id.as_str(), well.id.as_str()]);
    assert_eq!(current.endpoint_count, 2);
    let total = current.total.expect("a total");
    assert_eq!((total.delivered, total.retrying, total.failed), (1, 1, 1));
    assert_eq!(current.endpoints[0].status(), EndpointStatus::Degraded);
    assert!(current.endpoints[0].stats.is_some_and(|stats| stats.median_duration.is_some()));
    let week = |summary: &v1::GetHealthSummaryResponse| {
        [&summary.start_time, &summary.end_time].map(|time| time.expect("a time").seconds)
    };
    let [start, end] = week(&current);
    assert_eq!(end - start, 7 * 24 * 3_600);
    // 1970-01-01 was a Thursday: a Monday's midnight is three days less than whole weeks.
    assert_eq!((start + 3 * 24 * 3_600) % (7 * 24 * 3_600), 0);

    let last = summary(&client, None).await;
    assert_eq!(week(&last), [start - 7 * 24 * 3_600, start]);
    assert_eq!((last.endpoint_count, last.endpoints.len()), (0, 0));
    let others = summary(&server.client("other"), now).await;
    assert_eq!(others.endpoint_count, 0, "what is another organization's is not told");
}
