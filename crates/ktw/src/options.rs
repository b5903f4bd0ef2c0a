//! The options that several commands have.

use std::path::PathBuf;
use std::time::Duration;

use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{Args, ColorChoice};
use jiff::SignedDuration;
use jiff::tz::TimeZone;

use crate::completion;
use crate::descriptors::enum_values;
use crate::failure::Failure;
use crate::files::time_to_proto;
use crate::output::{Format, Output, Query};
use crate::times::{self, TypedTime};

/// Which server is called, and as who.
#[derive(Args)]
#[command(next_help_heading = "Connection")]
pub(crate) struct ConnectionOptions {
    /// The profile of `ktw profiles` that says the rest. [env: KTW_PROFILE]
    #[arg(long, global = true, value_name = "NAME", add = completion::profiles())]
    pub(crate) profile: Option<String>,
    /// The server: `https://HOST[:PORT]`, or `http://` for one on this machine. [env:
    /// KEEPTRUSTS_WEBHOOKS_ADDRESS]
    #[arg(long, global = true, value_name = "URL")]
    pub(crate) address: Option<String>,
    /// The organization. By default that of the key. [env: KEEPTRUSTS_WEBHOOKS_ORGANIZATION]
    #[arg(id = "organization_id", long = "organization", global = true, value_name = "ID")]
    pub(crate) organization: Option<String>,
    /// A file with the API key, `-` for stdin. The key itself is never an argument, which others could
    /// see. [env: KEEPTRUSTS_WEBHOOKS_API_KEY for the key, KEEPTRUSTS_WEBHOOKS_API_KEY_FILE for its
    /// file]
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) key_file: Option<PathBuf>,
    /// A PEM file with the authority of the server's certificate, if the system does not know it. [env:
    /// KEEPTRUSTS_WEBHOOKS_CA_FILE]
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) ca_file: Option<PathBuf>,
    /// A PEM file with the certificate of this client (mutual TLS). [env:
    /// KEEPTRUSTS_WEBHOOKS_CLIENT_CERT_FILE]
    #[arg(long, global = true, requires = "client_key", value_name = "FILE")]
    pub(crate) client_cert: Option<PathBuf>,
    /// A PEM file with the private key of the certificate. [env:
    /// KEEPTRUSTS_WEBHOOKS_CLIENT_KEY_FILE]
    #[arg(long, global = true, requires = "client_cert", value_name = "FILE")]
    pub(crate) client_key: Option<PathBuf>,
    /// How long a call may take.
    #[arg(long, global = true, value_name = "TIME", default_value = "30s", value_parser = duration)]
    pub(crate) timeout: Duration,
}

/// What is printed.
#[derive(Args)]
#[command(next_help_heading = "Output")]
pub(crate) struct OutputOptions {
    /// The form of the results.
    #[arg(long, short, global = true, value_enum, default_value = "table", value_name = "FORM")]
    pub(crate) output: Format,
    /// Only this field of each result: `id`, `endpoint.url`, `event_types[0]`, `attempts[].status_code`.
    #[arg(long, short, global = true, value_name = "FIELD", value_parser = Query::parse)]
    pub(crate) query: Option<Query>,
    /// The time zone of tables: `local`, `utc` or a name such as `Europe/Berlin`. Every other form has UTC.
    #[arg(long, global = true, env = "KTW_TIME_ZONE", value_name = "ZONE", default_value = "local", value_parser = times::zone)]
    pub(crate) time_zone: TimeZone,
    /// When to use colours. NO_COLOR turns them off, too.
    #[arg(long, global = true, value_name = "WHEN", default_value = "auto")]
    pub(crate) color: ColorChoice,
    /// Do not show long tables in a pager ($PAGER).
    #[arg(long, global = true)]
    pub(crate) no_pager: bool,
}

impl OutputOptions {
    pub(crate) fn output(self) -> Output {
        Output {
            format: self.output,
            query: self.query,
            zone: self.time_zone,
            paging: !self.no_pager,
        }
    }
}

/// A span of time.
#[derive(Args)]
pub(crate) struct Between {
    /// Only from then on: `2h` (ago), `2026-04-23`, `2026-04-23 14:30`, or RFC 3339.
    #[arg(id = "start_time", long = "since", value_name = "TIME", value_parser = TypedTime::parse)]
    since: Option<TypedTime>,
    /// Only before then.
    #[arg(id = "end_time", long = "until", value_name = "TIME", value_parser = TypedTime::parse)]
    until: Option<TypedTime>,
}

impl Between {
    /// The start and the end.
    pub(crate) fn resolve(
        &self,
        zone: &TimeZone,
    ) -> Result<(Option<prost_types::Timestamp>, Option<prost_types::Timestamp>), Failure> {
        let now = jiff::Timestamp::now();
        let resolve = |time: TypedTime| {
            let time = time.resolve(now, zone).map_err(Failure::Usage)?;
            Ok::<_, Failure>(time_to_proto(time))
        };
        Ok((self.since.map(resolve).transpose()?, self.until.map(resolve).transpose()?))
    }
}

/// Only what is of these types.
#[derive(Args)]
pub(crate) struct TypeFilter {
    /// Only of this type; may be repeated. `ktw events types` lists them.
    #[arg(id = "event_types", long = "type", value_name = "TYPE", add = completion::event_types())]
    pub(crate) event_types: Vec<String>,
}

/// Which items of a list.
#[derive(Args)]
pub(crate) struct ListOptions {
    /// How many.
    #[arg(long, short, value_name = "NUMBER", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) limit: u32,
    /// All of them.
    #[arg(long, conflicts_with = "limit")]
    pub(crate) all: bool,
}

impl ListOptions {
    /// The size of a page: no larger than what is wanted; the server lowers it to what it allows.
    pub(crate) fn page_size(&self) -> i32 {
        if self.all { i32::MAX } else { i32::try_from(self.limit).unwrap_or(i32::MAX) }
    }

    /// The most items. None: all.
    pub(crate) fn limit(&self) -> Option<usize> {
        (!self.all).then_some(self.limit as usize)
    }
}

/// Reads a duration; for clap.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    let signed: SignedDuration = times::duration(text)?;
    signed.try_into().map_err(|_| "not a duration".to_owned())
}

/// Reads a value of an enum of the API, by its short name; for clap, which lists the values.
pub(crate) fn value_of(name: &'static str) -> impl TypedValueParser<Value = i32> {
    let values = enum_values(name);
    let names: Vec<_> = values.iter().map(|(name, _)| name.clone()).collect();
    PossibleValuesParser::new(names).map(move |given| {
        let value = values.iter().find(|(name, _)| *name == given);
        value.map_or(0, |(_, number)| *number)
    })
}
