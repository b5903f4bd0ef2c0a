//! What end-to-end and conformance tests stand on: throw-away Postgres clusters, a pooler and a
//! relay that falls silent before them, an HTTPS receiver, an SMTP server, an OpenID Connect issuer and a DNS server that behave as scripted,
//! what other vendors demand of messages, our own binaries
//! as child processes, signature verification by code that is not ours, a collector of traces,
//! and a browser.
//!
//! For tests only. It depends on none of our crates, so that it sees the platform as a
//! customer does, from outside. Everything here panics with a message instead of returning
//! an error: a test has nothing better to do with one. Whatever is started ends with the
//! test process, even if that is killed (see `watchdog`).
//!
//! Waits take a limit and are woken by what they wait for; they use tokio's clock, which
//! must not be paused in tests that talk to real processes.
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
pub mod receiver;
pub mod relay;
pub mod tools;
pub mod vendors;
pub mod verify;
mod watchdog;
