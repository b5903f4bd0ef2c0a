//! The contracts: the messages of the gRPC API and of the log as Rust types, and the only place where
//! they are converted to and from the domain's types.
//!
//! May depend on: the domain, prost with prost-reflect, and tonic. Never on the store or a service.
#![deny(missing_docs)]

pub mod api;
pub mod client;
pub mod enum_names;
pub mod log_codec;
mod secret_fields;
pub mod status;
pub mod time;
pub mod wire;

pub use secret_fields::{SECRET_FIELDS, SHOWN_SECRET_FIELDS};

/// The gRPC services and their messages: `proto/keeptrusts/webhooks/v1`.
pub mod v1 {
    #![allow(missing_docs, unreachable_pub, clippy::all)]
    tonic::include_proto!("keeptrusts.webhooks.v1");
    // Debug of the messages that carry a credential, without it (invariant 10).
    include!(concat!(env!("OUT_DIR"), "/redacted_debug.rs"));
    include!(concat!(env!("OUT_DIR"), "/enum_names.rs"));
}

/// The records of the log: `proto/keeptrusts/webhooks/log/v1`.
pub mod log {
    /// Version 1.
    pub mod v1 {
        #![allow(missing_docs, unreachable_pub, clippy::all)]
        tonic::include_proto!("keeptrusts.webhooks.log.v1");
    }
}

/// The encoded FileDescriptorSet of all protos.
pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));

/// The encoded FileDescriptorSet of the API and of what it imports, with comments and options, for gRPC
/// reflection. The records of the log are nobody's contract but ours.
pub const API_DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/api_descriptors.bin"));
