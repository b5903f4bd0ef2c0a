//! Decides whose turn it is. Pure.

use std::collections::{HashMap, VecDeque};

use keeptrusts_webhooks_domain::ids::OrganizationId;

/// The permits, and a queue for each organization.
#[derive(Debug)]
pub(crate) struct Queues<W> {
    free: usize,
    /// The most permits of one organization.
    share: usize,
    /// The longest queue of one organization.
    max_waiting: Option<usize>,
    organizations: HashMap<OrganizationId, Organization<W>>,
    /// Organizations with a queue, in the order of their turns.
    order: VecDeque<OrganizationId>,
}

#[derive(Debug)]
struct Organization<W> {
    running: usize,
    waiting: VecDeque<W>,
}

/// The result of [`Queues::enter`].
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Entry {
    Begins,
    Waits,
    Refused,
}

impl<W> Queues<W> {
    pub(crate) fn new(permits: usize, share: usize, max_waiting: Option<usize>) -> Queues<W> {
        Queues {
            free: permits,
            share,
            max_waiting,
            organizations: HashMap::new(),
            order: VecDeque::new(),
        }
    }

    /// Takes a permit or queues the request. Requests of one organization keep their order. No request
    /// waits while there is a free permit that it may have.
    pub(crate) fn enter(&mut self, id: &OrganizationId, waiting: W) -> Entry {
        let organization = self.organizations.entry(id.clone()).or_default();
        let is_first = organization.waiting.is_empty();
        if is_first && self.free > 0 && organization.running < self.share {
            organization.running += 1;
            self.free -= 1;
            return Entry::Begins;
        }
        if self.max_waiting.is_some_and(|most| organization.waiting.len() >= most) {
            return Entry::Refused;
        }
        organization.waiting.push_back(waiting);
        if is_first {
            self.order.push_back(id.clone());
        }
        Entry::Waits
    }

    /// Takes a permit back.
    pub(crate) fn leave(&mut self, id: &OrganizationId) {
        self.free += 1;
        if let Some(organization) = self.organizations.get_mut(id) {
            organization.running = organization.running.saturating_sub(1);
        }
        self.forget(id);
    }

    /// Gives the free permits to the requests whose turn it is. Drops those that are not `wanted` any
    /// more.
    pub(crate) fn begin(&mut self, wanted: impl Fn(&W) -> bool) -> Vec<(OrganizationId, W)> {
        let mut begun = Vec::new();
        // How many organizations in a row could not start a request.
        let mut passed = 0;
        while self.free > 0 && passed < self.order.len() {
            let Some(id) = self.order.pop_front() else { break };
            let Some(organization) = self.organizations.get_mut(&id) else { continue };
            while organization.waiting.front().is_some_and(|waiting| !wanted(waiting)) {
                organization.waiting.pop_front();
            }
            let may_run = organization.running < self.share;
            match organization.waiting.pop_front() {
                None => {}
                Some(next) if may_run => {
                    organization.running += 1;
                    self.free -= 1;
                    begun.push((id.clone(), next));
                    passed = 0;
                }
                Some(next) => {
                    organization.waiting.push_front(next);
                    passed += 1;
                }
            }
            if organization.waiting.is_empty() {
                self.forget(&id);
            } else {
                self.order.push_back(id);
            }
        }
        begun
    }

    /// Removes an organization that neither runs nor waits.
    fn forget(&mut self, id: &OrganizationId) {
        let is_idle = |it: &Organization<W>| it.running == 0 && it.waiting.is_empty();
        if self.organizations.get(id).is_some_and(is_idle) {
            self.organizations.remove(id);
        }
    }
}

impl<W> Default for Organization<W> {
    fn default() -> Self {
        Organization { running: 0, waiting: VecDeque::new() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(name: &str) -> OrganizationId {
        name.parse().expect("an id")
    }

    fn begun(queues: &mut Queues<u32>) -> Vec<(String, u32)> {
        queues.begin(|_| true).into_iter().map(|(id, it)| (id.to_string(), it)).collect()
    }

    #[test]
    fn invariant_8_no_organization_has_all_places_and_they_take_turns() {
        let mut queues = Queues::new(4, 2, None);
        let busy: Vec<_> = (0..6).map(|it| queues.enter(&id("busy"), it)).collect();
        assert_eq!(busy[..2], [Entry::Begins, Entry::Begins]);
        assert_eq!(busy[2..], [Entry::Waits, Entry::Waits, Entry::Waits, Entry::Waits]);
        assert_eq!(begun(&mut queues), [], "its share is used up, and two permits stay free");
        assert_eq!(queues.enter(&id("other"), 10), Entry::Begins);
        assert_eq!(queues.enter(&id("third"), 20), Entry::Begins);
        for it in 11..14 {
            assert_eq!(queues.enter(&id("other"), it), Entry::Waits);
        }
        queues.leave(&id("third"));
        assert_eq!(begun(&mut queues), [("other".to_owned(), 11)], "the first is at its share");
        queues.leave(&id("busy"));
        queues.leave(&id("other"));
        assert_eq!(begun(&mut queues), [("busy".to_owned(), 2), ("other".to_owned(), 12)]);
    }

    #[test]
    fn queues_are_limited_and_forgotten() {
        let mut queues = Queues::new(1, 1, Some(1));
        assert_eq!(queues.enter(&id("a"), 1), Entry::Begins);
        assert_eq!(queues.enter(&id("a"), 2), Entry::Waits);
        assert_eq!(queues.enter(&id("a"), 3), Entry::Refused);
        assert_eq!(queues.enter(&id("b"), 4), Entry::Waits);
        queues.leave(&id("a"));
        let begun = queues.begin(|it| *it != 2);
        assert_eq!(begun, [(id("b"), 4)], "who stopped waiting has no turn");
        queues.leave(&id("b"));
        assert!(queues.organizations.is_empty() && queues.order.is_empty());
        assert_eq!(queues.free, 1);
    }
}
