//! The pool's decisions, without I/O: it wakes nobody itself.

use std::collections::{HashMap, HashSet, VecDeque};

use tokio::time::Instant;

use super::connection::{ConnectionChoice, Grant, PoolLimits, Pooled, Release, Route};
use crate::limits::MAX_STREAMS;

pub(super) struct State<Connection: Pooled, W> {
    limits: PoolLimits,
    /// Connections that are open or being opened.
    slots: usize,
    routes: HashMap<Route, Connections<Connection, W>>,
    /// Routes whose requests wait for a slot.
    without_slot: HashSet<Route>,
    next_id: u64,
    deferred: Vec<Deferred<Connection, W>>,
    /// Whether a task closes idle connections.
    has_sweeper: bool,
    has_idle: bool,
}

/// A request that waits for a connection.
pub(super) trait Waiter {
    fn is_abandoned(&self) -> bool;
}

/// What is done once the state is unlocked.
pub(super) enum Deferred<Connection: Pooled, W> {
    Grant { waiter: W, route: Route, grant: Grant<Connection> },
    Close(Connection),
}

/// The connections of one route, and the requests that wait for one.
struct Connections<Connection: Pooled, W> {
    slots: usize,
    opening: usize,
    open: Vec<PooledConnection<Connection>>,
    waiting: VecDeque<(ConnectionChoice, W)>,
    sharing: Sharing,
}

struct PooledConnection<Connection> {
    id: u64,
    /// `None`: it takes no more requests, and is closed with the last one on it.
    connection: Option<Connection>,
    users: usize,
    answered: usize,
    idle_until: Instant,
}

/// Whether requests share connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sharing {
    /// No connection has been opened yet.
    Unknown,
    /// One request at a time on each (HTTP/1.1).
    No,
    /// This many at a time on each (HTTP/2). Fewer if a receiver leaves requests unprocessed, and
    /// one more with each answer.
    Yes(usize),
}

impl<Connection: Pooled, W> Connections<Connection, W> {
    fn new() -> Self {
        Self {
            slots: 0,
            opening: 0,
            open: Vec::new(),
            waiting: VecDeque::new(),
            sharing: Sharing::Unknown,
        }
    }

    /// How many requests will fit on the connections that are being opened, besides those that open
    /// them.
    fn room_expected(&self) -> usize {
        let room = match self.sharing {
            Sharing::Unknown => usize::MAX,
            Sharing::No => 0,
            Sharing::Yes(streams) => streams.saturating_sub(1),
        };
        self.opening.saturating_mul(room)
    }

    /// The index of the connection for the next request: the most recently used one, so that the
    /// others become idle.
    fn free(&mut self, now: Instant) -> Option<usize> {
        let streams = match self.sharing {
            Sharing::Yes(streams) => streams,
            Sharing::Unknown | Sharing::No => MAX_STREAMS,
        };
        self.open.iter().rposition(|entry| {
            entry.connection.as_ref().is_some_and(|connection| {
                entry.users < connection.capacity().min(streams)
                    && (entry.users > 0 || now < entry.idle_until)
                    && connection.is_open()
            })
        })
    }

    fn is_unused(&self) -> bool {
        self.slots == 0 && self.opening == 0 && self.open.is_empty() && self.waiting.is_empty()
    }
}

impl<Connection: Pooled, W: Waiter> State<Connection, W> {
    pub(super) fn new(limits: PoolLimits) -> Self {
        Self {
            limits,
            slots: 0,
            routes: HashMap::new(),
            without_slot: HashSet::new(),
            next_id: 0,
            deferred: Vec::new(),
            has_sweeper: false,
            has_idle: false,
        }
    }

    pub(super) fn take_deferred(&mut self) -> Vec<Deferred<Connection, W>> {
        std::mem::take(&mut self.deferred)
    }

    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.slots == 0 && self.routes.is_empty() && self.without_slot.is_empty()
    }

    /// Whether the caller must start a task that closes idle connections.
    pub(super) fn start_sweeper(&mut self) -> bool {
        let begins = self.has_idle && !self.has_sweeper;
        self.has_sweeper |= begins;
        begins
    }

    /// Queues a request, and serves it if possible.
    pub(super) fn request(&mut self, route: &Route, choice: ConnectionChoice, waiter: W) {
        let connections = self.routes.entry(route.clone()).or_insert_with(Connections::new);
        connections.waiting.push_back((choice, waiter));
        self.serve(route);
    }

    /// A connection has been opened, and its request uses it.
    pub(super) fn opened(&mut self, route: &Route, connection: Connection) -> u64 {
        let id = self.next_id;
        self.next_id += 1;
        if let Some(connections) = self.routes.get_mut(route) {
            connections.opening -= 1;
            connections.sharing = match (connection.is_shared(), connections.sharing) {
                (false, _) => Sharing::No,
                (true, Sharing::Yes(streams)) => Sharing::Yes(streams),
                (true, _) => Sharing::Yes(MAX_STREAMS),
            };
            connections.open.push(PooledConnection {
                id,
                connection: Some(connection),
                users: 1,
                answered: 0,
                idle_until: Instant::now(),
            });
        }
        self.serve(route);
        id
    }

    /// A connection was closed, or could not be opened.
    pub(super) fn slot_freed(&mut self, route: &Route, was_opening: bool) {
        self.slots -= 1;
        if let Some(connections) = self.routes.get_mut(route) {
            connections.slots -= 1;
            if was_opening {
                connections.opening -= 1;
                // Requests that waited for it open connections of their own, all at the same time.
                connections.sharing = Sharing::No;
            }
        }
        self.serve_without_slot();
        self.serve(route);
        if self.routes.get(route).is_some_and(Connections::is_unused) {
            self.routes.remove(route);
            self.without_slot.remove(route);
        }
    }

    /// A request was granted a connection after it had been abandoned.
    pub(super) fn not_used(&mut self, route: &Route, id: u64) {
        let Some(connections) = self.routes.get_mut(route) else { return };
        if let Some(entry) = connections.open.iter_mut().find(|entry| entry.id == id) {
            entry.users -= 1;
            self.has_idle |= entry.users == 0;
        }
        self.serve(route);
    }

    /// A request on a connection has ended.
    pub(super) fn ended(&mut self, route: &Route, id: u64, ended: Release, now: Instant) {
        let must_share_slots = self.must_share_slots(route);
        let Some(connections) = self.routes.get_mut(route) else { return };
        let Some(index) = connections.open.iter().position(|entry| entry.id == id) else { return };
        let mut entry = connections.open.remove(index);
        entry.users -= 1;
        let is_idle = entry.users == 0;
        let takes_others = match ended {
            Release::Reusable { idle_time } => {
                entry.answered += 1;
                entry.idle_until = now + idle_time.min(self.limits.idle_time);
                if let Sharing::Yes(streams) = &mut connections.sharing {
                    *streams = (*streams + 1).min(MAX_STREAMS);
                }
                !must_share_slots
            }
            Release::Unusable => false,
            Release::NotProcessed => {
                let processed = entry.answered.max(entry.users).max(1);
                if let Sharing::Yes(streams) = &mut connections.sharing {
                    *streams = (*streams).min(processed);
                }
                false
            }
        };
        if !takes_others {
            self.deferred.extend(entry.connection.take().map(Deferred::Close));
        }
        // The most recently used connection is at the end.
        if entry.users > 0 || entry.connection.is_some() {
            self.has_idle |= is_idle;
            connections.open.push(entry);
        }
        self.serve(route);
    }

    /// Closes what has been idle for too long. Returns when to call it again.
    pub(super) fn close_idle(&mut self, now: Instant) -> Option<Instant> {
        let mut next: Option<Instant> = None;
        for connections in self.routes.values_mut() {
            let ended = connections.open.extract_if(.., |entry| {
                entry.users == 0
                    && (entry.idle_until <= now
                        || entry.connection.as_ref().is_none_or(|c| !c.is_open()))
            });
            self.deferred.extend(ended.filter_map(|entry| entry.connection).map(Deferred::Close));
            let idle = connections.open.iter().filter(|entry| entry.users == 0);
            next = idle.map(|entry| entry.idle_until).chain(next).min();
        }
        self.routes.retain(|_, connections| !connections.is_unused());
        self.has_idle = next.is_some();
        self.has_sweeper = self.has_idle;
        next
    }

    /// Serves the waiting requests of a route, in their order.
    fn serve(&mut self, route: &Route) {
        let now = Instant::now();
        loop {
            let Some(connections) = self.routes.get_mut(route) else { return };
            let Some((choice, waiter)) = connections.waiting.pop_front() else { break };
            if waiter.is_abandoned() {
                continue;
            }
            let free = match choice {
                ConnectionChoice::Any => connections.free(now),
                ConnectionChoice::New => None,
            };
            let entry = free.and_then(|index| connections.open.get_mut(index));
            let used = entry.and_then(|entry| {
                let connection = entry.connection.clone()?;
                entry.users += 1;
                Some(Grant::Use { id: entry.id, connection, was_used: entry.answered > 0 })
            });
            let grant = match used {
                Some(grant) => grant,
                None => match self.may_open(route, choice, now) {
                    true => Grant::Open,
                    false => {
                        if let Some(connections) = self.routes.get_mut(route) {
                            connections.waiting.push_front((choice, waiter));
                        }
                        return;
                    }
                },
            };
            self.deferred.push(Deferred::Grant { waiter, route: route.clone(), grant });
        }
        self.without_slot.remove(route);
    }

    /// Takes a slot for the first request of a route, if it should open a connection.
    fn may_open(&mut self, route: &Route, choice: ConnectionChoice, now: Instant) -> bool {
        let Some(connections) = self.routes.get_mut(route) else { return false };
        // Not counting this request itself.
        let is_worth_it = choice == ConnectionChoice::New
            || connections.waiting.len() >= connections.room_expected();
        if !is_worth_it {
            self.without_slot.remove(route);
            return false;
        }
        if connections.slots >= self.limits.per_group {
            // The route may have an idle connection, and this request needs a new one.
            self.give_up_idle(now, |other| other == route);
            self.without_slot.remove(route);
            return false;
        }
        if self.slots >= self.limits.connections {
            self.without_slot.insert(route.clone());
            self.give_up_idle(now, |_| true);
            return false;
        }
        self.slots += 1;
        connections.slots += 1;
        connections.opening += 1;
        true
    }

    /// Grants free slots to the routes that wait for one, those with the fewest slots first.
    fn serve_without_slot(&mut self) {
        while self.slots < self.limits.connections {
            let slots_of =
                |route: &&Route| self.routes.get(*route).map_or(0, |connections| connections.slots);
            let Some(route) = self.without_slot.iter().min_by_key(slots_of).cloned() else {
                return;
            };
            let before = self.slots;
            self.serve(&route);
            if self.slots == before {
                // It no longer needs a slot.
                self.without_slot.remove(&route);
            }
        }
    }

    /// Whether the route must give up a connection to a route that waits for a slot: if that one has
    /// no slot, or two fewer (with one fewer, two routes would take it from each other for ever), or
    /// if this route does not need the connection now.
    fn must_share_slots(&self, route: &Route) -> bool {
        let Some(connections) = self.routes.get(route) else { return false };
        let slots_of = |route: &Route| self.routes.get(route).map_or(0, |other| other.slots);
        let others = self.without_slot.iter().filter(|other| *other != route);
        others.map(slots_of).min().is_some_and(|fewest| {
            fewest == 0 || fewest + 1 < connections.slots || connections.waiting.is_empty()
        })
    }

    /// Gives up the connection that has been idle for longest. Its slot becomes free when it is
    /// closed.
    fn give_up_idle(&mut self, now: Instant, of: impl Fn(&Route) -> bool) {
        let idle = self.routes.iter().filter(|(route, _)| of(route)).flat_map(|(route, all)| {
            let idle = all.open.iter().filter(|e| e.users == 0 && e.connection.is_some());
            idle.map(move |entry| (entry.idle_until.max(now), route, entry.id))
        });
        let Some((_, route, id)) = idle.min_by_key(|(until, ..)| *until) else { return };
        let route = route.clone();
        let Some(connections) = self.routes.get_mut(&route) else { return };
        let given_up = connections.open.extract_if(.., |entry| entry.id == id);
        self.deferred.extend(given_up.filter_map(|entry| entry.connection).map(Deferred::Close));
    }
}
