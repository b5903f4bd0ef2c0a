//! What callers share, so that none of them can take all of it.
//!
//! A holder may take from a pool as long as it has no more than what is left for others. So one
//! that takes all it can get ends with half of the pool, two with a third each, and so on: whoever
//! comes new finds room, nobody has to be told how many there are, and nothing is kept apart for
//! those who are not there. Nobody waits: who gets nothing is told when to ask again.
//!
//! Decision: docs/decisions/shares-are-what-is-left.md

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;

/// What a share is taken for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// Publishing, for which a part of the pool is kept.
    Publishing,
    /// Everything else.
    Other,
}

/// Why there is nothing to take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exhausted {
    /// The holder has its share.
    Own,
    /// All of it is taken, by others.
    All,
}

/// So many of something, places or bytes, and who has how many. What a holder is called is for whoever
/// makes the pool to say.
#[derive(Debug)]
pub struct Pool<H> {
    capacity: u64,
    /// What only publishing may take.
    reserve: u64,
    /// What one holder may have, however much is left.
    max_each: u64,
    taken: Mutex<Taken<H>>,
}

#[derive(Debug)]
struct Taken<H> {
    all: u64,
    by_holder: HashMap<H, u64>,
}

/// What a holder has of a pool; dropping it gives it back.
#[derive(Debug)]
pub struct Share<H: Eq + Hash> {
    pool: Arc<Pool<H>>,
    holder: H,
    amount: u64,
}

impl<H: Clone + Eq + Hash> Pool<H> {
    /// A pool without a part that is kept for anything.
    pub fn new(capacity: u64) -> Arc<Pool<H>> {
        Arc::new(Pool { capacity, reserve: 0, max_each: u64::MAX, taken: Taken::nothing() })
    }

    /// A pool a quarter of which is kept for publishing.
    pub fn with_reserve(capacity: u64) -> Arc<Pool<H>> {
        let reserve = capacity / 4;
        Arc::new(Pool { capacity, reserve, max_each: u64::MAX, taken: Taken::nothing() })
    }

    /// Any number of holders, each with the same limit.
    pub fn for_each(max_each: u64) -> Arc<Pool<H>> {
        Pool::with_limit_for_each(u64::MAX, max_each)
    }

    /// A pool of which a holder has no more than so many, however much is left.
    pub fn with_limit_for_each(capacity: u64, max_each: u64) -> Arc<Pool<H>> {
        Arc::new(Pool { capacity, reserve: 0, max_each, taken: Taken::nothing() })
    }

    /// How much a holder has.
    pub fn amount_of(&self, holder: &H) -> u64 {
        self.taken().of(holder)
    }

    /// A share of so many.
    pub fn take(
        self: &Arc<Self>,
        holder: H,
        purpose: Purpose,
        amount: u64,
    ) -> Result<Share<H>, Exhausted> {
        let mut share = Share::nothing_of(self, holder);
        share.grow(purpose, amount)?;
        Ok(share)
    }

    /// Whether a holder that has `own` of `all` that is taken may have so much more.
    fn permits(&self, own: u64, all: u64, purpose: Purpose, amount: u64) -> Result<(), Exhausted> {
        let kept = if purpose == Purpose::Publishing { 0 } else { self.reserve };
        let left = self.capacity.saturating_sub(all).saturating_sub(kept);
        let share = left.min(self.max_each);
        match own.saturating_add(amount) {
            wanted if wanted <= share => Ok(()),
            _ if own == 0 && self.max_each >= amount => Err(Exhausted::All),
            _ => Err(Exhausted::Own),
        }
    }
}

impl<H> Pool<H> {
    fn taken(&self) -> MutexGuard<'_, Taken<H>> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<H: Clone + Eq + Hash> Share<H> {
    /// None of a pool yet.
    pub fn nothing_of(pool: &Arc<Pool<H>>, holder: H) -> Share<H> {
        Share { pool: Arc::clone(pool), holder, amount: 0 }
    }

    /// None yet of the same pool, for the same holder.
    pub fn another(&self) -> Share<H> {
        Share::nothing_of(&self.pool, self.holder.clone())
    }

    /// Who has it.
    pub fn holder(&self) -> &H {
        &self.holder
    }

    /// Takes more. What it has stays if there is no more.
    pub fn grow(&mut self, purpose: Purpose, amount: u64) -> Result<(), Exhausted> {
        if amount == 0 {
            return Ok(());
        }
        let mut taken = self.pool.taken();
        let own = taken.of(&self.holder);
        self.pool.permits(own, taken.all, purpose, amount)?;
        taken.add(&self.holder, amount);
        self.amount += amount;
        Ok(())
    }

    /// Takes more, whether it may have it or not: for what is there already and has to stay. What is
    /// taken beyond the pool's capacity is missing to those who come after.
    pub fn grow_regardless(&mut self, amount: u64) {
        if amount > 0 {
            self.pool.taken().add(&self.holder, amount);
            self.amount += amount;
        }
    }

    /// How much it is.
    pub fn amount(&self) -> u64 {
        self.amount
    }

    /// A part of it, as a share of its own; all of it, if it is not more than that.
    pub fn split_off(&mut self, amount: u64) -> Share<H> {
        let mut part = self.another();
        part.amount = amount.min(self.amount);
        self.amount -= part.amount;
        part
    }

    /// Bytes that the share belongs to: it is given back when the last of them is dropped, in
    /// whoever's buffer that is.
    pub fn held_by(self, bytes: impl AsRef<[u8]> + Send + 'static) -> Bytes
    where
        H: Send + Sync + 'static,
    {
        Bytes::from_owner(Held { bytes, _share: self })
    }

    /// What it has becomes another holder's, if that may have it.
    pub fn pass_to(mut self, holder: &H, purpose: Purpose) -> Result<Share<H>, Exhausted> {
        if self.holder == *holder {
            return Ok(self);
        }
        let pool = Arc::clone(&self.pool);
        let mut taken = pool.taken();
        let amount = std::mem::take(&mut self.amount);
        taken.remove(&self.holder, amount);
        pool.permits(taken.of(holder), taken.all, purpose, amount)?;
        taken.add(holder, amount);
        (self.holder, self.amount) = (holder.clone(), amount);
        drop(taken);
        Ok(self)
    }
}

/// Bytes with the share that they take.
struct Held<B, H: Eq + Hash> {
    bytes: B,
    _share: Share<H>,
}

impl<B: AsRef<[u8]>, H: Eq + Hash> AsRef<[u8]> for Held<B, H> {
    fn as_ref(&self) -> &[u8] {
        self.bytes.as_ref()
    }
}

impl<H: Eq + Hash> Taken<H> {
    fn nothing() -> Mutex<Taken<H>> {
        Mutex::new(Taken { all: 0, by_holder: HashMap::new() })
    }

    fn of(&self, holder: &H) -> u64 {
        self.by_holder.get(holder).copied().unwrap_or(0)
    }

    fn remove(&mut self, holder: &H, amount: u64) {
        self.all -= amount;
        if let Some(own) = self.by_holder.get_mut(holder) {
            *own -= amount;
            if *own == 0 {
                self.by_holder.remove(holder);
            }
        }
    }
}

impl<H: Clone + Eq + Hash> Taken<H> {
    fn add(&mut self, holder: &H, amount: u64) {
        self.all += amount;
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
        self.pool.taken().remove(&self.holder, self.amount);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn organization(name: &str) -> String {
        name.to_owned()
    }

    /// Takes one place after the other until there is none.
    fn take_all(
        pool: &Arc<Pool<String>>,
        name: &str,
        purpose: Purpose,
    ) -> (Vec<Share<String>>, Exhausted) {
        let mut shares = Vec::new();
        loop {
            match pool.take(organization(name), purpose, 1) {
                Ok(share) => shares.push(share),
                Err(exhausted) => return (shares, exhausted),
            }
        }
    }

    #[test]
    fn one_that_takes_all_it_can_gets_half_and_the_next_one_a_part_of_what_is_left() {
        let pool = Pool::new(100);
        let (first, exhausted) = take_all(&pool, "first", Purpose::Other);
        assert_eq!((first.len(), exhausted), (50, Exhausted::Own));
        let (second, exhausted) = take_all(&pool, "second", Purpose::Other);
        assert_eq!((second.len(), exhausted), (25, Exhausted::Own));
        assert!(pool.take(organization("third"), Purpose::Other, 1).is_ok());
    }

    #[test]
    fn those_that_compete_come_to_have_equal_shares() {
        let pool = Pool::new(90);
        let mut shares: [Vec<Share<String>>; 2] = Default::default();
        // Each gives one back and takes what it can, in turns.
        for round in 0..200 {
            let mine = &mut shares[round % 2];
            mine.pop();
            let name = ["first", "second"][round % 2];
            mine.extend(take_all(&pool, name, Purpose::Other).0);
        }
        assert_eq!(shares.map(|mine| mine.len()), [30, 30]);
    }

    #[test]
    fn publishing_has_a_part_that_nothing_else_can_take() {
        let pool = Pool::with_reserve(100);
        let mut others = Vec::new();
        for name in ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j"] {
            others.extend(take_all(&pool, name, Purpose::Other).0);
        }
        assert_eq!(others.len(), 75);
        let refused = pool.take(organization("new"), Purpose::Other, 1);
        assert_eq!(refused.expect_err("none is left"), Exhausted::All);
        let (publishing, _) = take_all(&pool, "new", Purpose::Publishing);
        assert_eq!(publishing.len(), 13, "half of what is kept");
    }

    #[test]
    fn a_holder_can_have_a_limit_of_its_own() {
        let pool = Pool::for_each(3);
        let (first, exhausted) = take_all(&pool, "first", Purpose::Other);
        assert_eq!((first.len(), exhausted), (3, Exhausted::Own));
        assert_eq!(take_all(&pool, "second", Purpose::Other).0.len(), 3);
    }

    #[test]
    fn a_share_can_become_another_holders() {
        let pool = Pool::new(4);
        let address = organization("an address");
        let share = pool.take(address.clone(), Purpose::Other, 1).expect("there is room");
        let share = share.pass_to(&organization("a"), Purpose::Other).expect("there is room");
        assert_eq!(pool.taken().of(&address), 0);
        assert_eq!(pool.taken().of(share.holder()), 1);
        let _second = pool.take(organization("a"), Purpose::Other, 1).expect("half of it");
        let stranger = pool.take(address, Purpose::Other, 1).expect("there is room");
        let passed = stranger.pass_to(&organization("a"), Purpose::Other);
        assert_eq!(passed.expect_err("it has half"), Exhausted::Own);
        assert_eq!(pool.taken().all, 2, "what could not be passed on is given back");
    }

    #[test]
    fn what_is_given_back_can_be_taken_again_and_nobody_is_remembered_for_ever() {
        let pool = Pool::new(4);
        let mut share = pool.take(organization("a"), Purpose::Other, 1).expect("there is room");
        share.grow(Purpose::Other, 1).expect("there is room");
        assert_eq!(share.grow(Purpose::Other, 1), Err(Exhausted::Own));
        assert_eq!(pool.taken().all, 2, "what was refused is not counted");
        drop(share);
        assert!(pool.taken().by_holder.is_empty());
        assert_eq!(pool.taken().all, 0);
        assert!(pool.take(organization("a"), Purpose::Other, 4).is_ok(), "and all of it at once");
    }

    #[test]
    fn bytes_hold_their_part_of_a_share_until_the_last_of_them_is_dropped() {
        let pool = Pool::new(100);
        let mut share = pool.take(organization("a"), Purpose::Other, 30).expect("there is room");
        let bytes = share.split_off(20).held_by(vec![0; 20]);
        assert_eq!((share.amount(), pool.amount_of(&organization("a"))), (10, 30));
        let slice = bytes.slice(19..);
        drop((share, bytes));
        assert_eq!(pool.amount_of(&organization("a")), 20, "one byte keeps all of them");
        drop(slice);
        assert_eq!(pool.taken().all, 0);
    }

    #[test]
    fn what_is_taken_regardless_is_missing_to_those_who_come_after() {
        let pool = Pool::new(10);
        let mut share = Share::nothing_of(&pool, organization("a"));
        share.grow_regardless(12);
        let refused = pool.take(organization("b"), Purpose::Other, 1);
        assert_eq!(refused.expect_err("there is none"), Exhausted::All);
        drop(share.split_off(50));
        assert_eq!((share.amount(), pool.taken().all), (0, 0));
    }
}
