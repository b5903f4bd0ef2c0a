//! Damage to the log and to the shards' rows is named, and nothing is done with such a shard.

use std::sync::Arc;
use std::time::Duration;

use keeptrusts_webhooks_domain::endpoint::Endpoint;
use keeptrusts_webhooks_domain::ids::{EndpointId, EventId};
use keeptrusts_webhooks_domain::log::{Position, Stream, Version};
use keeptrusts_webhooks_domain::secret::Secret;

use super::given::*;
use super::{Damage, Fixture};
use crate::error::StoreError;
use crate::log::damage::LogDamage;
use crate::log::operation::ExpectedVersion;
use crate::log::{AppendError, Log};
use crate::vault::keyring::{KeyProblem, Keyring, MasterKeySource, SecretError};

/// The last position of [`Story`].
const LAST: Position = Position(7);
const PATIENCE: Duration = Duration::from_secs(60);

/// A log of seven records. The first four are about an endpoint and an event that is sent to it.
struct Story {
    endpoint: EndpointId,
    event: EventId,
    other_endpoint: EndpointId,
    sound: Endpoint,
}

impl Story {
    async fn begin(fixture: &Fixture) -> Story {
        let (endpoint, event, other_endpoint) = (endpoint_id(), event_id(), endpoint_id());
        let mut last = publish(event_id());
        last.metadata.steady_time = Some(time("2026-04-23T10:30:00Z"));
        let operations = [
            create_endpoint(endpoint),
            publish(event),
            schedule(event, &[(delivery_id(), endpoint)], &[]),
            rename_endpoint(endpoint, ExpectedVersion::Any, "renamed"),
            create_endpoint(other_endpoint).of(other_organization()),
            publish(event_id()),
            last,
        ];
        fixture.append_all(&operations).await;
        let sound = fixture.endpoint(endpoint).await;
        Story { endpoint, event, other_endpoint, sound }
    }
}

fn is(error: &StoreError, expected: &LogDamage) -> bool {
    matches!(error, StoreError::DamagedLog { shard: SHARD, damage } if damage == expected)
}

/// A rebuild and a check name this damage of the log, and change nothing.
async fn assert_named(
    fixture: &Fixture,
    statement: &'static str,
    expected: impl Fn(&Story) -> LogDamage,
) {
    let story = Story::begin(fixture).await;
    if !fixture.damage(Damage::Statement(statement)).await {
        return;
    }
    let (store, expected) = (fixture.store(), expected(&story));
    let error = store.check(SHARD, 10, &|_| ()).await.expect_err("is damaged");
    assert!(is(&error, &expected), "{error}");
    let error = store.rebuild(SHARD, &|_| ()).await.expect_err("is damaged");
    assert!(is(&error, &expected), "{error}");
    assert_eq!(fixture.endpoint(story.endpoint).await, story.sound, "nothing was changed");
}

/// The same of damage to the shard's row. Besides, nothing is appended, and no owner begins.
async fn assert_refused(fixture: &Fixture, statement: &'static str, expected: LogDamage) {
    assert_named(fixture, statement, |_| expected.clone()).await;
    let store = fixture.store();
    let Err(error) = store.shard_state(SHARD).await else {
        assert_eq!(store.shard_state(SHARD).await.expect("reads").last_position, LAST, "memory");
        return;
    };
    assert!(is(&error, &expected), "{error}");
    // A lease may be taken, or the shard says why not.
    if let Err(error) = store.acquire_lease(SHARD, "us", PATIENCE).await {
        let error = store.damage_or(SHARD, error).await;
        assert!(is(&error, &expected), "{error}");
    }
    let error = store.shard_state(SHARD).await.expect_err("a lease heals nothing");
    assert!(is(&error, &expected), "{error}");
    let log = Log::start(Arc::clone(&fixture.stores[0])).await.expect("the other shards go on");
    let appended = log.append(SHARD, publish(event_id())).await;
    assert_eq!(appended, Err(AppendError::Failed));
    log.close(PATIENCE).await;
}

fn impossible(column: &'static str, value: i64) -> LogDamage {
    LogDamage::ImpossibleNumber { column, value }
}

fn other_end(last_position: i64, last_record: i64) -> LogDamage {
    let (last_position, last_record) = (Position(last_position), Position(last_record));
    LogDamage::OtherEnd { last_position, last_record }
}

pub(crate) async fn a_missing_record_is_named_and_no_reader_goes_past_it(fixture: Fixture) {
    let delete = "DELETE FROM records WHERE position = 2";
    let missing = LogDamage::MissingRecord { position: Position(2) };
    assert_named(&fixture, delete, |_| missing.clone()).await;
    let store = fixture.store();
    match store.read(SHARD, Position(1), 10).await {
        Err(error) => assert!(is(&error, &missing), "{error}"),
        Ok(records) => assert_eq!(records[0].position, Position(2), "memory"),
    }
    assert_eq!(store.read(SHARD, Position(2), 10).await.expect("reads").len(), 5);
}

pub(crate) async fn a_missing_end_of_the_log_is_named(fixture: Fixture) {
    let delete = "DELETE FROM records WHERE position = 7";
    assert_refused(&fixture, delete, other_end(7, 6)).await;
}

pub(crate) async fn a_log_without_records_is_named(fixture: Fixture) {
    assert_refused(&fixture, "DELETE FROM records", other_end(7, 0)).await;
}

pub(crate) async fn a_version_that_does_not_follow_is_named(fixture: Fixture) {
    let change = "UPDATE records SET version = 5 WHERE position = 4";
    assert_named(&fixture, change, |story| LogDamage::OtherVersion {
        position: Position(4),
        stream: Stream::Endpoint(story.endpoint),
        found: Version(5),
        before: Version(1),
    })
    .await;
}

pub(crate) async fn a_version_of_an_event_that_does_not_follow_is_named(fixture: Fixture) {
    let change = "UPDATE records SET version = 3 WHERE position = 3";
    assert_named(&fixture, change, |story| LogDamage::OtherVersion {
        position: Position(3),
        stream: Stream::Event(story.event),
        found: Version(3),
        before: Version(1),
    })
    .await;
}

pub(crate) async fn a_record_of_another_organization_than_its_stream_is_named(fixture: Fixture) {
    let change = "UPDATE records SET organization_id = 'globex' WHERE position = 4";
    assert_named(&fixture, change, |story| LogDamage::OtherOrganization {
        position: Position(4),
        stream: Stream::Endpoint(story.endpoint),
    })
    .await;
}

pub(crate) async fn the_routing_of_another_organizations_event_is_named(fixture: Fixture) {
    let change = "UPDATE records SET organization_id = 'globex' WHERE position = 3";
    assert_named(&fixture, change, |story| LogDamage::Unfounded {
        position: Position(3),
        stream: Stream::Event(story.event),
    })
    .await;
}

pub(crate) async fn a_record_in_another_stream_is_named(fixture: Fixture) {
    let change = "UPDATE records
                  SET stream = (SELECT stream FROM records WHERE position = 5)
                  WHERE position = 4";
    assert_named(&fixture, change, |story| LogDamage::Unfounded {
        position: Position(4),
        stream: Stream::Endpoint(story.other_endpoint),
    })
    .await;
}

pub(crate) async fn a_kind_that_is_not_that_of_the_data_is_named(fixture: Fixture) {
    let change = "UPDATE records SET kind = 'EventAccepted' WHERE position = 1";
    let damage = LogDamage::OtherColumn { position: Position(1), column: "kind" };
    assert_named(&fixture, change, |_| damage.clone()).await;
}

pub(crate) async fn an_actor_that_is_not_that_of_the_metadata_is_named(fixture: Fixture) {
    let change = "UPDATE records SET actor = 'nobody' WHERE position = 1";
    let damage = LogDamage::OtherColumn { position: Position(1), column: "actor" };
    assert_named(&fixture, change, |_| damage.clone()).await;
}

pub(crate) async fn a_checkpoint_beyond_the_log_is_refused(fixture: Fixture) {
    let damage = LogDamage::CheckpointBeyondEnd { checkpoint: Position(8), last_position: LAST };
    assert_refused(&fixture, "UPDATE shards SET checkpoint = 8 WHERE shard = 0", damage).await;
}

pub(crate) async fn a_negative_checkpoint_is_refused(fixture: Fixture) {
    let change = "UPDATE shards SET checkpoint = -1 WHERE shard = 0";
    assert_refused(&fixture, change, impossible("checkpoint", -1)).await;
}

pub(crate) async fn a_last_position_before_the_last_record_is_refused(fixture: Fixture) {
    let change = "UPDATE shards SET last_position = 6 WHERE shard = 0";
    assert_refused(&fixture, change, other_end(6, 7)).await;
}

pub(crate) async fn a_last_position_beyond_the_last_record_is_refused(fixture: Fixture) {
    let change = "UPDATE shards SET last_position = 1000 WHERE shard = 0";
    assert_refused(&fixture, change, other_end(1_000, 7)).await;
}

pub(crate) async fn a_last_position_that_nothing_follows_is_refused(fixture: Fixture) {
    let change = "UPDATE shards SET last_position = 9223372036854775807 WHERE shard = 0";
    assert_refused(&fixture, change, impossible("last_position", i64::MAX)).await;
}

pub(crate) async fn a_negative_epoch_is_refused(fixture: Fixture) {
    let change = "UPDATE shards SET epoch = -5 WHERE shard = 0";
    assert_refused(&fixture, change, impossible("epoch", -5)).await;
}

pub(crate) async fn an_epoch_that_nothing_follows_is_refused(fixture: Fixture) {
    let change = "UPDATE shards SET epoch = 9223372036854775807 WHERE shard = 0";
    assert_refused(&fixture, change, impossible("epoch", i64::MAX)).await;
}

pub(crate) async fn a_steady_time_that_is_none_is_refused(fixture: Fixture) {
    let change = "UPDATE shards SET steady_time = 9223372036854775807 WHERE shard = 0";
    assert_refused(&fixture, change, impossible("steady_time", i64::MAX)).await;
}

pub(crate) async fn a_steady_time_noted_before_1970_is_refused(fixture: Fixture) {
    let change = "UPDATE shards SET steady_time_noted_at = -9223372036854775807 WHERE shard = 0";
    assert_refused(&fixture, change, impossible("steady_time_noted_at", -i64::MAX)).await;
}

pub(crate) async fn a_steady_time_before_that_of_a_record_is_named(fixture: Fixture) {
    let change = "UPDATE shards SET steady_time = 1 WHERE shard = 0";
    assert_named(&fixture, change, |_| LogDamage::SteadyTimeBehind { position: LAST }).await;
}

pub(crate) async fn a_missing_row_of_a_shard_is_refused(fixture: Fixture) {
    assert_refused(&fixture, "DELETE FROM shards WHERE shard = 0", LogDamage::NoShardRow).await;
}

pub(crate) async fn nothing_is_appended_beyond_a_damaged_checkpoint(fixture: Fixture) {
    Story::begin(&fixture).await;
    let damage = Damage::Statement("UPDATE shards SET checkpoint = 8 WHERE shard = 0");
    if !fixture.damage(damage).await {
        return;
    }
    // Also by a process that began before.
    let error = fixture.store().append(SHARD, &[publish(event_id())]).await;
    let expected = LogDamage::CheckpointBeyondEnd { checkpoint: Position(8), last_position: LAST };
    let error = error.expect_err("is damaged");
    assert!(is(&error, &expected), "{error}");
    assert_eq!(fixture.log().await.len(), 7);
}

pub(crate) async fn a_document_of_a_negative_version_is_a_difference(fixture: Fixture) {
    let story = Story::begin(&fixture).await;
    let damage = Damage::Statement("UPDATE endpoints SET document_version = -1");
    if !fixture.damage(damage).await {
        return;
    }
    let store = fixture.store();
    let found = store.check(SHARD, 10, &|_| ()).await.expect("checks");
    assert_eq!(found.len(), 2);
    let stored = found[0].stored.as_deref().expect("it stands");
    assert!(stored.contains("its version is -1"), "{stored}");
    store.rebuild(SHARD, &|_| ()).await.expect("rebuilds");
    assert_eq!(store.check(SHARD, 10, &|_| ()).await.expect("checks"), []);
    assert_eq!(fixture.endpoint(story.endpoint).await, story.sound);
}

pub(crate) async fn a_check_shows_nothing_that_a_terminal_obeys(fixture: Fixture) {
    Story::begin(&fixture).await;
    for damage in [
        "UPDATE endpoints SET display_name = 'a\u{1b}[2J\u{9b}b\u{202e}c'",
        // It stays the same text in JSON.
        "UPDATE endpoints SET document = replace(document, 'renamed', 'a\u{9b}b\u{202e}c')",
        "UPDATE endpoints SET document = replace(document, '\"id\"', '\"\u{9b}\u{202e}\"')",
        "UPDATE endpoints SET document = replace(document, '\"nonce\":\"07', '\"nonce\":\"\u{9b}c0ffee')",
    ] {
        if !fixture.damage(Damage::Statement(damage)).await {
            return;
        }
        let found = fixture.store().check(SHARD, 10, &|_| ()).await.expect("checks");
        assert!(!found.is_empty(), "{damage:?}");
        let lines = found.iter().flat_map(|row| row.stored.iter().chain(&row.rebuilt));
        for line in lines {
            let obeyed = |c: char| c.is_control() || c == '\u{202e}';
            assert!(!line.contains(obeyed) && !line.contains("c0ffee"), "{line:?}");
        }
        fixture.store().rebuild(SHARD, &|_| ()).await.expect("rebuilds");
    }
}

pub(crate) async fn a_damaged_data_key_is_an_error_of_its_organization_alone(fixture: Fixture) {
    let folder = tempfile::tempdir().expect("a folder");
    let source = || MasterKeySource::File(folder.path().join("master.key"));
    let start = async || Keyring::start(Arc::clone(&fixture.stores[0]), source()).await;
    let secret = Secret::from_random([7; 32]);
    let (ours, theirs) = (organization(), other_organization());
    let endpoint = endpoint_id();
    let keyring = start().await.expect("starts");
    let own = keyring.seal(&ours, endpoint, &secret).await.expect("seals");
    let foreign = keyring.seal(&theirs, endpoint, &secret).await.expect("seals");
    for damage in [
        "UPDATE data_keys SET nonce = substr(nonce, 1, 0) WHERE organization_id = 'acme'",
        "UPDATE data_keys SET nonce = NULL WHERE organization_id = 'acme'",
        "UPDATE data_keys SET wrapped = NULL, nonce = wrapped WHERE organization_id = 'acme'",
        "UPDATE data_keys SET master_key_id = NULL WHERE organization_id = 'acme'",
    ] {
        if !fixture.damage(Damage::Statement(damage)).await {
            return;
        }
        let keyring = start().await.expect("the other organizations go on");
        let error = keyring.open(&ours, endpoint, &own).await.expect_err("is damaged");
        let SecretError::Key(problem @ KeyProblem::Damaged { .. }) = error else {
            panic!("{error:?}")
        };
        assert!(problem.to_string().contains("organization acme is damaged"), "{problem}");
        let keys = keyring.data_keys([&ours, &theirs]).await.expect("reads");
        assert!(keys.open(&theirs, endpoint, &foreign).is_ok());
    }
}
