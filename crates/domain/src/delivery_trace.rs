//! The spans of a delivery's attempts, and the calls that requested them.

use sha2::{Digest, Sha256};

use crate::attempt::Trigger;
use crate::delivery::Delivery;
use crate::fact::DeliveryFact;
use crate::trace::TraceContext;

impl Delivery {
    /// The span of the attempt with this number, in the delivery's trace.
    ///
    /// The span's id is computed, not random. So an attempt can link to the one before it, hours
    /// later and in another process, although nothing was stored for that; and a receiver that gets
    /// an attempt twice, because a process died, sees that it is the same one.
    pub fn attempt_trace(&self, number: u32) -> Option<TraceContext> {
        let hash = Sha256::new()
            .chain_update(self.id.ulid().0.to_be_bytes())
            .chain_update(number.to_be_bytes())
            .finalize();
        let mut span_id = [0; 8];
        span_id.copy_from_slice(&hash[..8]);
        // All zeros are invalid (W3C Trace Context, section 3.2.2.4).
        span_id[7] |= u8::from(span_id == [0; 8]);
        self.trace.as_ref().map(|trace| trace.child(span_id))
    }

    /// The call that requested an attempt with this trigger, or the replay that the attempt belongs
    /// to. None: there was no such call, or its trace is not recorded. (The span of a test's attempt
    /// is a child of the call's span and needs no link to it.)
    pub fn request_trace(&self, trigger: Trigger) -> Option<&TraceContext> {
        match trigger {
            Trigger::Manual => self.retry_request_trace.as_deref(),
            Trigger::Automatic => self.replay_request_trace.as_deref(),
            Trigger::Test => None,
        }
    }

    /// Notes the call that caused a fact; `trace` is that of the fact's record. Calls whose trace is
    /// not recorded are not noted, because a link to them would lead nowhere.
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
