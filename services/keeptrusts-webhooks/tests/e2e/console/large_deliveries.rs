//! A delivery whose attempts exceed one response of the services.

use keeptrusts_webhooks_contracts::v1::{CreateEndpointRequest, Endpoint, PayloadFormat};
use keeptrusts_webhooks_testkit::first_key::FIRST_KEY;
use keeptrusts_webhooks_testkit::receiver::{Receiver, Reply, Script};

use crate::console::fixture::{HttpSession, ORGANIZATION};
use crate::platform::{Backend, Database, Server};

const ATTEMPTS: usize = 17;
const DATA_BYTES: usize = 250 * 1024;

#[tokio::test(flavor = "multi_thread")]
async fn each_attempt_of_a_delivery_too_large_for_one_answer_is_shown_in_full() {
    let receiver = Receiver::start(Script::always(Reply::status(500).with_body("not now")));
    let database = Database::new(Backend::Sqlite).await;
    let schedule = vec!["1ms"; ATTEMPTS - 1].join(",");
    let server = Server::all_in_one(&database).delivering_to(&receiver).retrying_after(&schedule);
    let server = server.start().await;
    let api = server.client(ORGANIZATION);
    let request = CreateEndpointRequest {
        organization_id: api.organization(),
        endpoint: Some(Endpoint {
            display_name: "siem".to_owned(),
            url: receiver.url("/"),
            event_types: vec!["export.completed".to_owned()],
            payload_format: PayloadFormat::Cloudevents.into(),
            ..Endpoint::default()
        }),
        ..Default::default()
    };
    api.endpoints().create_endpoint(request).await.expect("created");
    let data = format!(r#"{{"text":"{}"}}"#, "d".repeat(DATA_BYTES));
    let event_id = api.publish("export.completed", &data).await;
    let delivery = api.wait_for_failure(&event_id).await;
    assert!(delivery.attempts[0].content_omitted);

    let session = HttpSession::open(&server.console().await, FIRST_KEY).await;
    for attempt in [String::new(), "?attempt=1".to_owned(), format!("?attempt={ATTEMPTS}")] {
        let page = session.get(&format!("/deliveries/{}{attempt}", delivery.id)).await;
        assert_eq!(page.status, 200, "{attempt}: {}", page.text());
        assert!(page.text().contains("not now"), "{attempt}: the answer is shown");
    }
    let path = format!("/deliveries/{}/request?attempt=1&view=raw", delivery.id);
    let whole = session.get(&path).await;
    assert_eq!(whole.status, 200);
    assert!(whole.body.len() > DATA_BYTES && whole.text().contains("specversion"));
}
