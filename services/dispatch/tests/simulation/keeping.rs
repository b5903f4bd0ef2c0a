//! Exchanges are kept for their retention, and then deleted completely.

use crate::world::{ReceiverAnswer, World, hours, minutes};

const DAYS: u64 = 24;
/// More than are deleted at once.
const MANY: usize = 1_200;

#[tokio::test(start_paused = true)]
async fn an_exchange_is_kept_for_thirty_days_and_deleted_within_hours_of_its_end() {
    let world = World::embedded().await;
    world.endpoint("siem").await;
    world.network.always("siem", ReceiverAnswer::OK);
    world.publish_many(MANY).await;
    world.pass(minutes(1)).await;
    let attempts = world.all_attempts().await;
    assert_eq!(attempts.len(), MANY);
    world.pass(hours(29 * DAYS)).await;
    for attempt in &attempts {
        assert!(!world.exchange_of(attempt).await.request_headers.is_empty());
    }
    assert_eq!(world.delete_expired().await, 0);
    // Retention runs every six hours.
    world.pass(hours(DAYS + 7)).await;
    for attempt in &attempts {
        assert!(!world.keeps_exchange_of(attempt).await);
    }
    assert_eq!(world.delete_expired().await, 0, "nothing is left to delete");
}
