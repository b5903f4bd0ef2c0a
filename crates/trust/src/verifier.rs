//! Verifies a server's certificate, and explains a refusal.

use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{WebPkiServerVerifier, verify_server_name};
use rustls::crypto::{
    CryptoProvider, WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature,
};
use rustls::server::ParsedCertificate;
use rustls::{
    CertificateError, DigitallySignedStruct, Error, OtherError, RootCertStore, SignatureScheme,
};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};

use crate::certificate::{Certificate, ValidityStatus};
use crate::problem::CertificateProblem;

/// The most intermediate certificates that are examined to explain a refusal. webpki builds no longer
/// chains, and a server that sends hundreds must not make us verify each against each.
const MAX_INTERMEDIATES_EXPLAINED: usize = 6;

/// Accepts servers that are trusted as such, and those with a certificate of an authority, which
/// webpki verifies.
#[derive(Debug)]
pub(crate) struct Verifier {
    servers: Vec<CertificateDer<'static>>,
    authorities: Arc<RootCertStore>,
    /// `None` without authorities.
    chains: Option<Arc<WebPkiServerVerifier>>,
    algorithms: WebPkiSupportedAlgorithms,
}

impl Verifier {
    pub(crate) fn new(
        authorities: RootCertStore,
        servers: Vec<CertificateDer<'static>>,
        provider: &Arc<CryptoProvider>,
    ) -> Result<Self, Error> {
        let authorities = Arc::new(authorities);
        let chains = match authorities.is_empty() {
            true => None,
            false => {
                let (roots, provider) = (Arc::clone(&authorities), Arc::clone(provider));
                let builder = WebPkiServerVerifier::builder_with_provider(roots, provider);
                Some(builder.build().map_err(|error| Error::General(error.to_string()))?)
            }
        };
        let algorithms = provider.signature_verification_algorithms;
        Ok(Self { servers, authorities, chains, algorithms })
    }

    /// Verifies a server that is trusted as such: the name, the validity and the usage. The handshake
    /// proves that it has the key.
    fn verify_trusted_server(
        &self,
        server: &CertificateDer<'_>,
        name: &ServerName<'_>,
        now: UnixTime,
    ) -> Result<(), Error> {
        // Refuses other versions than 3, and critical extensions that are not known.
        let parsed = ParsedCertificate::try_from(server)?;
        let read = Certificate::read(server).ok_or(CertificateError::BadEncoding)?;
        match read.validity_at(now) {
            ValidityStatus::Valid => {}
            ValidityStatus::NotYetValid => return Err(CertificateError::NotValidYet.into()),
            ValidityStatus::Expired => return Err(CertificateError::Expired.into()),
        }
        if !read.is_for_servers() {
            return Err(CertificateError::InvalidPurpose.into());
        }
        verify_server_name(&parsed, name)
    }

    fn verify_chain(
        &self,
        server: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        match &self.chains {
            Some(chains) => {
                chains.verify_server_cert(server, intermediates, name, ocsp_response, now)
            }
            None => {
                ParsedCertificate::try_from(server)?;
                Err(CertificateError::UnknownIssuer.into())
            }
        }
    }

    /// Why a chain was refused, where webpki's error does not say, or reports something before the real
    /// cause. `None`: webpki's error says it.
    fn problem(
        &self,
        error: &CertificateError,
        server: &Certificate<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Option<CertificateProblem> {
        if server.is_self_issued() && server.has_unusable_rsa_key() {
            return Some(CertificateProblem::UnusableRsaKey);
        }
        // Reported first: nothing else matters until it is trusted.
        if server.is_self_signed(&self.algorithms) {
            return Some(match server.names_servers() {
                true => CertificateProblem::SelfSigned,
                false => CertificateProblem::NoServerNames,
            });
        }
        let intermediates = intermediates.iter().take(MAX_INTERMEDIATES_EXPLAINED);
        let intermediates: Vec<_> = intermediates.filter_map(Certificate::read).collect();
        match error {
            CertificateError::UnknownIssuer => self
                .is_issued_by_named_server(server, &intermediates)
                .then_some(CertificateProblem::IssuerIsServer),
            // ring reports a key that it does not accept as a wrong signature.
            CertificateError::BadSignature
                if intermediates.iter().any(Certificate::has_unusable_rsa_key) =>
            {
                Some(CertificateProblem::UnusableRsaKey)
            }
            CertificateError::BadSignature => Some(self.wrong_issuer(server, &intermediates)),
            // The key's kind is accepted, and the signature is of another kind: it was made with another
            // key.
            CertificateError::UnsupportedSignatureAlgorithmForPublicKeyContext {
                public_key_algorithm_id: key,
                ..
            } if self.algorithms.all.iter().any(|it| it.public_key_alg_id().as_ref() == key) => {
                Some(self.wrong_issuer(server, &intermediates))
            }
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
                (server.validity_at(now) != ValidityStatus::Expired)
                    .then_some(CertificateProblem::IssuerExpired)
            }
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
                (server.validity_at(now) != ValidityStatus::NotYetValid)
                    .then_some(CertificateProblem::IssuerNotValidYet)
            }
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
                (!server.names_servers()).then_some(CertificateProblem::NoServerNames)
            }
            _ => None,
        }
    }

    /// Why a signature in the chain is not by the issuer that the certificate names.
    fn wrong_issuer(
        &self,
        server: &Certificate<'_>,
        intermediates: &[Certificate<'_>],
    ) -> CertificateProblem {
        if self.is_issued_by_named_server(server, intermediates) {
            return CertificateProblem::IssuerIsServer;
        }
        let authorities = self.authorities.subjects();
        let is_broken = |certificate: &Certificate<'_>| {
            let is_named = |it: &&Certificate<'_>| it.subject() == certificate.issuer();
            let mut served = intermediates.iter().filter(is_named).peekable();
            served.peek().is_some()
                && !served.any(|it| certificate.is_issued_by(it, &self.algorithms))
                && !authorities.iter().any(|it| it.as_ref() == certificate.issuer())
        };
        match is_broken(server) || intermediates.iter().any(is_broken) {
            true => CertificateProblem::BrokenChain,
            false => CertificateProblem::NotSignedByIssuer,
        }
    }

    /// Whether a certificate in the chain was issued by one that is trusted as a server only.
    fn is_issued_by_named_server(
        &self,
        server: &Certificate<'_>,
        intermediates: &[Certificate<'_>],
    ) -> bool {
        let named: Vec<_> = self.servers.iter().filter_map(Certificate::read).collect();
        let is_issued = |certificate: &Certificate<'_>| {
            named.iter().any(|it| certificate.is_issued_by(it, &self.algorithms))
        };
        is_issued(server) || intermediates.iter().any(is_issued)
    }

    /// Why the handshake's signature was refused. rustls has the same errors for it as for wrongly
    /// signed certificates. A signature of another kind than the key was made with another key.
    fn handshake_problem(&self, error: Error, server: &CertificateDer<'_>) -> Error {
        let Error::InvalidCertificate(
            CertificateError::BadSignature
            | CertificateError::UnsupportedSignatureAlgorithmForPublicKeyContext { .. },
        ) = error
        else {
            return error;
        };
        let unusable = Certificate::read(server).is_some_and(|read| read.has_unusable_rsa_key());
        refused_for(match unusable {
            true => CertificateProblem::UnusableRsaKey,
            false => CertificateProblem::KeyNotProven,
        })
    }
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        server: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        // Byte for byte: a similar certificate may have another key.
        if self.servers.iter().any(|trusted| trusted == server) {
            return self
                .verify_trusted_server(server, name, now)
                .map(|()| ServerCertVerified::assertion());
        }
        let verified = self.verify_chain(server, intermediates, name, ocsp_response, now);
        verified.map_err(|error| {
            let Error::InvalidCertificate(reported) = &error else { return error };
            let problem = Certificate::read(server)
                .and_then(|read| self.problem(reported, &read, intermediates, now));
            problem.map_or(error, refused_for)
        })
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        server: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, server, signed, &self.algorithms)
            .map_err(|error| self.handshake_problem(error, server))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        server: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, server, signed, &self.algorithms)
            .map_err(|error| self.handshake_problem(error, server))
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

fn refused_for(problem: CertificateProblem) -> Error {
    CertificateError::Other(OtherError(Arc::new(problem))).into()
}
