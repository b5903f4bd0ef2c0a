//! `keeptrusts-webhooks demo`, with nothing else installed.

use std::time::Duration;

use keeptrusts_webhooks_domain::event_type::EventType;
use keeptrusts_webhooks_testkit::process::Launch;

#[tokio::test]
async fn the_demo_passes_its_checks_and_exits_with_0() {
    let mut demo = Launch::binary("keeptrusts-webhooks").arg("demo").start();
    let status = demo.wait_exit(Duration::from_secs(90)).await;
    let screen = demo.output();
    assert!(status.success(), "{status}");
    assert_eq!(screen.lines().last(), Some("All of it held."));

    let columns = ["Timestamp", "Event", "Status Code", "Duration", "Outcome"];
    let header = screen
        .lines()
        .position(|line| columns.iter().all(|column| line.contains(column)))
        .expect("the delivery log has its columns");
    let log: Vec<_> = screen.lines().skip(header + 1).take_while(|line| !line.is_empty()).collect();
    let ending_with = |words: &str| log.iter().filter(|line| line.contains(words)).count();
    let deliveries = EventType::ALL.len() + 1;
    assert_eq!(ending_with("Delivered"), deliveries, "an event of each type and a test");
    assert_eq!(ending_with("Retrying"), 6, "the failures are retried, and seen");
    assert_eq!(log.len(), deliveries + 6);
    for event_type in ["policy.violation", "escalation.created", "user.invited", "webhook.test"] {
        assert!(log.iter().any(|line| line.contains(event_type)), "{event_type}");
    }
    assert!(screen.lines().all(|line| line.chars().count() <= 120), "it fits on a screen");
}
