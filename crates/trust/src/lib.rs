//! Whom we trust when we speak TLS as a client, and why a server is refused.
//!
//! Everything of ours that connects by TLS decides by [`TrustStore`]: deliveries to receivers, requests
//! to the OpenID Connect issuer, mail, and the console's calls of the services. So a file of
//! certificates means the same in each of their flags:
//!
//! * A certificate that names servers (`dNSName` or `iPAddress` in its subjectAltName) is trusted
//!   **for itself**: the server that shows this very certificate is believed, for the names and in
//!   the time that are in it, if it has its key. It is never an issuer. Whoever has the key of
//!   such a server must not be able to speak for another one, and what `openssl req -x509` makes is
//!   by default marked as an authority (`CA:TRUE`).
//! * A certificate that names none is an **authority**, if it is self-issued or marked as one:
//!   what it has issued is believed. Its own dates are not looked at (RFC 5280 section 6.1.1, input
//!   d: a trust anchor is a name and a key); the log says when they are over.
//!
//! The system's certificates are what OpenSSL takes them for: those that name servers are believed
//! for themselves, and are authorities only if they are marked as such.
//!
//! Servers that ask their clients for a certificate take [`authorities_from_pem`] from a file, by the
//! same rule, and nobody for itself.
//!
//! [`CertificateProblem`] says what is wrong with a certificate that was refused.
//!
//! Decision: docs/decisions/a-named-certificate-is-no-authority.md

mod certificate;
mod error_source;
mod problem;
mod trust_store;
mod verifier;

pub use error_source::find_source;
pub use problem::CertificateProblem;
pub use trust_store::{TrustStore, UnusableCertificates, authorities_from_pem};
