//! What goes wrong in a call.

use std::error::Error as StdError;
use std::fmt;
use std::time::Duration;

use rustls::AlertDescription;
use tonic::{Code, ConnectError, Status, TimeoutExpired};
use tonic_types::StatusExt;

/// Why a call failed.
///
/// Programs decide by [`code`](Self::code) and [`reason`](Self::reason); people read the Display, which
/// has the fields at fault. It has nothing of the request's secrets.
#[derive(Clone)]
pub struct Error(Box<Details>);

#[derive(Clone)]
struct Details {
    code: Code,
    message: String,
    reason: Option<String>,
    field_violations: Vec<FieldViolation>,
    retry_delay: Option<Duration>,
    request_id: Option<String>,
    failure: Failure,
    attempts: u32,
    /// How long a call was tried that was given up.
    gave_up_after: Option<Duration>,
    status: Status,
}

const NO_ANSWER: &str = "no answer within the deadline";

/// How far the request came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Failure {
    /// The server answered.
    Answered,
    /// There was no connection, so that the request was not sent.
    NotSent,
    /// The same, because the server's certificate is not trusted, which does not pass with time.
    Untrusted,
    /// The same, because the server refuses the client's certificate or the lack of it. With TLS 1.3 the
    /// server refuses after the client's handshake, and it looks like a connection that is lost.
    RefusedCertificate,
    /// The connection ended before the answer.
    Lost,
    /// There was no answer in time.
    TimedOut,
}

/// A field of the request that breaks its rule.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct FieldViolation {
    /// Where it is in the request, for example `endpoint.url`.
    pub field: String,
    /// Why it is refused, for programs: for example `TOO_LONG`. docs/api.md of the server lists the
    /// reasons. Empty: the server gave none.
    pub reason: String,
    /// What is wrong with it, and what to do.
    pub description: String,
}

impl Error {
    /// The status code. A connection that cannot be made or is lost is [`Code::Unavailable`].
    pub fn code(&self) -> Code {
        self.0.code
    }

    /// The message, for people to read.
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// The reason for programs, for example `STALE_ETAG`. docs/api.md of the server lists them. None: the
    /// server did not answer, or something before it did.
    pub fn reason(&self) -> Option<&str> {
        self.0.reason.as_deref()
    }

    /// The fields of the request at fault.
    pub fn field_violations(&self) -> &[FieldViolation] {
        &self.0.field_violations
    }

    /// How long to wait before a retry helps, if the server says so.
    pub fn retry_delay(&self) -> Option<Duration> {
        self.0.retry_delay
    }

    /// By this id the server's operators find the call in its logs and traces.
    pub fn request_id(&self) -> Option<&str> {
        self.0.request_id.as_deref()
    }

    /// How often the call was tried. The error is that of the last attempt that got one.
    pub fn attempts(&self) -> u32 {
        self.0.attempts
    }

    /// The same error of a call that is not tried again after so many attempts.
    pub(crate) fn after(mut self, attempts: u32, took: Duration) -> Error {
        self.0.attempts = attempts;
        self.0.gave_up_after = (attempts > 1 && self.is_temporary()).then_some(took);
        self
    }

    /// The whole status, with what this type does not read.
    pub fn status(&self) -> &Status {
        &self.0.status
    }

    /// An error that is the client's own.
    pub(crate) fn own(code: Code, message: impl Into<String>) -> Error {
        Error::from(Status::new(code, message))
    }

    /// The deadline is over.
    pub(crate) fn deadline_exceeded() -> Error {
        Error::own(Code::DeadlineExceeded, NO_ANSWER)
    }

    /// Whether the request was not sent, so that repeating it is safe, whatever it is.
    pub(crate) fn is_not_sent(&self) -> bool {
        self.0.failure == Failure::NotSent
    }

    /// Whether the same request may succeed later.
    pub fn is_temporary(&self) -> bool {
        match self.0.code {
            Code::Unavailable => {
                !matches!(self.0.failure, Failure::Untrusted | Failure::RefusedCertificate)
            }
            // A limit of a rate says when it helps; others do not pass with time.
            Code::ResourceExhausted => self.0.retry_delay.is_some(),
            _ => false,
        }
    }
}

impl From<Status> for Error {
    fn from(status: Status) -> Self {
        let failure = failure(&status);
        let details = status.get_error_details();
        let request_id = details.request_info().map(|info| info.request_id.clone());
        let violations = details.bad_request().map(|bad| &bad.field_violations[..]).unwrap_or(&[]);
        let field_violations = violations
            .iter()
            .map(|violation| FieldViolation {
                field: violation.field.clone(),
                reason: violation.reason.clone(),
                description: violation.description.clone(),
            })
            .collect();
        let (code, message) = match failure {
            Failure::Answered => (status.code(), status.message().to_owned()),
            Failure::NotSent => (Code::Unavailable, format!("cannot connect: {}", cause(&status))),
            Failure::Untrusted => {
                let why = format!(
                    "the server is not trusted: {}. Give the authority that issued its certificate as \
                     ca_file, and an address that the certificate names; if it has expired, its \
                     server needs another one",
                    cause(&status)
                );
                (Code::Unavailable, why)
            }
            Failure::RefusedCertificate => {
                let why = format!(
                    "the server has refused the client's certificate: {}. Give one that the server \
                     accepts as client_certificate_files",
                    cause(&status)
                );
                (Code::Unavailable, why)
            }
            Failure::TimedOut => (Code::DeadlineExceeded, NO_ANSWER.to_owned()),
            Failure::Lost => (Code::Unavailable, format!("connection lost: {}", cause(&status))),
        };
        Error(Box::new(Details {
            code,
            message,
            reason: details.error_info().map(|info| info.reason.clone()),
            field_violations,
            retry_delay: details.retry_info().and_then(|info| info.retry_delay),
            request_id: request_id.filter(|id| !id.is_empty()),
            failure,
            attempts: 1,
            gave_up_after: None,
            status,
        }))
    }
}

/// A status that the server sent has no source; those that tonic makes of what happened to the
/// connection have.
fn failure(status: &Status) -> Failure {
    let mut source = status.source();
    if source.is_none() {
        return Failure::Answered;
    }
    let mut failure = Failure::Lost;
    while let Some(error) = source {
        if error.is::<ConnectError>() {
            failure = Failure::NotSent;
        }
        if let Some(distrust) = distrust(error) {
            return distrust;
        }
        if error.is::<TimeoutExpired>() {
            return Failure::TimedOut;
        }
        source = error.source();
    }
    failure
}

/// TLS reports by errors of I/O, whose content is no source of theirs.
fn distrust(error: &(dyn StdError + 'static)) -> Option<Failure> {
    let content = error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
    let tls = content.and_then(|content| content.downcast_ref::<rustls::Error>());
    match tls? {
        rustls::Error::InvalidCertificate(_) => Some(Failure::Untrusted),
        // RFC 8446 section 6.2.
        rustls::Error::AlertReceived(
            AlertDescription::BadCertificate
            | AlertDescription::UnsupportedCertificate
            | AlertDescription::CertificateRevoked
            | AlertDescription::CertificateExpired
            | AlertDescription::CertificateUnknown
            | AlertDescription::CertificateRequired
            | AlertDescription::UnknownCA
            | AlertDescription::AccessDenied,
        ) => Some(Failure::RefusedCertificate),
        _ => None,
    }
}

/// The innermost error, which says most: `Connection refused`.
fn cause(status: &Status) -> String {
    let Some(mut error) = status.source() else { return status.message().to_owned() };
    while let Some(source) = error.source() {
        error = source;
    }
    error.to_string()
}

/// For example: `a field breaks its rule: endpoint.url: must begin with https:// (INVALID_ARGUMENT,
/// INVALID_FIELD, request 4bf92f3577b34da6a3ce929d0e0e4736)`.
impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Details { code, message, reason, field_violations, request_id, .. } = &*self.0;
        if let Some(took) = self.0.gave_up_after {
            let (attempts, took) = (self.0.attempts, took.as_secs_f64());
            write!(f, "gave up after {attempts} attempts in {took:.1} s; the last error: ")?;
        }
        f.write_str(if message.is_empty() { code.description() } else { message })?;
        let mut separator = ": ";
        for FieldViolation { field, description, .. } in field_violations {
            // The server's message may say it already.
            if !message.contains(description.as_str()) {
                write!(f, "{separator}{field}: {description}")?;
                separator = "; ";
            }
        }
        write!(f, " ({}", name(*code))?;
        // Some reasons are named as their codes are.
        if let Some(reason) = reason.as_ref().filter(|reason| *reason != name(*code)) {
            write!(f, ", {reason}")?;
        }
        if let Some(id) = request_id {
            write!(f, ", request {id}")?;
        }
        f.write_str(")")
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Error({self})")
    }
}

impl StdError for Error {}

/// The name of a code in the gRPC specification.
fn name(code: Code) -> &'static str {
    match code {
        Code::Ok => "OK",
        Code::Cancelled => "CANCELLED",
        Code::Unknown => "UNKNOWN",
        Code::InvalidArgument => "INVALID_ARGUMENT",
        Code::DeadlineExceeded => "DEADLINE_EXCEEDED",
        Code::NotFound => "NOT_FOUND",
        Code::AlreadyExists => "ALREADY_EXISTS",
        Code::PermissionDenied => "PERMISSION_DENIED",
        Code::ResourceExhausted => "RESOURCE_EXHAUSTED",
        Code::FailedPrecondition => "FAILED_PRECONDITION",
        Code::Aborted => "ABORTED",
        Code::OutOfRange => "OUT_OF_RANGE",
        Code::Unimplemented => "UNIMPLEMENTED",
        Code::Internal => "INTERNAL",
        Code::Unavailable => "UNAVAILABLE",
        Code::DataLoss => "DATA_LOSS",
        Code::Unauthenticated => "UNAUTHENTICATED",
    }
}

#[cfg(test)]
mod tests {
    use tonic_types::ErrorDetails;

    use super::*;

    #[test]
    fn an_error_says_what_is_wrong_with_which_field_and_by_which_id_it_is_found() {
        let mut details = ErrorDetails::with_error_info("INVALID_FIELD", "webhooks", []);
        let violation = |field: &str, reason: &str, description: &str| {
            let reason = reason.to_owned();
            tonic_types::FieldViolation {
                reason,
                ..tonic_types::FieldViolation::new(field, description)
            }
        };
        details.set_bad_request(vec![
            violation("endpoint.url", "INVALID_FORMAT", "must begin with https://"),
            violation("endpoint.display_name", "REQUIRED", "is empty"),
        ]);
        details.set_request_info("4bf9", "");
        let status = Status::with_error_details(
            Code::InvalidArgument,
            "2 fields break their rules",
            details,
        );
        let error = Error::from(status);
        assert_eq!(
            error.to_string(),
            "2 fields break their rules: endpoint.url: must begin with https://; \
             endpoint.display_name: is empty (INVALID_ARGUMENT, INVALID_FIELD, request 4bf9)"
        );
        assert_eq!(error.reason(), Some("INVALID_FIELD"));
        assert_eq!(error.request_id(), Some("4bf9"));
        let violation = &error.field_violations()[1];
        assert_eq!(
            (violation.field.as_str(), violation.reason.as_str()),
            ("endpoint.display_name", "REQUIRED")
        );
        assert!(!error.is_temporary());
    }

    #[test]
    fn what_may_pass_with_time_is_temporary() {
        assert!(Error::own(Code::Unavailable, "").is_temporary());
        assert!(!Error::own(Code::ResourceExhausted, "too many endpoints").is_temporary());
        let details = ErrorDetails::with_retry_info(Some(Duration::from_millis(10)));
        let status = Status::with_error_details(Code::ResourceExhausted, "too fast", details);
        let error = Error::from(status);
        assert!(error.is_temporary());
        assert_eq!(error.retry_delay(), Some(Duration::from_millis(10)));
        for code in [Code::Internal, Code::Unknown, Code::Aborted, Code::DeadlineExceeded] {
            assert!(!Error::own(code, "").is_temporary(), "{code:?}");
        }
    }

    #[test]
    fn a_status_of_the_connection_is_unavailable_and_an_answer_stays_what_it_is() {
        let refused = std::io::Error::from(std::io::ErrorKind::ConnectionRefused);
        let status = Status::from_error(Box::new(ConnectError(Box::new(refused))));
        let error = Error::from(status);
        assert!(error.is_not_sent() && error.is_temporary(), "{error}");
        let reset = std::io::Error::from(std::io::ErrorKind::ConnectionReset);
        let error = Error::from(Status::from_error(Box::new(reset)));
        assert!(!error.is_not_sent() && error.is_temporary(), "{error}");
        let distrust = rustls::Error::InvalidCertificate(rustls::CertificateError::UnknownIssuer);
        let distrust = std::io::Error::other(distrust);
        let error = Error::from(Status::from_error(Box::new(ConnectError(Box::new(distrust)))));
        assert!(!error.is_temporary() && error.code() == Code::Unavailable, "{error}");
        let alert = rustls::Error::AlertReceived(AlertDescription::CertificateRequired);
        let error = Error::from(Status::from_error(Box::new(std::io::Error::other(alert))));
        assert!(!error.is_temporary() && error.code() == Code::Unavailable, "{error}");
        let answered = Error::from(Status::unknown("an error of the server's"));
        assert!(!answered.is_temporary(), "{answered}");
    }
}
