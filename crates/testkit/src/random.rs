//! Random numbers that a seed reproduces.

use std::env;
use std::time::{Duration, SystemTime};

/// Set it to a number to run tests with other seeds, or with the one that a failed test has printed.
const SEED_VARIABLE: &str = "TEST_SEED";

/// The seed of a test: `TEST_SEED` if it is set, otherwise the usual one.
pub fn seed(usual: u64) -> u64 {
    let given = env::var(SEED_VARIABLE).ok();
    given.map_or(usual, |text| text.parse().expect("TEST_SEED is a number"))
}

/// The seeds of a test: as many from `TEST_SEED` on if it is set, otherwise the usual ones. A seed
/// that has failed once becomes a usual one.
pub fn seeds(usual: impl IntoIterator<Item = u64>) -> Vec<u64> {
    let mut seeds: Vec<_> = usual.into_iter().collect();
    if env::var_os(SEED_VARIABLE).is_some() {
        let first = seed(0);
        seeds = (first..).take(seeds.len()).collect();
    }
    seeds
}

/// SplitMix64 (Steele, Lea, Flood: Fast Splittable Pseudorandom Number Generators, 2014).
#[derive(Debug)]
pub struct Random(u64);

impl Random {
    pub fn of_seed(seed: u64) -> Self {
        Self(seed)
    }

    /// With another seed in each run, which it prints, or with `TEST_SEED`.
    pub fn of_new_seed() -> Self {
        let now = SystemTime::UNIX_EPOCH.elapsed().expect("it is after 1970");
        let seed = seed(u64::try_from(now.as_micros()).expect("not yet the year 500,000"));
        println!("{SEED_VARIABLE}={seed}");
        Self(seed)
    }

    /// Any number.
    pub fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number from 0 up to but not including `end`.
    pub fn below(&mut self, end: u64) -> u64 {
        self.number() % end
    }

    /// An index into something of this length.
    pub fn index(&mut self, length: usize) -> usize {
        self.below(length as u64) as usize
    }

    /// A duration of whole microseconds, less than `end`.
    pub fn duration(&mut self, end: Duration) -> Duration {
        let end = u64::try_from(end.as_micros()).expect("tests are shorter");
        Duration::from_micros(self.below(end))
    }

    /// True in so many percent of cases.
    pub fn chance(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }

    /// One of these, if there are any.
    pub fn pick<'a, T>(&mut self, items: &'a [T]) -> Option<&'a T> {
        if items.is_empty() { None } else { items.get(self.index(items.len())) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_numbers_of_a_seed_are_those_that_other_implementations_compute() {
        // The example of https://rosettacode.org/wiki/Pseudo-random_numbers/Splitmix64.
        let mut random = Random::of_seed(1_234_567);
        let numbers = [random.number(), random.number(), random.number()];
        let expected =
            [6_457_827_717_110_365_317, 3_203_168_211_198_807_973, 9_817_491_932_198_370_423];
        assert_eq!(numbers, expected);
    }
}
