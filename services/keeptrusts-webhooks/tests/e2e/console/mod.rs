//! The console, in a browser, against a server as its users start it.
//!
//! [`stage`] is the fixture of all these tests. Elements are found by their role and name, so that
//! what these tests cannot find, a screen reader cannot either.

mod access;
mod accounts;
mod auditing;
mod channels;
mod editing;
mod following;
mod forging;
mod formatting;
mod hostile;
mod large;
mod logs;
mod looking;
mod overnight;
mod proxied;
mod recovering;
mod refusing;
mod replaying;
mod roles;
mod scriptless;
mod signing_in;
mod stage;
mod tutorial;
