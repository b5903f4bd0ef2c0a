//! The contracts: what goes over gRPC and what stands in the log, as Rust types, and the one
//! place where they are converted from and to the domain's.
//!
//! May depend on: the domain, prost and tonic. Never on the store or a service.
#![deny(missing_docs)]

pub mod api;
pub mod client;
pub mod log_codec;
mod redacted;
pub mod status;
pub mod time;
pub mod wire;

/// The services and resources: `proto/keeptrusts/webhooks/v1`.
pub mod v1 {
    #![allow(missing_docs, unreachable_pub, clippy::all)]
    tonic::include_proto!("keeptrusts.webhooks.v1");
}

/// The log's records: `proto/keeptrusts/webhooks/log/v1`.
pub mod log {
    /// Version 1.
    pub mod v1 {
        #![allow(missing_docs, unreachable_pub, clippy::all)]
        tonic::include_proto!("keeptrusts.webhooks.log.v1");
    }
}

/// The descriptors of all of them, for reflection.
pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));
