//! Why requests cannot be made as configured.

use keeptrusts_webhooks_trust::UnusableCertificates;

/// Why a [`Sender`](crate::Sender) could not be set up.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SetupError {
    /// One of `trusted_roots_pem` is unusable.
    #[error("file number {number} of --trust-ca {reason}")]
    TrustedRoot {
        /// Which one, counted from 1.
        number: usize,
        /// What is wrong with it.
        reason: UnusableCertificates,
    },
    /// Neither the system nor the configuration has a root certificate, so that every receiver
    /// would be rejected.
    #[error(
        "no root certificates to verify receivers with: install the system's CA certificates or give --trust-ca"
    )]
    NoRoots,
    /// The TLS library does not support the protocol versions that we require.
    #[error("TLS could not be set up")]
    Tls,
    /// The DNS resolver could not be set up from the system's configuration.
    #[error("the DNS resolver could not be set up")]
    Resolver,
}
