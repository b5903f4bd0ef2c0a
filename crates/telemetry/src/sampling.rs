//! Decides which traces are recorded. Parent based: callers decide for their traces, and a ratio
//! decides for the traces that begin here.

use std::fmt;
use std::str::FromStr;

use keeptrusts_webhooks_domain::trace::{TraceContext, TraceId};

/// The share of the traces that begin here that are recorded, from 0 to 1.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SamplingRatio(f64);

impl SamplingRatio {
    pub(crate) const ALL: SamplingRatio = SamplingRatio(1.0);
    pub(crate) const NONE: SamplingRatio = SamplingRatio(0.0);

    /// Whether a new trace is recorded, by the random bits of its id.
    fn takes(self, id: TraceId) -> bool {
        // The lower 56 bits are random (W3C Trace Context level 2, section 3.2.2.3).
        let random = u128::from_be_bytes(id.0) & ((1 << 56) - 1);
        self == SamplingRatio::ALL || (random as f64) < self.0 * (1_u64 << 56) as f64
    }

    /// Whether the trace of a call is recorded: the caller's (`parent`), or a new one.
    pub(crate) fn records(self, parent: Option<&TraceContext>, new: &TraceContext) -> bool {
        match parent {
            Some(parent) => parent.sampled,
            None => self.takes(new.trace_id),
        }
    }
}

impl fmt::Display for SamplingRatio {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for SamplingRatio {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, &'static str> {
        let ratio: Option<f64> = text.trim().parse().ok();
        let ratio = ratio.filter(|ratio| (0.0..=1.0).contains(ratio));
        ratio.map(SamplingRatio).ok_or("write a number from 0 (none) to 1 (all), such as 0.01")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trace(id: u128, sampled: bool) -> TraceContext {
        TraceContext { trace_id: TraceId(id.to_be_bytes()), span_id: [1; 8], sampled, state: None }
    }

    #[test]
    fn the_caller_decides_about_its_trace() {
        for ratio in [SamplingRatio::NONE, SamplingRatio::ALL] {
            assert!(ratio.records(Some(&trace(1, true)), &trace(2, false)));
            assert!(!ratio.records(Some(&trace(1, false)), &trace(2, false)));
        }
    }

    #[test]
    fn new_traces_are_sampled_by_the_ratio() {
        let taken = |ratio: SamplingRatio| {
            // Multiples of an odd number take all remainders, which is random enough here.
            let ids = (1..=10_000_u128).map(|number| number * 0x9e37_79b9_7f4a_7c15_f39c_c060_5ced);
            ids.filter(|id| ratio.records(None, &trace(*id, false))).count()
        };
        assert_eq!(taken(SamplingRatio::NONE), 0);
        assert_eq!(taken(SamplingRatio::ALL), 10_000);
        let tenth = taken(SamplingRatio(0.1));
        assert!((900..=1_100).contains(&tenth), "{tenth}");
    }

    #[test]
    fn a_ratio_is_a_number_from_0_to_1() {
        assert_eq!("0.01".parse(), Ok(SamplingRatio(0.01)));
        assert_eq!("1".parse(), Ok(SamplingRatio::ALL));
        for wrong in ["", "-0.1", "1.1", "NaN", "1%", "all"] {
            assert!(wrong.parse::<SamplingRatio>().is_err(), "{wrong:?}");
        }
    }
}
