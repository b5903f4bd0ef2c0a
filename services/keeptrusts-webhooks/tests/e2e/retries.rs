//! Attempts that fail on real sockets. When they are made again is the simulation's.

use std::sync::Arc;
use std::time::Duration;

use keeptrusts_webhooks_contracts::v1::{Delivery, RetryDeliveryRequest, delivery};
use keeptrusts_webhooks_testkit::ports::closed_port;
use keeptrusts_webhooks_testkit::receiver::{Authority, Certificate, Receiver, Reply, Script};

use crate::platform::{Backend, Client, Database, Server};

#[tokio::test(flavor = "multi_thread")]
async fn an_attempt_records_why_a_real_receiver_could_not_be_reached_or_did_not_answer() {
    let authority = Arc::new(Authority::new());
    // It runs all the time, for the file with the authority's certificate.
    let spare = Receiver::builder().authority(&authority).start();
    let database = Database::new(Backend::Sqlite).await;
    let server = Server::all_in_one(&database)
        .delivering_to(&spare)
        .flag("--request-timeout", "1s")
        // Each attempt but the first is requested.
        .retrying_after("1h,1h")
        .start()
        .await;
    let client = server.client("acme");
    let nobody = closed_port();
    client.create_endpoint(&nobody.url("/hook"), &["policy.block"]).await;
    let event_id = client.publish("policy.block", r#"{"n":1}"#).await;
    let delivery = wait_for_attempts(&client, &event_id, 1).await;

    let at = |port| Receiver::builder().authority(&authority).port(port);
    let port = nobody.release();
    let expired = at(port).certificate(Certificate::Expired).start();
    retry(&client, &delivery).await;
    wait_for_attempts(&client, &event_id, 2).await;
    assert_eq!(expired.request_count(), 0, "nothing is sent to a server that is not trusted");
    drop(expired);

    let replies = [
        Reply::Hang,
        Reply::Close,
        Reply::redirect("https://new.example/hook"),
        // The status counts, even if the body fails.
        Reply::Drip { every: Duration::from_millis(50) },
    ];
    let receiver = at(port).script(Script::sequence(replies)).start();
    for count in 3..=6 {
        retry(&client, &delivery).await;
        wait_for_attempts(&client, &event_id, count).await;
    }
    let delivery = client.wait_for_state(&event_id, delivery::State::Delivered).await;
    let recorded: Vec<_> = delivery
        .attempts
        .iter()
        .map(|attempt| (attempt.status_code, attempt.error.as_str()))
        .collect();
    let refused = format!(
        "127.0.0.1:{port} refused the connection (nothing listens on that port, or a firewall refuses it)"
    );
    let expected = [
        (0, refused.as_str()),
        (0, "the receiver's certificate was rejected: it has expired"),
        (0, "no answer within 1s"),
        (0, "the receiver reset the request without answering it (HTTP/2 RST_STREAM)"),
        (
            302,
            "the receiver answered 302 Found; redirects are not followed: enter the new URL, https://new.example/hook",
        ),
        (200, ""),
    ];
    assert_eq!(recorded, expected);
    assert_eq!(receiver.request_count(), 4, "each attempt is one request");
}

async fn retry(client: &Client, delivery: &Delivery) {
    let request = RetryDeliveryRequest {
        organization_id: client.organization(),
        delivery_id: delivery.id.clone(),
        ..Default::default()
    };
    client.dispatch().retry_delivery(request).await.expect("it may be retried");
}

async fn wait_for_attempts(client: &Client, event_id: &str, count: i32) -> Delivery {
    let what = format!("has {count} attempts");
    client.wait_for_delivery(event_id, &what, |delivery| delivery.attempt_count == count).await
}
