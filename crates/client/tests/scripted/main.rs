//! The client against a server that fails as a script says.

#![cfg(feature = "client")]

mod calls;
mod keys;
mod lists;
mod publishing;
mod server;
mod watches;
