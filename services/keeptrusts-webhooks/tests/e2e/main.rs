//! End-to-end tests: processes as users start them, on real databases, with receivers, collectors
//! and browsers around them. There is a module for each subject.
//!
//! All of them are in one test binary. A binary for each subject would link the clients again and
//! start another Postgres cluster, which costs more than most of the tests.

#![allow(clippy::print_stdout, reason = "a test is read by whoever runs it")]

mod access;
mod answer_sizes;
mod chaos;
mod commands;
mod console;
mod crashes;
mod credentials;
mod damaged_log;
mod database_outage;
mod declarative;
mod delivery;
mod demo;
mod errors;
mod event_streams;
mod event_watches;
mod formats;
mod grpcurl;
mod health;
mod help;
mod interrupted;
mod isolation;
mod ktw;
mod lists;
mod long_reads;
mod made_up_tokens;
mod master_keys;
mod monitoring;
mod notifications;
mod outbound_guard;
mod ownership;
mod platform;
mod process_faults;
mod python_receiver;
mod reads;
mod refusals;
mod replay;
mod requests;
mod retries;
mod scraped_metrics;
mod secrets;
mod send_test;
mod shutdown;
mod sqlite_lock;
mod tls;
mod traces;
