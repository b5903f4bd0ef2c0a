//! The address of the operator's SMTP server.

use std::str::FromStr;

/// The flag for further certificates that are trusted for the mail server.
pub(super) const CA_FLAG: &str = "--smtp-ca";

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
