//! Parsers for the values of flags: durations, numbers in a range, networks, addresses.
//!
//! [`RetrySchedule`] needs none: clap reads it through its own `FromStr`.
//!
//! [`RetrySchedule`]: keeptrusts_webhooks_domain::retry::RetrySchedule

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::num::NonZeroU32;
use std::ops::{Bound, RangeBounds};
use std::time::Duration;

use ipnet::IpNet;
use keeptrusts_webhooks_domain::retry::parse_duration;

/// A thousand years. Sums and multiples of it do not overflow.
const MAX_DURATION: Duration = Duration::from_secs(1_000 * 366 * 24 * 60 * 60);

/// A duration: `500ms`, `10s`, `1h30m`, `30d`. May be zero.
pub fn duration(text: &str) -> Result<Duration, String> {
    let duration = parse_duration(text).ok_or_else(|| {
        "write a number and ms, s, m, h or d, for example 500ms, 10s, 1h30m or 30d".to_owned()
    })?;
    if duration > MAX_DURATION {
        return Err("must be at most 366000d".to_owned());
    }
    Ok(duration)
}

/// A duration that is not zero.
pub fn positive_duration(text: &str) -> Result<Duration, String> {
    let duration = duration(text)?;
    if duration.is_zero() {
        return Err("must be longer than zero, for example 10s".to_owned());
    }
    Ok(duration)
}

/// A whole number in a range. Unlike clap's own parser, errors name the range.
pub fn whole_number<N: TryFrom<u64>>(
    range: impl RangeBounds<u64> + Clone + Send + Sync + 'static,
) -> impl Fn(&str) -> Result<N, String> + Clone + Send + Sync + 'static {
    move |text| {
        let number = text.parse().ok().filter(|number| range.contains(number));
        let number = number.and_then(|number| N::try_from(number).ok());
        number.ok_or_else(|| write_a_number(&range))
    }
}

fn write_a_number(range: &impl RangeBounds<u64>) -> String {
    let least = match range.start_bound() {
        Bound::Included(least) => *least,
        Bound::Excluded(below) => below.saturating_add(1),
        Bound::Unbounded => 0,
    };
    match range.end_bound() {
        Bound::Included(most) => format!("write a whole number from {least} to {most}"),
        Bound::Excluded(above) => {
            format!("write a whole number from {least} to {}", above.saturating_sub(1))
        }
        Bound::Unbounded => format!("write a whole number, {least} or more"),
    }
}

/// A whole number of at least `least`, and at least 1.
pub fn positive_number(
    least: u32,
) -> impl Fn(&str) -> Result<NonZeroU32, String> + Clone + Send + Sync + 'static {
    let number = whole_number::<u32>(u64::from(least.max(1))..);
    move |text| number(text).map(|number| NonZeroU32::new(number).unwrap_or(NonZeroU32::MIN))
}

/// A network: `10.20.0.0/16`, `2001:db8::/32`, or one address, `10.20.0.5/32`.
pub fn network(text: &str) -> Result<IpNet, String> {
    text.parse().map_err(|_| {
        "write an IP address and how many of its bits are the network's: 10.20.0.0/16 or 2001:db8::/32; for one address, 10.20.0.5/32 or 2001:db8::5/128"
            .to_owned()
    })
}

/// An IP address and a port. `localhost:50051` is the loopback address (RFC 6761 section 6.3),
/// `:50051` is every IPv4 address of the machine.
pub fn listen_address(text: &str) -> Result<SocketAddr, String> {
    if let Ok(address) = text.parse() {
        return Ok(address);
    }
    let (host, port) = text.rsplit_once(':').ok_or(WRITE_AN_ADDRESS)?;
    let host = match host {
        "" => Ipv4Addr::UNSPECIFIED,
        host if host.eq_ignore_ascii_case("localhost") => Ipv4Addr::LOCALHOST,
        _ => return Err(WRITE_AN_ADDRESS.to_owned()),
    };
    // `parse` would accept a sign.
    if !port.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(WRITE_AN_ADDRESS.to_owned());
    }
    let port = port.parse().map_err(|_| WRITE_AN_ADDRESS)?;
    Ok(SocketAddr::new(IpAddr::V4(host), port))
}

const WRITE_AN_ADDRESS: &str = "write an IP address and a port: 127.0.0.1:50051 (or localhost:50051) for this machine alone, 0.0.0.0:50051 (or :50051) for every IPv4 address, [::]:50051 for IPv6 as well";

#[cfg(test)]
mod tests {
    use clap::Parser;
    use keeptrusts_webhooks_domain::retry::RetrySchedule;

    use super::*;
    use crate::shutdown::Shutdown;

    #[derive(Debug, Parser)]
    struct Flags {
        #[arg(long, value_parser = positive_duration, default_value = "10s")]
        request_timeout: Duration,
        #[arg(long, default_value_t)]
        retry_schedule: RetrySchedule,
    }

    fn error(flag: &str) -> String {
        let error = Flags::try_parse_from(["program", flag]).expect_err("wrong");
        error.to_string().lines().next().expect("a line").to_owned()
    }

    #[test]
    fn a_wrong_listen_address_is_answered_with_the_right_form() {
        for (text, address) in [
            ("127.0.0.1:50051", "127.0.0.1:50051"),
            ("localhost:50051", "127.0.0.1:50051"),
            ("LocalHost:0", "127.0.0.1:0"),
            (":50051", "0.0.0.0:50051"),
            ("[::]:50051", "[::]:50051"),
        ] {
            assert_eq!(listen_address(text).map(|it| it.to_string()).as_deref(), Ok(address));
        }
        for text in
            ["localhost", "50051", "127.0.0.1", "::1", "example.com:1", ":+1", ":65536", ":", ""]
        {
            assert_eq!(listen_address(text), Err(WRITE_AN_ADDRESS.to_owned()), "{text}");
        }
    }

    #[test]
    fn a_wrong_network_is_answered_with_the_right_form() {
        assert_eq!(network("10.20.0.0/16").map(|it| it.to_string()).as_deref(), Ok("10.20.0.0/16"));
        for text in ["10.0.0.0/33", "foo", "10.0.0.1", ""] {
            let error = network(text).expect_err("wrong");
            assert!(error.contains("write an IP address and how many"), "{text}: {error}");
        }
    }

    #[test]
    fn the_largest_duration_does_not_overflow_in_sums() {
        assert_eq!(duration("366000d"), Ok(MAX_DURATION));
        for text in ["366001d", "2000000000000000h"] {
            assert_eq!(duration(text), Err("must be at most 366000d".to_owned()), "{text}");
        }
        let shutdown = Shutdown::within(MAX_DURATION);
        assert!(shutdown.grace_period() < MAX_DURATION);
        assert!(tokio::time::Instant::now().checked_add(MAX_DURATION).is_some());
    }

    #[test]
    fn a_wrong_number_is_answered_with_the_range() {
        let any = whole_number::<u32>(1..);
        assert_eq!(any("4294967295"), Ok(u32::MAX));
        for text in ["", "0", "-1", "1.5", "many", "4294967296", "99999999999999999999"] {
            assert_eq!(any(text), Err("write a whole number, 1 or more".to_owned()), "{text}");
        }
        let some = whole_number::<u16>(1..=64);
        assert_eq!((some("1"), some("64")), (Ok(1), Ok(64)));
        assert_eq!(some("65"), Err("write a whole number from 1 to 64".to_owned()));
        let quota = positive_number(1_000);
        assert_eq!(quota("1000").map(NonZeroU32::get), Ok(1_000));
        assert_eq!(quota("999"), Err("write a whole number, 1000 or more".to_owned()));
    }

    #[test]
    fn flags_are_read() {
        let flags = Flags::try_parse_from(["program"]).expect("defaults");
        assert_eq!(flags.request_timeout, Duration::from_secs(10));
        assert_eq!(flags.retry_schedule, RetrySchedule::default());
        let given = ["program", "--request-timeout=1m30s", "--retry-schedule=1s,2s"];
        let flags = Flags::try_parse_from(given).expect("right");
        assert_eq!(flags.request_timeout, Duration::from_secs(90));
        assert_eq!(flags.retry_schedule.retries(), 2);
    }

    #[test]
    fn a_wrong_duration_is_answered_with_examples() {
        let prefix = "error: invalid value '10' for '--request-timeout <REQUEST_TIMEOUT>': ";
        assert_eq!(
            error("--request-timeout=10"),
            format!(
                "{prefix}write a number and ms, s, m, h or d, for example 500ms, 10s, 1h30m or 30d"
            )
        );
        assert!(
            error("--request-timeout=0s").ends_with("must be longer than zero, for example 10s")
        );
        assert!(error("--retry-schedule=soon").contains("for example `1m,5m,30m,2h,12h`"));
    }
}
