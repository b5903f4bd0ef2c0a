//! The console, in a browser, against a server as its users start it.
//!
//! [`fixture`] starts what all these tests need. Elements are found by their role and name, so that
//! what these tests cannot find, a screen reader cannot either.

mod access;
mod accessibility;
mod accounts;
mod audit_trail;
mod behind_proxy;
mod channels;
mod delivery_log;
mod editing;
mod fixture;
mod forged_requests;
mod hostile_content;
mod input_errors;
mod large_deliveries;
mod live_updates;
mod night_outage;
mod payload_formats;
mod replays;
mod roles;
mod scriptless;
mod service_outage;
mod signing_in;
mod states;
mod tutorial;
