//! The command line.

use std::path::PathBuf;
use std::time::Duration;

use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{Args, ColorChoice, Parser, Subcommand};
use jiff::SignedDuration;
use jiff::tz::TimeZone;

use crate::commands::{
    attempts, audit, channels, completions, deliveries, doctor, endpoints, events, keys, listen,
    notifications, profiles, publish, replays, test, verify, watch,
};
use crate::descriptors::enum_values;
use crate::failure::EXIT_STATUSES;
use crate::output::{Format, Query};
use crate::times;

const EXAMPLES: &str = "\
Examples:
  ktw profiles add prod --address https://webhooks.example.com     # asks for the key
  ktw endpoints create --name siem --url https://siem.example.com/hook --event-types policy.violation
  ktw trigger policy.violation                                     # publishes a sample
  ktw attempts list --since 1h --outcome failed
  ktw listen --forward http://localhost:3000/webhooks              # events to a server of yours";

/// The command line of Keeptrusts Webhooks: manages endpoints, publishes events, reads the delivery
/// log, and tries receivers.
#[derive(Parser)]
#[command(name = "ktw", version, max_term_width = 100, after_help = format!("{EXAMPLES}\n\n{EXIT_STATUSES}"))]
#[command(arg_required_else_help = true, propagate_version = true)]
pub(crate) struct Arguments {
    #[command(flatten)]
    pub(crate) connection: ConnectionOptions,
    #[command(flatten)]
    pub(crate) output: OutputOptions,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Which server is called, and as who.
#[derive(Args)]
#[command(next_help_heading = "Connection")]
pub(crate) struct ConnectionOptions {
    /// The profile of `ktw profiles` that says the rest. Options that are given win.
    #[arg(long, global = true, env = "KTW_PROFILE", value_name = "NAME")]
    pub(crate) profile: Option<String>,
    /// The server: `https://HOST[:PORT]`, or `http://` for one on this machine.
    #[arg(long, global = true, env = "KEEPTRUSTS_WEBHOOKS_ADDRESS", value_name = "URL")]
    pub(crate) address: Option<String>,
    /// The organization. By default that of the key.
    #[arg(long, global = true, env = "KEEPTRUSTS_WEBHOOKS_ORGANIZATION", value_name = "ID")]
    pub(crate) organization: Option<String>,
    /// A file with the API key, `-` for stdin. The key itself is never an argument, which others could
    /// see; it may be in the variable KEEPTRUSTS_WEBHOOKS_API_KEY.
    #[arg(long, global = true, env = "KEEPTRUSTS_WEBHOOKS_API_KEY_FILE", value_name = "FILE")]
    pub(crate) key_file: Option<PathBuf>,
    /// A PEM file with the authority of the server's certificate, if the system does not know it.
    #[arg(long, global = true, env = "KEEPTRUSTS_WEBHOOKS_CA_FILE", value_name = "FILE")]
    pub(crate) ca_file: Option<PathBuf>,
    /// A PEM file with the certificate of this client (mutual TLS).
    #[arg(long, global = true, requires = "client_key", value_name = "FILE")]
    pub(crate) client_cert: Option<PathBuf>,
    /// A PEM file with the private key of the certificate.
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

#[derive(Subcommand)]
pub(crate) enum Command {
    /// Webhook receivers: list, create, change, enable, disable, delete.
    #[command(subcommand, visible_alias = "endpoint")]
    Endpoints(endpoints::Command),
    /// Events that were published, and the types that there are.
    #[command(subcommand, visible_alias = "event")]
    Events(events::Command),
    /// Deliveries of events to endpoints.
    #[command(subcommand, visible_alias = "delivery")]
    Deliveries(deliveries::Command),
    /// The delivery log: every HTTP request that was made.
    #[command(subcommand, visible_alias = "attempt")]
    Attempts(attempts::Command),
    /// Past replays.
    #[command(subcommand)]
    Replays(replays::Command),
    /// Sends past events to an endpoint again.
    Replay(replays::Replay),
    /// Notification channels: who hears about failing endpoints.
    #[command(subcommand, visible_alias = "channel")]
    Channels(channels::Command),
    /// Notifications that were sent to channels.
    #[command(subcommand, visible_alias = "notification")]
    Notifications(notifications::Command),
    /// API keys.
    #[command(subcommand, visible_alias = "key")]
    Keys(keys::Command),
    /// The audit trail: who did what, when and from where.
    Audit(audit::Audit),
    /// Publishes events.
    Publish(publish::Publish),
    /// Publishes a sample event of a type.
    Trigger(publish::Trigger),
    /// Sends a test to an endpoint and shows the outcome.
    Test(test::Test),
    /// Shows deliveries as they happen.
    Watch(watch::Watch),
    /// Posts events to a server of yours as they happen, signed. No delivery is made or changed.
    Listen(listen::Listen),
    /// Verifies the signature of a captured request.
    Verify(verify::Verify),
    /// Checks the address, TLS, key, clock and versions.
    Doctor(doctor::Doctor),
    /// Servers and keys by name.
    #[command(subcommand, visible_alias = "profile")]
    Profiles(profiles::Command),
    /// Prints completions for a shell: `source <(ktw completions bash)`.
    Completions(completions::Completions),
    /// Writes the manual's pages into a folder: `ktw man --folder ~/.local/share/man/man1`.
    Man(completions::Man),
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

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn every_command_and_option_has_help() {
        fn check(command: &clap::Command) {
            assert!(command.get_about().is_some(), "{} has no help", command.get_name());
            for argument in command.get_arguments() {
                let is_ours = !["help", "version"].contains(&argument.get_id().as_str());
                assert!(!is_ours || argument.get_help().is_some(), "{argument} has no help");
            }
            command.get_subcommands().for_each(check);
        }
        check(&Arguments::command());
    }
}
