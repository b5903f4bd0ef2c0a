//! The gRPC server on a real socket, with the clients that our processes use.

mod admission;
mod answers;
mod certificates;
mod compression;
mod connections;
mod deadlines;
mod fixture;
mod floods;
mod framing;
mod health;
mod in_process;
mod not_grpc;
mod raw;
mod reflection;
mod request_ids;
mod request_pools;
mod request_streams;
mod shutdown;
mod tls;
mod tls_files;
