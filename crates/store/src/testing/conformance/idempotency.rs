//! Idempotency keys: publishing the same again is safe, publishing other content is refused.

use keeptrusts_webhooks_domain::log::{Epoch, Position};

use super::Fixture;
use super::given::*;
use crate::log::operation::{AppendOutcome, Refusal};

pub(crate) async fn the_same_key_and_content_answer_with_the_first_event(fixture: Fixture) {
    let (first, second) = (event_id(), event_id());
    fixture.append(publish_with_key(first, "key", "content")).await;
    let again = publish_with_key(second, "key", "content");
    for store in &fixture.stores {
        let appended = store.append(SHARD, std::slice::from_ref(&again)).await.expect("appends");
        assert_eq!(appended.results, [Ok(AppendOutcome::Duplicate { event_id: first })]);
        assert!(appended.records.is_empty());
    }
    assert_eq!(fixture.last_position().await, Position(1));
    let event = fixture.store().event(SHARD, &organization(), second).await.expect("reads");
    assert_eq!(event, None);
}

pub(crate) async fn the_same_key_with_other_content_is_refused(fixture: Fixture) {
    let first = event_id();
    fixture.append(publish_with_key(first, "key", "content")).await;
    let results = fixture.results(&[publish_with_key(event_id(), "key", "other")]).await;
    assert_eq!(results, [Err(Refusal::IdempotencyKeyReused { event_id: first })]);
    assert_eq!(fixture.last_position().await, Position(1));
}

pub(crate) async fn organizations_may_use_the_same_key(fixture: Fixture) {
    let theirs = event_id();
    fixture.append(publish_with_key(event_id(), "key", "content")).await;
    let publish = |id, content| publish_with_key(id, "key", content).of(other_organization());
    fixture.append(publish(theirs, "other content")).await;
    let results = fixture.results(&[publish(event_id(), "other content")]).await;
    assert_eq!(results, [Ok(AppendOutcome::Duplicate { event_id: theirs })]);
}

pub(crate) async fn a_key_used_twice_in_one_batch_is_used_once(fixture: Fixture) {
    let (first, theirs) = (event_id(), event_id());
    let batch = [
        publish_with_key(first, "key", "content"),
        publish_with_key(event_id(), "key", "content"),
        publish_with_key(event_id(), "key", "other content"),
        publish_with_key(theirs, "key", "other content").of(other_organization()),
        publish_with_key(event_id(), "key", "content"),
    ];
    let appended = fixture.store().append(SHARD, &batch).await.expect("appends");
    let duplicate = Ok(AppendOutcome::Duplicate { event_id: first });
    assert!(matches!(appended.results[0], Ok(AppendOutcome::Appended { .. })));
    assert_eq!(appended.results[1], duplicate);
    assert_eq!(appended.results[2], Err(Refusal::IdempotencyKeyReused { event_id: first }));
    assert!(matches!(appended.results[3], Ok(AppendOutcome::Appended { .. })));
    assert_eq!(appended.results[4], duplicate);
    assert_eq!(appended.records.len(), 2);
}

pub(crate) async fn a_refused_operation_does_not_use_its_key_up(fixture: Fixture) {
    let refused = publish_with_key(event_id(), "key", "refused").fenced(Epoch(99));
    let accepted = publish_with_key(event_id(), "key", "accepted");
    let results = fixture.results(&[refused.clone(), accepted]).await;
    assert!(matches!(results[0], Err(Refusal::LeaseLost { .. })));
    assert!(matches!(results[1], Ok(AppendOutcome::Appended { .. })));
}

pub(crate) async fn keys_are_compared_byte_by_byte(fixture: Fixture) {
    let longest = "k".repeat(256);
    // The last two look alike, but one is é and the other e with a combining accent.
    let keys =
        ["key", "KEY", " key", "key ", "k%y", "k_y", "'", "\\", &longest, "\u{e9}", "e\u{301}"];
    let events = keys.map(|_| event_id());
    let publish = |round: &'static str| {
        let pairs = keys.iter().zip(events);
        pairs.map(|(key, id)| publish_with_key(id, key, round)).collect::<Vec<_>>()
    };
    fixture.append_all(&publish("content")).await;
    let repeated = fixture.results(&publish("content")).await;
    let clashing = fixture.results(&publish("other content")).await;
    for (index, event_id) in events.into_iter().enumerate() {
        assert_eq!(repeated[index], Ok(AppendOutcome::Duplicate { event_id }), "{:?}", keys[index]);
        assert_eq!(clashing[index], Err(Refusal::IdempotencyKeyReused { event_id }));
    }
}

pub(crate) async fn hundreds_of_keys_in_one_batch_are_decided_one_by_one(fixture: Fixture) {
    let events: Vec<_> = (0..600).map(|_| event_id()).collect();
    let publish = |number: usize, id| publish_with_key(id, &format!("key {number}"), "content");
    let used: Vec<_> = (0..600).step_by(2).map(|number| publish(number, events[number])).collect();
    fixture.append_all(&used).await;
    let all: Vec<_> = (0..600).map(|number| publish(number, event_id())).collect();
    for (number, result) in fixture.results(&all).await.into_iter().enumerate() {
        match number % 2 {
            0 => assert_eq!(result, Ok(AppendOutcome::Duplicate { event_id: events[number] })),
            _ => assert!(
                matches!(result, Ok(AppendOutcome::Appended { .. })),
                "{number}: {result:?}"
            ),
        }
    }
}

pub(crate) async fn keys_are_still_known_after_a_rebuild(fixture: Fixture) {
    let first = event_id();
    fixture.append(publish_with_key(first, "key", "content")).await;
    fixture.store().rebuild(SHARD, &|_| ()).await.expect("rebuilds");
    let results = fixture.results(&[publish_with_key(event_id(), "key", "content")]).await;
    assert_eq!(results, [Ok(AppendOutcome::Duplicate { event_id: first })]);
}
