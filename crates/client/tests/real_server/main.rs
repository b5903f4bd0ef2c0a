//! The client with real servers: killed, restarted, and with TLS. `cargo build --bins` first.

#![cfg(feature = "client")]

mod platform;
mod restarts;
mod tls;
