//! The real dispatch code in a simulated world: what it must hold to (the invariants of
//! ARCHITECTURE.md), told as stories over hours of virtual time.
//!
//! [`world`] is the installation that the stories happen in; [`chaos`] makes up stories of its own.

mod cancelling;
mod chaos;
mod clock_steps;
mod crashing;
mod deleting;
mod delivering;
mod disabling;
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
mod replaying;
mod retrying;
mod routing;
mod sealing;
mod sharing;
mod testing;
mod unreadable;
mod watching;
mod world;
