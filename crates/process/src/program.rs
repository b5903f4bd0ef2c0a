//! The programs that serve gRPC, with their names and default ports.

use std::net::{Ipv4Addr, SocketAddr};

use clap::Args;

use crate::flags::listen_address;

#[derive(Debug, Clone, Copy)]
pub struct Program {
    /// On the command line, in traces and in metrics.
    pub name: &'static str,
    /// The default port.
    pub port: u16,
}

/// All services in one process.
pub const PLATFORM: Program = Program { name: "keeptrusts-webhooks", port: 50051 };
pub const ENDPOINT: Program = Program { name: "endpoint-service", port: 50052 };
pub const INGEST: Program = Program { name: "ingest-service", port: 50053 };
pub const DISPATCH: Program = Program { name: "dispatch-service", port: 50054 };
pub const ACCESS: Program = Program { name: "access-service", port: 50055 };
pub const NOTIFICATION: Program = Program { name: "notification-service", port: 50056 };

impl Program {
    /// The default URL, for clients on the same machine.
    pub fn default_url(&self) -> String {
        format!("http://{}", default_address(self.port))
    }
}

/// The address of a gRPC server. The default is `PORT` on the loopback address.
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
