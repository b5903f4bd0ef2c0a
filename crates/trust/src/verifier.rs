//! Judges the certificate that a server shows.

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

/// How many of a server's further certificates are looked at to say what is wrong. webpki builds no
/// longer chains; a server that sends hundreds must not have us verify them one against the other.
const MAX_INTERMEDIATES_EXPLAINED: usize = 6;

/// Accepts the servers that are trusted for themselves, and whoever has a certificate of an
/// authority: the latter is webpki's to judge.
#[derive(Debug)]
pub(crate) struct Verifier {
    servers: Vec<CertificateDer<'static>>,
    authorities: Arc<RootCertStore>,
    /// None: there are no authorities.
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

    /// Judges a server that is trusted for itself: what is left to see is whether it is asked for
    /// by a name of its own, in its time. That it has the key is shown in the handshake.
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

    /// What is wrong with a refused chain where webpki's error leaves it open, or is about
    /// something that comes before the real trouble. None: webpki has said it.
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
        // Whatever else is wrong with it: as long as it is not named, nothing else matters.
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
            // ring reports a key that it does not take as a signature that is wrong.
            CertificateError::BadSignature
                if intermediates.iter().any(Certificate::has_unusable_rsa_key) =>
            {
                Some(CertificateProblem::UnusableRsaKey)
            }
            CertificateError::BadSignature => Some(self.wrong_issuer(server, &intermediates)),
            // The key is one that is accepted, and the signature of another kind: by another key.
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

    /// What is wrong with a chain in which somebody has not signed what is said to be theirs.
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

    /// Whether a chain comes from a server that is trusted for itself only.
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

    /// What is wrong with a handshake whose signature was refused. rustls has the same errors for
    /// it as for certificates that are badly signed. A signature of another kind than the key is
    /// of another key.
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
        // Byte for byte: a certificate that only looks like it may be about another key.
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
