//! The programs that serve gRPC: how they are called, and where they listen unless they are told
//! otherwise.

use std::net::{Ipv4Addr, SocketAddr};

use clap::Args;

use crate::flags::listen_address;

/// A program that serves gRPC.
#[derive(Debug, Clone, Copy)]
pub struct Program {
    /// What it is called: on the command line, in traces and metrics.
    pub name: &'static str,
    /// The port that it listens on unless it is told otherwise.
    pub port: u16,
}

/// All services in one process.
pub const PLATFORM: Program = Program { name: "keeptrusts-webhooks", port: 50051 };
/// The endpoint service.
pub const ENDPOINT: Program = Program { name: "endpoint-service", port: 50052 };
/// The ingest service.
pub const INGEST: Program = Program { name: "ingest-service", port: 50053 };
/// The dispatch service.
pub const DISPATCH: Program = Program { name: "dispatch-service", port: 50054 };
/// The access service.
pub const ACCESS: Program = Program { name: "access-service", port: 50055 };
/// The notification service.
pub const NOTIFICATION: Program = Program { name: "notification-service", port: 50056 };

impl Program {
    /// Where others on the same machine reach it, unless it is told to listen somewhere else.
    pub fn default_url(&self) -> String {
        format!("http://{}", default_address(self.port))
    }
}

/// Where a program serves gRPC: on `PORT` of this machine alone, unless it is told otherwise.
#[derive(Debug, Clone, Args)]
pub struct ListenFlag<const PORT: u16> {
    /// Where to listen for gRPC.
    #[arg(
        long,
        value_name = "ADDRESS",
        default_value = default_address(PORT).to_string(),
        value_parser = listen_address
    )]
    pub listen: SocketAddr,
}

fn default_address(port: u16) -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, port))
}
