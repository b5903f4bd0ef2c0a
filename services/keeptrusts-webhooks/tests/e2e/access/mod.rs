//! Access, against a server as its users start it: keys, sessions, web tokens, the limits against
//! misuse, and the audit trail.

mod audit;
mod caller;
mod compressed;
mod destinations;
mod issuer;
mod keys;
mod limits;
mod made_keys;
mod matrix;
mod operators;
mod planted;
mod searching;
mod sessions;
mod shares;
mod web_tokens;
