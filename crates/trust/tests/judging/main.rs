//! Which servers are accepted with which file of certificates, and why others are refused.

mod authorities;
mod files;
mod handshake;
mod identity;
mod servers;
