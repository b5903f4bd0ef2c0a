//! Maps errors of rustls and alerts of the receiver to failures.

use keeptrusts_webhooks_trust::CertificateProblem;
use rustls::{AlertDescription, Error as TlsError, InvalidMessage, PeerIncompatible};

use crate::failure::SendFailure;
use crate::tls_problem::TlsProblem;

impl SendFailure {
    /// The failure given that the receiver requested a client certificate: it ended the connection
    /// because we have none, unless the failure says otherwise.
    pub(crate) fn after_certificate_request(self) -> Self {
        match self {
            Self::TlsFailed(
                TlsProblem::HandshakeFailure | TlsProblem::Closed | TlsProblem::Broken,
            )
            | Self::Http2NotBegun
            | Self::ConnectionClosed
            | Self::ClosedWhileSending => Self::TlsFailed(TlsProblem::ClientCertificateRequired),
            Self::TlsFailed(TlsProblem::Alert(alert)) if ABOUT_CERTIFICATES.contains(&alert) => {
                Self::TlsFailed(TlsProblem::ClientCertificateRequired)
            }
            other => other,
        }
    }
}

/// Alerts about our certificate, if the receiver sends them (RFC 8446 section 6.2). Servers send
/// different ones when it is missing.
const ABOUT_CERTIFICATES: [&str; 6] = [
    "access_denied",
    "bad_certificate",
    "certificate_unknown",
    "no_certificate",
    "unknown_ca",
    "unsupported_certificate",
];

pub(crate) fn tls_failure(error: &TlsError) -> SendFailure {
    if let Some(problem) = CertificateProblem::from_rustls(error) {
        return SendFailure::CertificateRejected(problem);
    }
    SendFailure::TlsFailed(match error {
        TlsError::InvalidMessage(InvalidMessage::InvalidContentType) => TlsProblem::NotTls,
        TlsError::PeerIncompatible(reason) => incompatibility(reason),
        TlsError::NoApplicationProtocol => TlsProblem::NoHttp,
        TlsError::AlertReceived(alert) => alert_problem(*alert),
        TlsError::InappropriateMessage { .. }
        | TlsError::InappropriateHandshakeMessage { .. }
        | TlsError::InvalidMessage(_)
        | TlsError::PeerMisbehaved(_)
        | TlsError::PeerSentOversizedRecord
        | TlsError::DecryptError => TlsProblem::Violated,
        _ => TlsProblem::Internal,
    })
}

fn incompatibility(reason: &PeerIncompatible) -> TlsProblem {
    match reason {
        PeerIncompatible::ServerDoesNotSupportTls12Or13
        | PeerIncompatible::ServerTlsVersionIsDisabledByOurConfig => TlsProblem::VersionTooOld,
        PeerIncompatible::NoCipherSuitesInCommon
        | PeerIncompatible::NoEcPointFormatsInCommon
        | PeerIncompatible::NoKxGroupsInCommon
        | PeerIncompatible::NoSignatureSchemesInCommon => TlsProblem::NothingInCommon,
        _ => TlsProblem::Incompatible,
    }
}

fn alert_problem(alert: AlertDescription) -> TlsProblem {
    match alert {
        AlertDescription::HandshakeFailure => TlsProblem::HandshakeFailure,
        AlertDescription::ProtocolVersion => TlsProblem::VersionTooOld,
        AlertDescription::InsufficientSecurity => TlsProblem::InsufficientSecurity,
        AlertDescription::NoApplicationProtocol => TlsProblem::NoHttp,
        AlertDescription::CertificateRequired => TlsProblem::ClientCertificateRequired,
        AlertDescription::UnrecognisedName => TlsProblem::UnrecognisedName,
        other => TlsProblem::Alert(alert_name(other)),
    }
}

/// The alert's name in IANA's registry, which people search for.
fn alert_name(alert: AlertDescription) -> &'static str {
    match alert {
        AlertDescription::CloseNotify => "close_notify",
        AlertDescription::UnexpectedMessage => "unexpected_message",
        AlertDescription::BadRecordMac => "bad_record_mac",
        AlertDescription::DecryptionFailed => "decryption_failed",
        AlertDescription::RecordOverflow => "record_overflow",
        AlertDescription::DecompressionFailure => "decompression_failure",
        AlertDescription::HandshakeFailure => "handshake_failure",
        AlertDescription::NoCertificate => "no_certificate",
        AlertDescription::BadCertificate => "bad_certificate",
        AlertDescription::UnsupportedCertificate => "unsupported_certificate",
        AlertDescription::CertificateRevoked => "certificate_revoked",
        AlertDescription::CertificateExpired => "certificate_expired",
        AlertDescription::CertificateUnknown => "certificate_unknown",
        AlertDescription::IllegalParameter => "illegal_parameter",
        AlertDescription::UnknownCA => "unknown_ca",
        AlertDescription::AccessDenied => "access_denied",
        AlertDescription::DecodeError => "decode_error",
        AlertDescription::DecryptError => "decrypt_error",
        AlertDescription::ExportRestriction => "export_restriction",
        AlertDescription::ProtocolVersion => "protocol_version",
        AlertDescription::InsufficientSecurity => "insufficient_security",
        AlertDescription::InternalError => "internal_error",
        AlertDescription::InappropriateFallback => "inappropriate_fallback",
        AlertDescription::UserCanceled => "user_canceled",
        AlertDescription::NoRenegotiation => "no_renegotiation",
        AlertDescription::MissingExtension => "missing_extension",
        AlertDescription::UnsupportedExtension => "unsupported_extension",
        AlertDescription::CertificateUnobtainable => "certificate_unobtainable",
        AlertDescription::UnrecognisedName => "unrecognized_name",
        AlertDescription::BadCertificateStatusResponse => "bad_certificate_status_response",
        AlertDescription::BadCertificateHashValue => "bad_certificate_hash_value",
        AlertDescription::UnknownPSKIdentity => "unknown_psk_identity",
        AlertDescription::CertificateRequired => "certificate_required",
        AlertDescription::NoApplicationProtocol => "no_application_protocol",
        AlertDescription::EncryptedClientHelloRequired => "ech_required",
        _ => "of a number that is not known here",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(alert: AlertDescription) -> SendFailure {
        tls_failure(&TlsError::AlertReceived(alert))
    }

    #[test]
    fn alerts_that_give_a_reason_are_distinguished() {
        for (alert, problem) in [
            (AlertDescription::ProtocolVersion, TlsProblem::VersionTooOld),
            (AlertDescription::HandshakeFailure, TlsProblem::HandshakeFailure),
            (AlertDescription::InsufficientSecurity, TlsProblem::InsufficientSecurity),
            (AlertDescription::NoApplicationProtocol, TlsProblem::NoHttp),
            (AlertDescription::CertificateRequired, TlsProblem::ClientCertificateRequired),
            (AlertDescription::UnrecognisedName, TlsProblem::UnrecognisedName),
            (AlertDescription::InternalError, TlsProblem::Alert("internal_error")),
        ] {
            assert_eq!(after(alert), SendFailure::TlsFailed(problem));
        }
    }

    #[test]
    fn every_alert_has_its_name() {
        let unknown = alert_name(AlertDescription::Unknown(200));
        let named =
            (0..=u8::MAX).map(AlertDescription::from).filter(|alert| alert.as_str().is_some());
        let mut names: Vec<_> = named.map(alert_name).collect();
        assert!(!names.contains(&unknown), "{names:?}");
        let count = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), count);
        assert!(ABOUT_CERTIFICATES.iter().all(|name| names.contains(name)));
    }

    #[test]
    fn a_connection_that_ends_after_a_certificate_request_ended_for_lack_of_a_certificate() {
        let required = SendFailure::TlsFailed(TlsProblem::ClientCertificateRequired);
        for alert in [
            // OpenSSL, Go and Java, in this order, where a certificate is missing.
            AlertDescription::HandshakeFailure,
            AlertDescription::BadCertificate,
            AlertDescription::CertificateUnknown,
            AlertDescription::CertificateRequired,
        ] {
            assert_eq!(after(alert).after_certificate_request(), required);
        }
        let closed = SendFailure::TlsFailed(TlsProblem::Closed);
        assert_eq!(closed.after_certificate_request(), required);
        assert_eq!(SendFailure::ConnectionClosed.after_certificate_request(), required);
        // Other failures stay.
        let internal = after(AlertDescription::InternalError);
        assert_eq!(internal.clone().after_certificate_request(), internal);
        assert_eq!(SendFailure::TlsTimedOut.after_certificate_request(), SendFailure::TlsTimedOut);
    }

    #[test]
    fn our_own_errors_are_not_blamed_on_the_receiver() {
        let failure = tls_failure(&TlsError::FailedToGetRandomBytes);
        assert_eq!(failure, SendFailure::TlsFailed(TlsProblem::Internal));
        let failure = tls_failure(&TlsError::DecryptError);
        assert_eq!(failure, SendFailure::TlsFailed(TlsProblem::Violated));
    }
}
