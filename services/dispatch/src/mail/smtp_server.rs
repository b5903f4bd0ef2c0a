//! The address of the operator's SMTP server, and the flag that says whom to trust there.

use std::str::FromStr;

/// Names further certificates that the mail server may have.
pub(super) const CA_FLAG: &str = "--smtp-ca";

/// A server's host and port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SmtpServer {
    pub(super) host: String,
    pub(super) port: u16,
}

impl FromStr for SmtpServer {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, &'static str> {
        let wrong = "write HOST:PORT, for example smtp.example.com:587";
        let (host, port) = text.rsplit_once(':').ok_or(wrong)?;
        let host = host.trim_start_matches('[').trim_end_matches(']');
        match (host.is_empty(), port.parse()) {
            (false, Ok(port)) if port != 0 => Ok(SmtpServer { host: host.to_owned(), port }),
            _ => Err(wrong),
        }
    }
}
