//! Which TLS servers we trust as a client, and why a server is refused.
//!
//! All our TLS clients use [`TrustStore`]: deliveries to receivers, requests to the OpenID Connect
//! issuer, mail, and the console's calls of the services. So a file of certificates means the same in
//! each of their flags:
//!
//! * A certificate that names servers (`dNSName` or `iPAddress` in its subjectAltName) is trusted
//!   **as a server**: a server that presents this very certificate and has its key is accepted, for
//!   its names and within its validity. It is never accepted as an issuer: the key of one server must
//!   not suffice to impersonate another, and `openssl req -x509` marks its certificates as
//!   authorities (`CA:TRUE`) by default.
//! * A certificate that names no server is an **authority**, if it is self-issued or marked as one:
//!   the certificates that it issued are accepted. Its own validity is ignored (RFC 5280 section
//!   6.1.1, input d: a trust anchor is a name and a key); the log says when it has ended.
//!
//! The system's certificates are treated as OpenSSL treats them: those that name servers are trusted
//! as servers, and as authorities only if they are marked as such.
//!
//! Servers that ask their clients for a certificate take [`authorities_from_pem`] from a file, by the
//! same rule, and nobody for itself.
//!
//! [`CertificateProblem`] says why a certificate was refused.
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
