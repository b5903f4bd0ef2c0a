//! Which servers are believed, for which file of certificates, and why others are not.

mod authorities;
mod files;
mod handshake;
mod identity;
mod servers;
