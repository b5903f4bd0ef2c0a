//! The real server on a real socket, and the clients that a process has.

mod admission;
mod answers;
mod certificates;
mod compression;
mod connections;
mod fixture;
mod floods;
mod framing;
mod health;
mod in_process;
mod not_grpc;
mod raw;
mod reflection;
mod sharing;
mod shutdown;
mod tls;
mod tls_files;
