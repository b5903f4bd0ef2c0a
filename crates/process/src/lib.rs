//! What every process of ours needs: flags, a way to stop, a gRPC server, TLS, a last word,
//! and an allocator.
//!
//! The `main` of a service gives its gate and its services to a [`service_process`], which starts
//! and ends all of it in order; [`exit`] reads its flags and tells what went wrong.
//!
//! May depend on: the domain, the contracts, the telemetry, the store (only for what its errors
//! mean to a caller), tokio, tonic, rustls, clap and tracing. Never on a service.
#![deny(missing_docs)]

pub mod answer;
mod awaited_body;
pub mod command_line;
pub mod connections;
pub mod database;
pub mod deadline;
pub mod exit;
pub mod flags;
pub mod grpc_server;
pub mod http_server;
pub mod lanes;
pub mod lifecycle;
pub mod log_writer;
pub mod mail_limits;
pub mod master_keys;
pub mod monitoring;
pub mod program;
pub mod readiness;
pub mod refusals;
pub mod reload;
pub mod request_outcome;
pub mod service_process;
pub mod shares;
pub mod shutdown;
pub mod tls;

/// A delivery is thousands of small allocations on many threads, and their memory must go back
/// when the load ends: with the C library's allocator they are a quarter of the CPU time.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;
