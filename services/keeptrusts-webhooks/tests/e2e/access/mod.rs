//! Access, against a server as its users start it: keys, sessions, web tokens, the limits against
//! misuse, and the audit trail.

mod audit;
pub(crate) mod caller;
mod compression;
mod credential_leaks;
mod credential_search;
mod derived_keys;
mod destinations;
mod issuer;
mod keys;
mod limits;
mod matrix;
mod operators;
mod sessions;
mod shares;
mod web_tokens;
