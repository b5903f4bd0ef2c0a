//! The real server on a real socket, and the clients that a process has.

mod admission;
mod fixture;
mod health;
mod reflection;
mod shutdown;
