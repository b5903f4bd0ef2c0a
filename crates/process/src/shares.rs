//! Pools that callers share fairly, so that none of them can take everything.
//!
//! A holder may take from a pool as long as it has no more than what is left for others. One greedy
//! holder ends up with half of the pool, two with a third each, and so on. A newcomer always finds
//! room, without a list of holders and without reserving anything for those who are absent. Nobody
//! waits: a holder that gets nothing is told when to try again.
//!
//! Decision: docs/decisions/shares-are-what-is-left.md

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;

/// What a share is taken for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// Publishing may use the pool's reserve.
    Publishing,
    Other,
}

/// Why a holder gets no more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LimitReached {
    /// The holder has its share already.
    Share,
    /// Others have taken everything.
    Total,
}

/// A capacity, such as a number of requests or bytes, and how much of it each holder `H` has.
#[derive(Debug)]
pub struct Pool<H> {
    capacity: u64,
    /// The part that only [`Purpose::Publishing`] may take.
    reserve: u64,
    /// One holder may have no more, however much is left.
    max_per_holder: u64,
    usage: Mutex<Usage<H>>,
}

#[derive(Debug)]
struct Usage<H> {
    total: u64,
    by_holder: HashMap<H, u64>,
}

/// A holder's part of a pool. Dropping it releases it.
#[derive(Debug)]
pub struct Share<H: Eq + Hash> {
    pool: Arc<Pool<H>>,
    holder: H,
    amount: u64,
}

impl<H: Clone + Eq + Hash> Pool<H> {
    /// A pool without a reserve.
    pub fn new(capacity: u64) -> Arc<Pool<H>> {
        Arc::new(Pool { capacity, reserve: 0, max_per_holder: u64::MAX, usage: Usage::new() })
    }

    /// A pool that reserves a quarter for publishing.
    pub fn with_reserve(capacity: u64) -> Arc<Pool<H>> {
        let reserve = capacity / 4;
        Arc::new(Pool { capacity, reserve, max_per_holder: u64::MAX, usage: Usage::new() })
    }

    /// A pool without a total limit: each holder may have `max_per_holder`.
    pub fn per_holder(max_per_holder: u64) -> Arc<Pool<H>> {
        Pool::with_holder_limit(u64::MAX, max_per_holder)
    }

    /// A pool with a limit for each holder, however much is left.
    pub fn with_holder_limit(capacity: u64, max_per_holder: u64) -> Arc<Pool<H>> {
        Arc::new(Pool { capacity, reserve: 0, max_per_holder, usage: Usage::new() })
    }

    pub fn amount_of(&self, holder: &H) -> u64 {
        self.usage().of(holder)
    }

    pub fn take(
        self: &Arc<Self>,
        holder: H,
        purpose: Purpose,
        amount: u64,
    ) -> Result<Share<H>, LimitReached> {
        let mut share = Share::empty(self, holder);
        share.grow(purpose, amount)?;
        Ok(share)
    }

    /// Whether a holder that has `own` of the `total` in use may have `amount` more.
    fn check(
        &self,
        own: u64,
        total: u64,
        purpose: Purpose,
        amount: u64,
    ) -> Result<(), LimitReached> {
        let reserved = if purpose == Purpose::Publishing { 0 } else { self.reserve };
        let left = self.capacity.saturating_sub(total).saturating_sub(reserved);
        let share = left.min(self.max_per_holder);
        match own.saturating_add(amount) {
            wanted if wanted <= share => Ok(()),
            _ if own == 0 && self.max_per_holder >= amount => Err(LimitReached::Total),
            _ => Err(LimitReached::Share),
        }
    }
}

impl<H> Pool<H> {
    fn usage(&self) -> MutexGuard<'_, Usage<H>> {
        self.usage.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<H: Clone + Eq + Hash> Share<H> {
    /// A share of nothing, to [`grow`](Self::grow).
    pub fn empty(pool: &Arc<Pool<H>>, holder: H) -> Share<H> {
        Share { pool: Arc::clone(pool), holder, amount: 0 }
    }

    /// An empty share of the same pool for the same holder.
    pub fn empty_sibling(&self) -> Share<H> {
        Share::empty(&self.pool, self.holder.clone())
    }

    pub fn holder(&self) -> &H {
        &self.holder
    }

    /// Takes more. The share stays as it is if a limit is reached.
    pub fn grow(&mut self, purpose: Purpose, amount: u64) -> Result<(), LimitReached> {
        if amount == 0 {
            return Ok(());
        }
        let mut usage = self.pool.usage();
        let own = usage.of(&self.holder);
        self.pool.check(own, usage.total, purpose, amount)?;
        usage.add(&self.holder, amount);
        self.amount += amount;
        Ok(())
    }

    /// Takes more regardless of limits, for memory that is in use already. The pool may exceed its
    /// capacity; nobody else gets anything until it is below it again.
    pub fn force_grow(&mut self, amount: u64) {
        if amount > 0 {
            self.pool.usage().add(&self.holder, amount);
            self.amount += amount;
        }
    }

    pub fn amount(&self) -> u64 {
        self.amount
    }

    /// Splits off `amount`, or everything if the share has less.
    pub fn split_off(&mut self, amount: u64) -> Share<H> {
        let mut part = self.empty_sibling();
        part.amount = amount.min(self.amount);
        self.amount -= part.amount;
        part
    }

    /// Ties the share to `bytes`: it is released when the last reference to them is dropped.
    pub fn attach_to(self, bytes: impl AsRef<[u8]> + Send + 'static) -> Bytes
    where
        H: Send + Sync + 'static,
    {
        Bytes::from_owner(BytesWithShare { bytes, _share: self })
    }

    /// Charges another holder, if it may have that much. Otherwise the share is released.
    pub fn transfer_to(mut self, holder: &H, purpose: Purpose) -> Result<Share<H>, LimitReached> {
        if self.holder == *holder {
            return Ok(self);
        }
        let pool = Arc::clone(&self.pool);
        let mut usage = pool.usage();
        let amount = std::mem::take(&mut self.amount);
        usage.remove(&self.holder, amount);
        pool.check(usage.of(holder), usage.total, purpose, amount)?;
        usage.add(holder, amount);
        (self.holder, self.amount) = (holder.clone(), amount);
        drop(usage);
        Ok(self)
    }
}

struct BytesWithShare<B, H: Eq + Hash> {
    bytes: B,
    _share: Share<H>,
}

impl<B: AsRef<[u8]>, H: Eq + Hash> AsRef<[u8]> for BytesWithShare<B, H> {
    fn as_ref(&self) -> &[u8] {
        self.bytes.as_ref()
    }
}

impl<H: Eq + Hash> Usage<H> {
    fn new() -> Mutex<Usage<H>> {
        Mutex::new(Usage { total: 0, by_holder: HashMap::new() })
    }

    fn of(&self, holder: &H) -> u64 {
        self.by_holder.get(holder).copied().unwrap_or(0)
    }

    fn remove(&mut self, holder: &H, amount: u64) {
        self.total -= amount;
        if let Some(own) = self.by_holder.get_mut(holder) {
            *own -= amount;
            if *own == 0 {
                self.by_holder.remove(holder);
            }
        }
    }
}

impl<H: Clone + Eq + Hash> Usage<H> {
    fn add(&mut self, holder: &H, amount: u64) {
        self.total += amount;
        match self.by_holder.get_mut(holder) {
            Some(own) => *own += amount,
            None => drop(self.by_holder.insert(holder.clone(), amount)),
        }
    }
}

impl<H: Eq + Hash> Drop for Share<H> {
    fn drop(&mut self) {
        if self.amount == 0 {
            return;
        }
        self.pool.usage().remove(&self.holder, self.amount);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn organization(name: &str) -> String {
        name.to_owned()
    }

    /// Takes one unit after the other until a limit is reached.
    fn take_all(
        pool: &Arc<Pool<String>>,
        name: &str,
        purpose: Purpose,
    ) -> (Vec<Share<String>>, LimitReached) {
        let mut shares = Vec::new();
        loop {
            match pool.take(organization(name), purpose, 1) {
                Ok(share) => shares.push(share),
                Err(limit) => return (shares, limit),
            }
        }
    }

    #[test]
    fn a_greedy_holder_gets_half_and_the_next_one_half_of_the_rest() {
        let pool = Pool::new(100);
        let (first, limit) = take_all(&pool, "first", Purpose::Other);
        assert_eq!((first.len(), limit), (50, LimitReached::Share));
        let (second, limit) = take_all(&pool, "second", Purpose::Other);
        assert_eq!((second.len(), limit), (25, LimitReached::Share));
        assert!(pool.take(organization("third"), Purpose::Other, 1).is_ok());
    }

    #[test]
    fn competing_holders_end_up_with_equal_shares() {
        let pool = Pool::new(90);
        let mut shares: [Vec<Share<String>>; 2] = Default::default();
        // In turns, each releases one and takes all that it can.
        for round in 0..200 {
            let mine = &mut shares[round % 2];
            mine.pop();
            let name = ["first", "second"][round % 2];
            mine.extend(take_all(&pool, name, Purpose::Other).0);
        }
        assert_eq!(shares.map(|mine| mine.len()), [30, 30]);
    }

    #[test]
    fn the_reserve_is_for_publishing_only() {
        let pool = Pool::with_reserve(100);
        let mut others = Vec::new();
        for name in ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j"] {
            others.extend(take_all(&pool, name, Purpose::Other).0);
        }
        assert_eq!(others.len(), 75);
        let refused = pool.take(organization("new"), Purpose::Other, 1);
        assert_eq!(refused.expect_err("none is left"), LimitReached::Total);
        let (publishing, _) = take_all(&pool, "new", Purpose::Publishing);
        assert_eq!(publishing.len(), 13, "half of the reserve");
    }

    #[test]
    fn a_holder_can_have_a_limit_of_its_own() {
        let pool = Pool::per_holder(3);
        let (first, limit) = take_all(&pool, "first", Purpose::Other);
        assert_eq!((first.len(), limit), (3, LimitReached::Share));
        assert_eq!(take_all(&pool, "second", Purpose::Other).0.len(), 3);
    }

    #[test]
    fn a_share_can_be_transferred_to_another_holder() {
        let pool = Pool::new(4);
        let address = organization("an address");
        let share = pool.take(address.clone(), Purpose::Other, 1).expect("there is room");
        let share = share.transfer_to(&organization("a"), Purpose::Other).expect("there is room");
        assert_eq!(pool.usage().of(&address), 0);
        assert_eq!(pool.usage().of(share.holder()), 1);
        let _second = pool.take(organization("a"), Purpose::Other, 1).expect("half of it");
        let stranger = pool.take(address, Purpose::Other, 1).expect("there is room");
        let transferred = stranger.transfer_to(&organization("a"), Purpose::Other);
        assert_eq!(transferred.expect_err("it has half"), LimitReached::Share);
        assert_eq!(pool.usage().total, 2, "a share that cannot be transferred is released");
    }

    #[test]
    fn released_shares_can_be_taken_again_and_holders_without_shares_are_forgotten() {
        let pool = Pool::new(4);
        let mut share = pool.take(organization("a"), Purpose::Other, 1).expect("there is room");
        share.grow(Purpose::Other, 1).expect("there is room");
        assert_eq!(share.grow(Purpose::Other, 1), Err(LimitReached::Share));
        assert_eq!(pool.usage().total, 2, "a refusal does not count");
        drop(share);
        assert!(pool.usage().by_holder.is_empty());
        assert_eq!(pool.usage().total, 0);
        assert!(pool.take(organization("a"), Purpose::Other, 4).is_ok(), "and all of it at once");
    }

    #[test]
    fn bytes_keep_their_share_until_the_last_reference_is_dropped() {
        let pool = Pool::new(100);
        let mut share = pool.take(organization("a"), Purpose::Other, 30).expect("there is room");
        let bytes = share.split_off(20).attach_to(vec![0; 20]);
        assert_eq!((share.amount(), pool.amount_of(&organization("a"))), (10, 30));
        let slice = bytes.slice(19..);
        drop((share, bytes));
        assert_eq!(pool.amount_of(&organization("a")), 20, "one byte keeps all of them");
        drop(slice);
        assert_eq!(pool.usage().total, 0);
    }

    #[test]
    fn what_is_taken_by_force_counts_for_later_holders() {
        let pool = Pool::new(10);
        let mut share = Share::empty(&pool, organization("a"));
        share.force_grow(12);
        let refused = pool.take(organization("b"), Purpose::Other, 1);
        assert_eq!(refused.expect_err("there is none"), LimitReached::Total);
        drop(share.split_off(50));
        assert_eq!((share.amount(), pool.usage().total), (0, 0));
    }
}
