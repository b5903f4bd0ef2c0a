//! Decides which ports may be connected to.
//!
//! Customers choose a URL's port as they choose its host. Below 1024 are the ports of services that
//! were never meant to get an HTTP request (RFC 6335 section 6: the system ports). Some interpret
//! it anyway: mail servers have been made to send mail that way. TLS alone does not prevent this. A
//! receiver chooses the bytes of a session ticket (RFC 8446 section 4.6.1), and once its name
//! resolves to another host, they are sent there in the clear.

use std::fmt;
use std::ops::RangeInclusive;
use std::str::FromStr;

/// The ports that are permitted without configuration: `https`, and all that are no system ports.
const PERMITTED_BY_DEFAULT: [RangeInclusive<u16>; 2] = [443..=443, 1024..=65535];

/// One port or a range, written `25` or `8000-8100`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PortRange(RangeInclusive<u16>);

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be a port from 1 to 65535 or a range of them, for example 80 or 8000-8100")]
pub struct InvalidPortRange;

impl FromStr for PortRange {
    type Err = InvalidPortRange;

    fn from_str(text: &str) -> Result<Self, InvalidPortRange> {
        let (first, last) = text.split_once('-').unwrap_or((text, text));
        let (first, last) = (port(first)?, port(last)?);
        match first <= last {
            true => Ok(Self(first..=last)),
            false => Err(InvalidPortRange),
        }
    }
}

impl fmt::Display for PortRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.0.start(), self.0.end()) {
            (first, last) if first == last => write!(f, "{first}"),
            (first, last) => write!(f, "{first}-{last}"),
        }
    }
}

fn port(digits: &str) -> Result<u16, InvalidPortRange> {
    match digits.parse() {
        // `u16` would accept a sign.
        Ok(port) if port > 0 && digits.bytes().all(|digit| digit.is_ascii_digit()) => Ok(port),
        _ => Err(InvalidPortRange),
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "refused to connect to port {port}: it is neither 443 nor over 1023 (an operator can permit it with --allow-port {port})"
)]
pub struct RefusedPort {
    pub port: u16,
}

/// Permits 443, the ports over 1023, and the configured ones.
#[derive(Clone, Debug, Default)]
pub(crate) struct PortGuard {
    allowed: Vec<PortRange>,
}

impl PortGuard {
    pub(crate) fn new(allowed: Vec<PortRange>) -> Self {
        Self { allowed }
    }

    pub(crate) fn check(&self, port: u16) -> Result<(), RefusedPort> {
        let configured = self.allowed.iter().map(|PortRange(range)| range);
        match PERMITTED_BY_DEFAULT.iter().chain(configured).any(|range| range.contains(&port)) {
            true => Ok(()),
            false => Err(RefusedPort { port }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn guard(allowed: &[&str]) -> PortGuard {
        PortGuard::new(allowed.iter().map(|range| range.parse().expect("a range")).collect())
    }

    #[test]
    fn https_and_high_ports_are_permitted_and_no_other() {
        for port in [443, 1024, 8443, 65535] {
            assert_eq!(guard(&[]).check(port), Ok(()));
        }
        for port in [1, 22, 25, 80, 442, 444, 465, 1023] {
            assert_eq!(guard(&[]).check(port), Err(RefusedPort { port }));
        }
    }

    #[test]
    fn configured_ports_are_permitted_besides() {
        let guard = guard(&["80", "800-899"]);
        for port in [80, 800, 850, 899, 443, 8443] {
            assert_eq!(guard.check(port), Ok(()));
        }
        for port in [79, 81, 799, 900] {
            assert_eq!(guard.check(port), Err(RefusedPort { port }));
        }
    }

    #[test]
    fn a_refusal_says_how_to_permit_the_port() {
        assert_eq!(
            RefusedPort { port: 25 }.to_string(),
            "refused to connect to port 25: it is neither 443 nor over 1023 \
             (an operator can permit it with --allow-port 25)"
        );
    }

    #[test]
    fn ranges_are_written_as_they_are_read() {
        for text in ["1", "80", "65535", "8000-8100"] {
            assert_eq!(text.parse::<PortRange>().map(|range| range.to_string()), Ok(text.into()));
        }
        for text in ["", "0", "0-80", "+80", "65536", "100-80", "80-", "-80", "80-90-100", "http"] {
            assert_eq!(text.parse::<PortRange>(), Err(InvalidPortRange), "{text:?}");
        }
    }
}
