//! The pool with fake connections, in virtual time.

use std::convert::Infallible;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use http::uri::Authority;
use tokio::task::{JoinHandle, yield_now};
use tokio::time::advance;

use super::*;

const IDLE_TIME: Duration = Duration::from_secs(4);
const KEPT: Release = Release::Reusable { idle_time: Duration::from_secs(60) };

/// A connection that carries `streams` requests at a time. `None`: one, as with HTTP/1.1.
#[derive(Clone)]
struct Fake {
    number: usize,
    streams: Option<usize>,
    is_open: Arc<AtomicBool>,
    _open: Arc<oneshot::Sender<Infallible>>,
}

impl Pooled for Fake {
    fn capacity(&self) -> usize {
        self.streams.unwrap_or(1)
    }

    fn is_shared(&self) -> bool {
        self.streams.is_some()
    }

    fn is_open(&self) -> bool {
        self.is_open.load(Ordering::Relaxed)
    }
}

/// Opens connections to receivers.
struct World {
    pool: Pool<Fake>,
    streams: Option<usize>,
    opened: usize,
    closed: Arc<AtomicUsize>,
}

impl World {
    fn new(connections: usize, per_group: usize, streams: Option<usize>) -> Self {
        let limits = PoolLimits { connections, per_group, idle_time: IDLE_TIME };
        Self { pool: Pool::new(limits), streams, opened: 0, closed: Arc::default() }
    }

    /// What a request of the group gets without waiting, if anything.
    async fn check_out(&mut self, group: u128, choice: ConnectionChoice) -> Option<Checkout<Fake>> {
        let mut waiting = self.wait(group, choice);
        settle().await;
        ended(&mut waiting).await
    }

    /// Starts a task with a request of the group that waits.
    fn wait(&self, group: u128, choice: ConnectionChoice) -> JoinHandle<Checkout<Fake>> {
        let pool = Pool { shared: Arc::clone(&self.pool.shared) };
        tokio::spawn(async move { pool.check_out(&route(group), choice).await })
    }

    /// Opens the connection for which a slot was given.
    fn open(&mut self, mut slot: Slot<Fake>) -> InUse<Fake> {
        let (open, closed) = oneshot::channel();
        self.opened += 1;
        let fake = Fake {
            number: self.opened,
            streams: self.streams,
            is_open: Arc::new(AtomicBool::new(true)),
            _open: Arc::new(open),
        };
        let used = slot.opened(fake);
        let count = Arc::clone(&self.closed);
        tokio::spawn(async move {
            _ = closed.await;
            count.fetch_add(1, Ordering::Relaxed);
            drop(slot);
        });
        used
    }

    /// A request of the group, on a connection that is opened if necessary.
    async fn request(&mut self, group: u128) -> InUse<Fake> {
        match self.check_out(group, ConnectionChoice::Any).await.expect("there is room") {
            Checkout::Use(used) => used,
            Checkout::Open(slot) => self.open(slot),
        }
    }

    fn closed(&self) -> usize {
        self.closed.load(Ordering::Relaxed)
    }
}

fn route(group: u128) -> Route {
    Route { group: ConnectionGroup::new(group), authority: Authority::from_static("a.example") }
}

/// Lets the other tasks run.
async fn settle() {
    for _ in 0..50 {
        yield_now().await;
    }
}

/// The output of a task that has ended. Aborts it otherwise.
async fn ended(task: &mut JoinHandle<Checkout<Fake>>) -> Option<Checkout<Fake>> {
    if !task.is_finished() {
        task.abort();
        return None;
    }
    Some(task.await.expect("it has ended"))
}

fn number(used: &InUse<Fake>) -> usize {
    used.connection().expect("a connection").number
}

#[tokio::test(start_paused = true)]
async fn the_next_request_of_a_group_uses_the_connection_of_the_last() {
    let mut world = World::new(10, 10, None);
    let first = world.request(1).await;
    assert!(!first.was_used());
    first.end(KEPT);
    let second = world.request(1).await;
    assert!(second.was_used());
    assert_eq!(number(&second), 1);
}

#[tokio::test(start_paused = true)]
async fn no_request_uses_a_connection_of_another_group_or_host() {
    for streams in [None, Some(100)] {
        let mut world = World::new(10, 10, streams);
        world.request(1).await.end(KEPT);
        let other = world.request(2).await;
        assert_eq!(number(&other), 2);
        let elsewhere = Route { authority: Authority::from_static("b.example"), ..route(1) };
        let turn = world.pool.check_out(&elsewhere, ConnectionChoice::Any).await;
        assert!(matches!(turn, Checkout::Open(_)));
    }
}

#[tokio::test(start_paused = true)]
async fn a_connection_is_closed_when_it_has_been_idle_for_long_enough() {
    for (allowed, idle_time) in [(60, 4), (1, 1), (0, 0)] {
        let mut world = World::new(10, 10, None);
        let idle = Release::Reusable { idle_time: Duration::from_secs(allowed) };
        world.request(1).await.end(idle);
        settle().await;
        advance(Duration::from_secs(idle_time).saturating_sub(Duration::from_millis(1))).await;
        settle().await;
        assert_eq!(world.closed(), usize::from(idle_time == 0));
        advance(Duration::from_millis(2)).await;
        settle().await;
        assert_eq!(world.closed(), 1);
        assert!(world.pool.shared.change(|state| state.is_empty()), "nothing is remembered");
    }
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_ended_badly_or_was_abandoned_is_not_used_again() {
    for streams in [None, Some(100)] {
        let mut world = World::new(10, 10, streams);
        world.request(1).await.end(Release::Unusable);
        settle().await;
        assert_eq!(world.closed(), 1);
        drop(world.request(1).await);
        settle().await;
        assert_eq!((world.opened, world.closed()), (2, 2));
        let third = world.request(1).await;
        assert_eq!(number(&third), 3);
    }
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_the_receiver_has_closed_is_not_used_again() {
    let mut world = World::new(10, 10, None);
    let used = world.request(1).await;
    let is_open = Arc::clone(&used.connection().expect("a connection").is_open);
    used.end(KEPT);
    is_open.store(false, Ordering::Relaxed);
    assert_eq!(number(&world.request(1).await), 2);
}

#[tokio::test(start_paused = true)]
async fn requests_that_cannot_share_a_connection_have_one_each() {
    let mut world = World::new(100, 100, None);
    world.request(1).await.end(KEPT);
    let mut used = Vec::new();
    for _ in 0..20 {
        used.push(world.request(1).await);
    }
    assert_eq!(world.opened, 20);
}

#[tokio::test(start_paused = true)]
async fn requests_share_a_connection_up_to_its_streams_and_then_there_is_another() {
    let mut world = World::new(100, 100, Some(8));
    let mut used = Vec::new();
    for _ in 0..20 {
        used.push(world.request(1).await);
    }
    assert_eq!(world.opened, 3);
}

#[tokio::test(start_paused = true)]
async fn a_burst_to_a_new_receiver_waits_to_know_whether_connections_are_shared() {
    for (streams, connections) in [(Some(100), 1), (Some(10), 2), (None, 20)] {
        let mut world = World::new(100, 100, streams);
        let mut waiting: Vec<_> = (0..20).map(|_| world.wait(1, ConnectionChoice::Any)).collect();
        settle().await;
        let begun = waiting.iter().filter(|task| task.is_finished()).count();
        assert_eq!(begun, 1, "the others wait for what comes of the first");
        let mut used = Vec::new();
        for task in &mut waiting {
            match task.await.expect("a checkout") {
                Checkout::Use(turn) => used.push(turn),
                Checkout::Open(slot) => used.push(world.open(slot)),
            }
        }
        assert_eq!(world.opened, connections);
    }
}

#[tokio::test(start_paused = true)]
async fn if_the_first_cannot_connect_the_others_try_at_the_same_time() {
    let world = World::new(100, 100, None);
    let waiting: Vec<_> = (0..20).map(|_| world.wait(1, ConnectionChoice::Any)).collect();
    settle().await;
    let (first, others): (Vec<_>, Vec<_>) =
        waiting.into_iter().partition(|task| task.is_finished());
    for mut task in first {
        drop(ended(&mut task).await);
    }
    settle().await;
    assert!(others.iter().all(|task| task.is_finished()));
}

#[tokio::test(start_paused = true)]
async fn a_receiver_that_leaves_requests_unprocessed_gets_fewer_on_a_connection() {
    let mut world = World::new(100, 100, Some(100));
    let mut used = Vec::new();
    for _ in 0..20 {
        used.push(world.request(1).await);
    }
    // The receiver processes three, and rejects the others.
    for answered in used.drain(..3) {
        answered.end(KEPT);
    }
    let mut again = Vec::new();
    for given_back in used {
        given_back.end(Release::NotProcessed);
        again.push(world.wait(1, ConnectionChoice::Any));
    }
    let mut used = Vec::new();
    for task in again {
        match task.await.expect("a checkout") {
            Checkout::Use(turn) => used.push(turn),
            Checkout::Open(slot) => used.push(world.open(slot)),
        }
    }
    assert_eq!(world.opened, 1 + 17_usize.div_ceil(3));
    // Each answer raises its limit by one.
    for answered in used.drain(..) {
        answered.end(KEPT);
    }
    for _ in 0..20 {
        used.push(world.request(1).await);
    }
    assert_eq!(world.opened, 1 + 17_usize.div_ceil(3));
}

#[tokio::test(start_paused = true)]
async fn there_are_never_more_connections_than_slots() {
    let mut world = World::new(3, 3, None);
    let used = [world.request(1).await, world.request(2).await, world.request(3).await];
    assert!(world.check_out(4, ConnectionChoice::Any).await.is_none());
    let waiting = world.wait(4, ConnectionChoice::Any);
    settle().await;
    let [first, ..] = used;
    first.end(Release::Unusable);
    settle().await;
    assert!(matches!(waiting.await.expect("a checkout"), Checkout::Open(_)));
}

#[tokio::test(start_paused = true)]
async fn the_connection_that_is_idle_for_longest_is_given_up_for_a_group_without_a_slot() {
    let mut world = World::new(3, 3, None);
    for group in [1, 2, 3] {
        let used = world.request(group).await;
        used.end(KEPT);
        advance(Duration::from_millis(10)).await;
    }
    let waiting = world.wait(4, ConnectionChoice::Any);
    settle().await;
    assert!(matches!(waiting.await.expect("a checkout"), Checkout::Open(_)));
    assert_eq!(world.closed(), 1);
    for (group, connection) in [(2, 2), (3, 3)] {
        assert_eq!(number(&world.request(group).await), connection);
    }
}

#[tokio::test(start_paused = true)]
async fn a_connection_goes_to_a_waiting_group_as_soon_as_its_request_has_ended() {
    for streams in [None, Some(100)] {
        let mut world = World::new(1, 1, streams);
        let used = world.request(1).await;
        let own = world.wait(1, ConnectionChoice::New);
        let other = world.wait(2, ConnectionChoice::Any);
        settle().await;
        used.end(KEPT);
        settle().await;
        assert!(other.is_finished());
        assert!(!own.is_finished());
    }
}

#[tokio::test(start_paused = true)]
async fn a_shared_connection_that_is_always_in_use_keeps_nobody_out() {
    let mut world = World::new(1, 1, Some(100));
    let mut used = vec![world.request(1).await, world.request(1).await];
    let other = world.wait(2, ConnectionChoice::Any);
    settle().await;
    used.remove(0).end(KEPT);
    // It takes no more requests of its own group, and is closed with the last that it has.
    let own = world.wait(1, ConnectionChoice::Any);
    settle().await;
    assert!(!own.is_finished() && !other.is_finished());
    used.remove(0).end(KEPT);
    settle().await;
    assert!(other.is_finished() && !own.is_finished());
}

#[tokio::test(start_paused = true)]
async fn a_group_has_its_share_of_the_slots_at_most() {
    let mut world = World::new(8, 2, None);
    let mut used = vec![world.request(1).await];
    used.push(world.request(1).await);
    assert!(world.check_out(1, ConnectionChoice::Any).await.is_none());
    let waiting = world.wait(1, ConnectionChoice::Any);
    let other = world.request(2).await;
    drop(other);
    used.remove(0).end(KEPT);
    let Checkout::Use(next) = waiting.await.expect("a checkout") else { panic!("it was free") };
    assert_eq!(number(&next), 1);
}

#[tokio::test(start_paused = true)]
async fn a_group_with_many_connections_gives_them_up_as_long_as_others_have_fewer() {
    let mut world = World::new(4, 4, None);
    let mut used = Vec::new();
    for _ in 0..4 {
        used.push(world.request(1).await);
    }
    // Both need more than there is.
    let own: Vec<_> = (0..4).map(|_| world.wait(1, ConnectionChoice::Any)).collect();
    let others: Vec<_> = (0..4).map(|_| world.wait(2, ConnectionChoice::Any)).collect();
    settle().await;
    for answered in used {
        answered.end(KEPT);
        settle().await;
    }
    let finished = |tasks: &[JoinHandle<_>]| tasks.iter().filter(|task| task.is_finished()).count();
    // The other group's first connection shows whether it needs more.
    assert_eq!((finished(&own), finished(&others)), (3, 1));
    for task in others {
        if task.is_finished()
            && let Checkout::Open(slot) = task.await.expect("a checkout")
        {
            drop(world.open(slot));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_request_for_a_new_connection_gets_no_other() {
    for streams in [None, Some(100)] {
        // Even if the idle connection has to be given up for it.
        for connections in [1, 10] {
            let mut world = World::new(connections, connections, streams);
            world.request(1).await.end(KEPT);
            let waiting = world.wait(1, ConnectionChoice::New);
            settle().await;
            let Checkout::Open(slot) = waiting.await.expect("a checkout") else {
                panic!("a kept one")
            };
            assert_eq!(number(&world.open(slot)), 2);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_grant_of_an_abandoned_request_goes_to_the_next() {
    let mut world = World::new(1, 1, None);
    let used = world.request(1).await;
    let gone = world.wait(1, ConnectionChoice::Any);
    let next = world.wait(1, ConnectionChoice::Any);
    settle().await;
    // Its grant is on its way when it is abandoned.
    used.end(KEPT);
    gone.abort();
    settle().await;
    let Checkout::Use(next) = next.await.expect("a checkout") else { panic!("it was free") };
    assert_eq!(number(&next), 1);
}
