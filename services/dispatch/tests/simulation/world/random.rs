//! Reproducible random numbers.

use std::env;

/// The seeds of a test: the usual ones, or as many from `TEST_SEED` on. One that failed once becomes a
/// usual one.
pub(crate) fn seeds(usual: impl IntoIterator<Item = u64>) -> Vec<u64> {
    let usual = usual.into_iter();
    let Ok(first) = env::var("TEST_SEED") else { return usual.collect() };
    let first: u64 = first.parse().expect("TEST_SEED is a number");
    (first..).zip(usual).map(|(seed, _)| seed).collect()
}

/// SplitMix64 (Steele, Lea, Flood: Fast Splittable Pseudorandom Number Generators, 2014).
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn of_seed(seed: u64) -> Random {
        Random(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number from 0 up to but not including `end`.
    pub(crate) fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    /// True in so many percent of cases.
    pub(crate) fn chance(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }

    /// One of these, if there are any.
    pub(crate) fn pick<T: Clone>(&mut self, items: &[T]) -> Option<T> {
        if items.is_empty() {
            return None;
        }
        items.get(self.below(items.len() as u64) as usize).cloned()
    }
}
