//! Flags for the limits of the console's server.

use std::time::Duration;

use clap::Args;
use ipnet::IpNet;
use keeptrusts_webhooks_process::connections::Limit;
use keeptrusts_webhooks_process::flags::{positive_duration, whole_number};
use keeptrusts_webhooks_process::http_server::HttpLimits;

/// An open page keeps one connection, for live updates.
const MAX_CONNECTIONS: u32 = 1_024;
/// Enough for some hundred people behind one router.
const MAX_CONNECTIONS_PER_PEER: u32 = 256;
const HEADER_TIMEOUT: Duration = Duration::from_secs(10);
const BODY_TIMEOUT: Duration = Duration::from_secs(30);

/// The console's own limits: browsers do not use up those of gRPC.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Console, limits")]
pub struct ConsoleLimitFlags {
    /// How many connections the console may have; further ones are closed at once. An address may
    /// have as many as are left for others. An open page keeps one
    #[arg(
        long,
        value_name = "NUMBER",
        default_value_t = MAX_CONNECTIONS,
        value_parser = whole_number::<u32>(1..)
    )]
    pub console_max_connections: u32,

    /// How many of them may come from one address, or from one IPv6 network of 64 bits. Not for a
    /// --trusted-proxy, which stands for many
    #[arg(
        long,
        value_name = "NUMBER",
        default_value_t = MAX_CONNECTIONS_PER_PEER,
        value_parser = whole_number::<u32>(1..)
    )]
    pub console_max_connections_per_peer: u32,

    /// How long a browser may take from connecting to the end of its first request's headers
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = positive_duration)]
    pub console_header_timeout: Duration,

    /// How long it may take to send a form after its headers; one that takes longer is answered
    /// with the HTTP status 408
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = positive_duration)]
    pub console_body_timeout: Duration,
}

impl Default for ConsoleLimitFlags {
    fn default() -> ConsoleLimitFlags {
        ConsoleLimitFlags {
            console_max_connections: MAX_CONNECTIONS,
            console_max_connections_per_peer: MAX_CONNECTIONS_PER_PEER,
            console_header_timeout: HEADER_TIMEOUT,
            console_body_timeout: BODY_TIMEOUT,
        }
    }
}

impl ConsoleLimitFlags {
    /// The server's limits; peers in these networks are proxies.
    pub(crate) fn limits(&self, proxies: Vec<IpNet>) -> HttpLimits {
        let limit = |number, flag| Limit { number, flag };
        HttpLimits {
            max_connections: limit(self.console_max_connections, "--console-max-connections"),
            max_connections_per_peer: limit(
                self.console_max_connections_per_peer,
                "--console-max-connections-per-peer",
            ),
            proxies,
            header_timeout: self.console_header_timeout,
            body_timeout: self.console_body_timeout,
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[test]
    fn each_flag_limits_what_it_is_called() {
        let flags = ConsoleLimitFlags {
            console_max_connections: 1,
            console_max_connections_per_peer: 2,
            console_header_timeout: Duration::from_secs(3),
            console_body_timeout: Duration::from_secs(4),
        };
        let proxies = vec!["192.0.2.0/24".parse().expect("a network")];
        let limits = flags.limits(proxies.clone());
        let all = Limit { number: 1, flag: "--console-max-connections" };
        let per_peer = Limit { number: 2, flag: "--console-max-connections-per-peer" };
        assert_eq!((limits.max_connections, limits.max_connections_per_peer), (all, per_peer));
        assert_eq!(limits.header_timeout, Duration::from_secs(3));
        assert_eq!(limits.body_timeout, Duration::from_secs(4));
        assert_eq!(limits.proxies, proxies);
    }

    #[test]
    fn the_flags_have_the_defaults_of_a_console_without_flags() {
        #[derive(Debug, Parser)]
        struct Flags {
            #[command(flatten)]
            limits: ConsoleLimitFlags,
        }
        let flags = Flags::try_parse_from(["program"]).expect("defaults");
        assert_eq!(format!("{:?}", flags.limits), format!("{:?}", ConsoleLimitFlags::default()));
        for flag in ["--console-max-connections=0", "--console-header-timeout=0s"] {
            assert!(Flags::try_parse_from(["program", flag]).is_err(), "{flag}");
        }
    }
}
