//! What every process needs: flags, servers for gRPC and HTTP, TLS, the database, readiness,
//! graceful shutdown, exit statuses, and the allocator.
//!
//! The `main` of a service passes its gate and its services to a [`service_process`], which starts
//! and stops everything in order. [`exit`] reads the flags and prints errors.
//!
//! May depend on: the domain, the contracts, the telemetry, the store, tokio, tonic, rustls, clap
//! and tracing. Never on a service.

pub mod command_line;
pub mod connections;
pub mod database;
pub mod database_errors;
pub mod deadline;
pub mod declarative_resource;
pub mod exit;
pub mod flags;
pub mod grpc_server;
pub mod hangup;
pub mod http_server;
pub mod keyed_semaphore;
pub mod lifecycle;
pub mod log_writer;
pub mod long_reads;

pub mod mail_limit_flags;
pub mod master_keys;
pub mod monitoring;
pub mod program;
pub mod readiness;
pub mod refused_requests;
pub mod request_outcome;
pub mod sealing;
pub mod service_process;
pub mod shares;
pub mod shutdown;
mod timeout_body;
pub mod tls;

/// A delivery makes thousands of small allocations on many threads, and memory must be returned when
/// the load ends. With the C library's allocator this takes a quarter of the CPU time.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;
