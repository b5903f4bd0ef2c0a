//! How a delivery and its attempts hang together with the traces of the calls that caused them.

use sha2::{Digest, Sha256};

use crate::attempt::Trigger;
use crate::delivery::Delivery;
use crate::fact::DeliveryFact;
use crate::trace::TraceContext;

impl Delivery {
    /// Where the attempt of this number hangs in the delivery's trace.
    ///
    /// The span's id is computed, not drawn: so an attempt links to the one before it, hours
    /// later and in another process, without anything having been kept for that; and a receiver
    /// that gets an attempt twice, because a process died, sees that it is the same.
    pub fn attempt_trace(&self, number: u32) -> Option<TraceContext> {
        let hash = Sha256::new()
            .chain_update(self.id.ulid().0.to_be_bytes())
            .chain_update(number.to_be_bytes())
            .finalize();
        let mut span_id = [0; 8];
        span_id.copy_from_slice(&hash[..8]);
        // All zeros would be no span (W3C Trace Context, section 3.2.2.4).
        span_id[7] |= u8::from(span_id == [0; 8]);
        self.trace.as_ref().map(|trace| trace.child(span_id))
    }

    /// The call that asked for an attempt: for this one, or for the replay that it belongs to.
    /// None: nobody did, or the call's trace is not recorded. (A test's attempt hangs below its
    /// call, and needs no link to it.)
    pub fn request_trace(&self, trigger: Trigger) -> Option<&TraceContext> {
        match trigger {
            Trigger::Manual => self.retry_request_trace.as_deref(),
            Trigger::Automatic => self.replay_request_trace.as_deref(),
            Trigger::Test => None,
        }
    }

    /// Notes which call asked for what a fact begins; `trace` is its record's. Only of calls that
    /// are recorded: nobody would find another.
    pub fn note_request(&mut self, fact: &DeliveryFact, trace: Option<&TraceContext>) {
        let recorded = || trace.filter(|trace| trace.sampled);
        let call = || recorded().map(|trace| Box::new(trace.without_state()));
        match fact {
            DeliveryFact::RetryRequested => self.retry_request_trace = call(),
            DeliveryFact::Replayed { .. } | DeliveryFact::Resumed { .. } => {
                self.replay_request_trace = call();
            }
            _ => {}
        }
    }
}
