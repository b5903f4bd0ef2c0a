//! Random numbers that a seed reproduces.
#![allow(clippy::print_stdout, reason = "a test is read by whoever runs it")]

use std::hash::{BuildHasher, Hasher, RandomState};

use keeptrusts_webhooks_domain::trace::{TraceContext, TraceId};

/// SplitMix64 (Steele, Lea, Flood: Fast Splittable Pseudorandom Number Generators, 2014).
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn of_seed(seed: u64) -> Random {
        Random(seed)
    }

    /// With a new seed, which the output of a failing test shows.
    pub(crate) fn new() -> Random {
        let seed = RandomState::new().build_hasher().finish();
        println!("seed: {seed:#x} (repeat with Random::of_seed)");
        Random::of_seed(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number from 0 up to but not including `end`.
    pub(crate) fn below(&mut self, end: usize) -> usize {
        (self.next() % end as u64) as usize
    }

    /// True in `percent` of a hundred cases.
    pub(crate) fn chance(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }

    /// One of these, if there are any.
    pub(crate) fn pick<'a, T>(&mut self, items: &'a [T]) -> Option<&'a T> {
        if items.is_empty() { None } else { items.get(self.below(items.len())) }
    }

    /// A trace context.
    pub(crate) fn trace(&mut self) -> TraceContext {
        let id = (u128::from(self.next()) << 64) | 1;
        let span_id = (self.next() | 1).to_be_bytes();
        let state = self.chance(50).then(|| format!("vendor={}", self.next()));
        TraceContext {
            trace_id: TraceId(id.to_be_bytes()),
            span_id,
            sampled: self.chance(50),
            state: state.map(|text| text.parse().expect("a tracestate")),
        }
    }
}
