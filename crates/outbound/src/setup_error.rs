//! Why a sender cannot be set up.

use keeptrusts_webhooks_trust::UnusableCertificates;

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SetupError {
    #[error("file number {number} of --trust-ca {reason}")]
    TrustedRoot {
        /// Counted from 1.
        number: usize,
        reason: UnusableCertificates,
    },
    /// Neither the system nor the configuration has a root certificate: every receiver would be
    /// rejected.
    #[error(
        "no root certificates to verify receivers with: install the system's CA certificates or give --trust-ca"
    )]
    NoRoots,
    #[error("TLS could not be set up")]
    Tls,
    #[error("the DNS resolver could not be set up")]
    Resolver,
}
