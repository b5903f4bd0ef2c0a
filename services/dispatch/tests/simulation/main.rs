//! Runs the real dispatch code in a simulated world, over hours of virtual time, and checks the
//! invariants of ARCHITECTURE.md.
//!
//! [`world`] is the simulated installation; [`chaos`] makes up random scenarios.

mod cancelling;
mod chaos;
mod clock_steps;
mod crashing;
mod creating_replays;
mod deleting;
mod delivering;
mod disabling;
mod effective_states;
mod failing;
mod headers;
mod idling;
mod incidents;
mod isolating;
mod keeping;
mod mailing;
mod manual_retries;
mod notifying;
mod pausing;
mod repeating;
mod replaying;
mod resuming;
mod retrying;
mod routing;
mod sealing;
mod sharing;
mod testing;
mod unreadable;
mod watching;
mod world;
