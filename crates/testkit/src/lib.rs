//! The environment of end-to-end and conformance tests: private Postgres clusters with a pooler and
//! a relay in front of them, scripted servers (HTTPS receiver, SMTP, OpenID Connect, DNS), checks of
//! vendors' message formats, our own binaries as child processes, signature verification by third
//! parties' code, a collector of traces, a browser, and reproducible random numbers.
//!
//! For tests only. It depends on none of our crates, so that it sees the platform from outside, as a
//! customer does. Functions panic with a message instead of returning an error. Whatever is started
//! ends with the test process, even if that is killed (see `watchdog`).
//!
//! Waits have a time limit and are woken by what they wait for. They use tokio's clock, which must not
//! be paused in tests that talk to real processes.
#![allow(clippy::print_stderr, clippy::print_stdout, reason = "a test is read by whoever runs it")]

pub mod browser;
pub mod collector;
pub mod dns;
pub mod first_key;
pub mod http;
pub mod http2;
pub mod issuer;
pub mod mail;
pub mod pooler;
pub mod ports;
pub mod postgres;
pub mod process;
pub mod random;
pub mod receiver;
pub mod relay;
pub mod tools;
pub mod vendors;
pub mod verify;
mod watchdog;
