//! Reproducible random numbers.

use std::env;
use std::time::{Duration, SystemTime};

/// Set it to the number that a failed test has printed, to repeat its kills.
const SEED_VARIABLE: &str = "TEST_SEED";

/// SplitMix64 (Steele, Lea, Flood: Fast Splittable Pseudorandom Number Generators, 2014).
#[derive(Debug)]
pub(crate) struct Random(u64);

impl Random {
    /// The seed is `TEST_SEED`, or the clock; it is printed.
    pub(crate) fn new() -> Self {
        let seed = match env::var(SEED_VARIABLE) {
            Ok(text) => text.parse().expect("TEST_SEED is a number"),
            Err(_) => {
                let now = SystemTime::UNIX_EPOCH.elapsed().expect("it is after 1970");
                u64::try_from(now.as_micros()).expect("not yet the year 500,000")
            }
        };
        println!("{SEED_VARIABLE}={seed}");
        Self(seed)
    }

    /// A duration of less than `end`.
    pub(crate) fn below(&mut self, end: Duration) -> Duration {
        let end = u64::try_from(end.as_micros()).expect("tests are shorter");
        Duration::from_micros(self.next() % end)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}
