//! The fixture of the suite: a new database, and what the suite may do to it.

use std::any::Any;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use keeptrusts_webhooks_domain::Timestamp;
use keeptrusts_webhooks_domain::delivery::Delivery;
use keeptrusts_webhooks_domain::endpoint::Endpoint;
use keeptrusts_webhooks_domain::ids::{DeliveryId, EndpointId};
use keeptrusts_webhooks_domain::log::{Position, Shard};

use super::given::{SHARD, organization};
use crate::clock::Clock;
use crate::log::operation::{AppendOutcome, Operation, Record, Refusal};
use crate::store::Store;

/// How long a check may take before it counts as hanging.
const PATIENCE: Duration = Duration::from_secs(120);
/// How long to wait before a condition is checked again.
const STEP: Duration = Duration::from_millis(10);

/// A database without records, and stores that are open on it.
pub(crate) struct Fixture {
    /// As different processes would have them: at least one, all on one database.
    pub(crate) stores: Vec<Arc<dyn Store>>,
    clock: Option<ManualClock>,
    damage: Option<Damager>,
    keep: Vec<Box<dyn Any + Send + Sync>>,
}

type Damager = Box<dyn Fn(Damage) -> Pin<Box<dyn Future<Output = bool> + Send>> + Send + Sync>;

/// Damage to a table that the log does not explain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Damage {
    /// Every endpoint's row has another name.
    EndpointsRenamed,
    /// The deliveries' rows are lost.
    DeliveriesLost,
    /// A row says that an event was missed which was not.
    MissedEventInvented,
    /// Attempts are counted that were not made.
    AttemptsMiscounted,
    /// Every endpoint's document has another description.
    EndpointsRedescribed,
    /// Every endpoint's document is cut off.
    EndpointsCutOff,
    /// Every endpoint's document has other blanks and another order of fields. That is no difference.
    EndpointsReformatted,
    /// Every endpoint's document is of a newer version.
    EndpointsOfANewerVersion,
    /// What a statement does that both databases understand.
    Statement(&'static str),
}

impl Damage {
    /// The damages that a check finds, and that leave rows readable.
    pub(crate) const DETECTED: [Damage; 5] = [
        Damage::EndpointsRenamed,
        Damage::DeliveriesLost,
        Damage::MissedEventInvented,
        Damage::AttemptsMiscounted,
        Damage::EndpointsRedescribed,
    ];

    /// The statement that causes it, for SQLite and Postgres.
    pub(crate) fn sql(self) -> &'static str {
        match self {
            Damage::EndpointsRenamed => "UPDATE endpoints SET display_name = 'damaged'",
            Damage::DeliveriesLost => "DELETE FROM deliveries",
            Damage::MissedEventInvented => {
                "INSERT INTO missed_events (shard, endpoint_id, position, organization_id, event_id)
                 VALUES (0, 'ep_00000000000000000000000000', 1, 'acme', 'evt_00000000000000000000000000')"
            }
            Damage::AttemptsMiscounted => "UPDATE attempt_counts SET count = count + 1",
            Damage::EndpointsRedescribed => {
                r#"UPDATE endpoints
                   SET document = replace(document, '"description":""', '"description":"damaged"')"#
            }
            Damage::EndpointsCutOff => {
                "UPDATE endpoints SET document = substr(document, 1, length(document) - 5)"
            }
            // The id, which has 36 characters with its name, goes from the beginning to the end.
            Damage::EndpointsReformatted => {
                "UPDATE endpoints
                 SET document = '{ ' || substr(document, 39, length(document) - 39) || ', '
                                || substr(document, 2, 36) || ' }'"
            }
            Damage::EndpointsOfANewerVersion => {
                "UPDATE endpoints SET document_version = document_version + 1"
            }
            Damage::Statement(sql) => sql,
        }
    }

    /// The table that it happens to.
    pub(crate) fn table(self) -> &'static str {
        match self {
            Damage::EndpointsRenamed
            | Damage::EndpointsRedescribed
            | Damage::EndpointsCutOff
            | Damage::EndpointsReformatted
            | Damage::EndpointsOfANewerVersion => "endpoints",
            Damage::DeliveriesLost => "deliveries",
            Damage::MissedEventInvented => "missed_events",
            Damage::AttemptsMiscounted => "attempt_counts",
            Damage::Statement(_) => unreachable!("only the statement says"),
        }
    }
}

impl Fixture {
    /// Stores that are open on one database: as many as the backend allows.
    pub(crate) fn new(stores: Vec<Arc<dyn Store>>) -> Fixture {
        assert!(!stores.is_empty(), "a fixture has at least one store");
        Fixture { stores, clock: None, damage: None, keep: Vec::new() }
    }

    /// Keeps `thing` (a temporary directory, a cluster) until the check has ended.
    pub(crate) fn keeping(mut self, thing: impl Any + Send + Sync) -> Fixture {
        self.keep.push(Box::new(thing));
        self
    }

    /// The clock of the database. Without this call it is the machine's.
    pub(crate) fn with_clock(mut self, clock: ManualClock) -> Fixture {
        self.clock = Some(clock);
        self
    }

    /// How to cause a [`Damage`]; false if the backend cannot. SQL backends run [`Damage::sql`].
    pub(crate) fn with_damage<F>(
        mut self,
        damage: impl Fn(Damage) -> F + Send + Sync + 'static,
    ) -> Fixture
    where
        F: Future<Output = bool> + Send + 'static,
    {
        self.damage = Some(Box::new(move |kind| Box::pin(damage(kind))));
        self
    }

    /// The first store.
    pub(crate) fn store(&self) -> &dyn Store {
        self.stores[0].as_ref()
    }

    /// The last store: not the first one, if the backend has several.
    pub(crate) fn other_store(&self) -> &dyn Store {
        self.stores[self.stores.len() - 1].as_ref()
    }

    /// The stores in turn, without end.
    pub(crate) fn handles(&self) -> impl Iterator<Item = Arc<dyn Store>> + '_ {
        self.stores.iter().cycle().cloned()
    }

    /// The database's clock, if a check can set it.
    pub(crate) fn clock(&self) -> Option<&ManualClock> {
        self.clock.as_ref()
    }

    /// The time of the database's clock. A real one is this machine's.
    pub(crate) fn now(&self) -> Timestamp {
        self.clock.as_ref().map_or_else(Timestamp::now, ManualClock::now)
    }

    /// Moves the manual clock, or waits.
    pub(crate) async fn advance(&self, time: Duration) {
        match &self.clock {
            Some(clock) => clock.advance(time),
            None => tokio::time::sleep(time).await,
        }
    }

    /// Lets time pass until `look` returns something.
    pub(crate) async fn eventually<T, F>(&self, what: &str, mut look: impl FnMut() -> F) -> T
    where
        F: Future<Output = Option<T>>,
    {
        for _ in 0..PATIENCE.as_millis() / STEP.as_millis() {
            if let Some(found) = look().await {
                return found;
            }
            self.advance(STEP).await;
            // Other tasks need real time, also with a manual clock.
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        panic!("{what}: not within {PATIENCE:?}");
    }

    /// Causes a [`Damage`]. False: this backend cannot.
    pub(crate) async fn damage(&self, damage: Damage) -> bool {
        let Some(damager) = &self.damage else { return false };
        damager(damage).await
    }

    /// Appends a batch; returns the outcome of each operation.
    pub(crate) async fn results(
        &self,
        operations: &[Operation],
    ) -> Vec<Result<AppendOutcome, Refusal>> {
        self.store().append(SHARD, operations).await.expect("the store appends").results
    }

    /// Appends one operation, which must not be refused; returns its records.
    pub(crate) async fn append(&self, operation: Operation) -> Vec<Record> {
        self.append_all(&[operation]).await
    }

    /// Appends operations, none of which may be refused; returns their records.
    pub(crate) async fn append_all(&self, operations: &[Operation]) -> Vec<Record> {
        let appended = self.store().append(SHARD, operations).await.expect("the store appends");
        for result in &appended.results {
            assert!(
                matches!(result, Ok(AppendOutcome::Appended { .. })),
                "not refused: {result:?}"
            );
        }
        appended.records
    }

    /// The whole log.
    pub(crate) async fn log(&self) -> Vec<Record> {
        read_all(self.store(), SHARD).await
    }

    /// The last record's position.
    pub(crate) async fn last_position(&self) -> Position {
        self.store().shard_state(SHARD).await.expect("the shard's state is read").last_position
    }

    /// An endpoint, which must exist.
    pub(crate) async fn endpoint(&self, id: EndpointId) -> Endpoint {
        let found = self.store().endpoint(SHARD, &organization(), id).await;
        found.expect("the endpoint is read").expect("the endpoint exists")
    }

    /// A delivery, which must exist.
    pub(crate) async fn delivery(&self, id: DeliveryId) -> Delivery {
        let mut found = self
            .store()
            .deliveries(SHARD, &organization(), &[id])
            .await
            .expect("the delivery is read");
        assert_eq!(found.len(), 1, "the delivery exists once");
        found.remove(0)
    }
}

/// A shard's whole log.
pub(crate) async fn read_all(store: &dyn Store, shard: Shard) -> Vec<Record> {
    const PAGE: usize = 10_000;
    let mut records = Vec::<Record>::new();
    loop {
        let after = records.last().map_or(Position::START, |record| record.position);
        let page = store.read(shard, after, PAGE).await.expect("the log is read");
        let Some(first) = page.first() else { return records };
        assert_eq!(first.position, after.next(), "the log is read without a gap");
        records.extend(page);
    }
}

/// A clock that moves only when a check moves it.
#[derive(Clone)]
pub(crate) struct ManualClock(Arc<AtomicI64>);

impl ManualClock {
    pub(crate) fn new() -> ManualClock {
        let start: Timestamp = "2026-04-23T10:30:00Z".parse().expect("a timestamp");
        ManualClock(Arc::new(AtomicI64::new(start.as_microsecond())))
    }

    pub(crate) fn now(&self) -> Timestamp {
        Timestamp::from_microsecond(self.0.load(Ordering::SeqCst)).expect("a timestamp")
    }

    pub(crate) fn set(&self, time: Timestamp) {
        self.0.store(time.as_microsecond(), Ordering::SeqCst);
    }

    pub(crate) fn advance(&self, time: Duration) {
        let micros = i64::try_from(time.as_micros()).expect("a short time");
        self.0.fetch_add(micros, Ordering::SeqCst);
    }

    /// For a store in memory.
    pub(crate) fn as_clock(&self) -> Clock {
        let clock = self.clone();
        Arc::new(move || clock.now())
    }
}

/// Fails a check that hangs, so that the others still run.
///
/// Ticks are counted instead of a deadline: while the machine stands still, there is none.
pub(crate) async fn without_hanging(check: impl Future<Output = ()>) {
    const TICK: Duration = Duration::from_millis(100);
    const TICKS: u32 = 6_000;
    let ticks = async {
        for _ in 0..TICKS {
            tokio::time::sleep(TICK).await;
        }
    };
    tokio::select! {
        biased;
        () = check => {}
        () = ticks => panic!("the check did not end within {TICKS} ticks of {TICK:?}"),
    }
}
