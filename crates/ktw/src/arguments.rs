//! The command line.

use clap::{Parser, Subcommand};

use crate::commands::{
    attempts, audit, channels, completions, deliveries, doctor, endpoints, events, keys, listen,
    notifications, profiles, publish, replays, test, verify, watch,
};
use crate::connection::PRECEDENCE;
use crate::failure::EXIT_STATUSES;
use crate::options::{ConnectionOptions, OutputOptions};

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
#[command(name = "ktw", version, max_term_width = 100, after_help = format!("{EXAMPLES}\n\n{PRECEDENCE}\n\n{EXIT_STATUSES}"))]
#[command(arg_required_else_help = true, propagate_version = true)]
pub(crate) struct Arguments {
    #[command(flatten)]
    pub(crate) connection: ConnectionOptions,
    #[command(flatten)]
    pub(crate) output: OutputOptions,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// A command that is a struct has its help there: the first line is that of the list of commands.
#[derive(Subcommand)]
pub(crate) enum Command {
    /// Webhook receivers: list, create, change, enable, disable, delete.
    #[command(subcommand, alias = "endpoint")]
    Endpoints(endpoints::Command),
    /// Events that were published, and the types that there are.
    #[command(subcommand, alias = "event")]
    Events(events::Command),
    /// Deliveries of events to endpoints.
    #[command(subcommand, alias = "delivery")]
    Deliveries(deliveries::Command),
    /// The delivery log: every HTTP request that was made.
    #[command(subcommand, alias = "attempt")]
    Attempts(attempts::Command),
    /// Past replays.
    #[command(subcommand)]
    Replays(replays::Command),
    Replay(replays::Replay),
    /// Notification channels: who hears about failing endpoints.
    #[command(subcommand, alias = "channel")]
    Channels(channels::Command),
    /// Notifications that were sent to channels.
    #[command(subcommand, alias = "notification")]
    Notifications(notifications::Command),
    /// API keys.
    #[command(subcommand, alias = "key")]
    Keys(keys::Command),
    /// The audit trail: who did what, when and from where.
    #[command(subcommand)]
    Audit(audit::Command),
    Publish(publish::Publish),
    Trigger(publish::Trigger),
    Test(test::Test),
    Watch(watch::Watch),
    Listen(listen::Listen),
    Verify(verify::Verify),
    Doctor(doctor::Doctor),
    /// Servers and keys by name.
    #[command(subcommand, alias = "profile")]
    Profiles(profiles::Command),
    Completions(completions::Completions),
    Man(completions::Man),
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;
    use crate::descriptors::is_field;

    #[test]
    fn the_command_line_is_consistent() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn commands_have_their_whole_help() {
        let root = Arguments::command();
        for (name, words) in
            [("listen", "No delivery is made"), ("publish", "durable"), ("watch", "Ctrl+C")]
        {
            let command = root.find_subcommand(name).expect("a command");
            let help = command.get_long_about().expect("long help").to_string();
            assert!(help.contains(words), "{help}");
            let short = command.get_about().expect("help").to_string();
            assert!(short.len() < 80 && !short.contains(words), "{short}");
        }
    }

    #[test]
    fn every_kind_of_thing_has_a_list() {
        let root = Arguments::command();
        let nouns = root.get_subcommands().filter(|command| command.has_subcommands());
        let mut count = 0;
        for noun in nouns {
            count += 1;
            assert!(noun.find_subcommand("list").is_some(), "`ktw {} list`", noun.get_name());
        }
        assert!(count >= 10, "{count} nouns");
    }

    #[test]
    fn every_command_and_option_has_help() {
        fn check(command: &clap::Command) {
            assert!(command.get_about().is_some(), "{} has no help", command.get_name());
            for argument in command.get_arguments() {
                let is_ours = !["help", "version"].contains(&argument.get_id().as_str());
                assert!(!is_ours || argument.get_help().is_some(), "{argument} has no help");
                // Texts about a field find its option by the id.
                let name = match argument.get_long() {
                    Some(long) => long.replace('-', "_"),
                    None => argument.get_value_names().unwrap_or_default().concat().to_lowercase(),
                };
                let id = argument.get_id().as_str();
                assert!(!is_ours || id == name || is_field(id), "{id} is no field");
                // An option that has the id of a field gets no name of its own from clap.
                let long = argument.get_long().unwrap_or_default();
                assert!(!long.contains('_'), "{argument} is no name of an option");
                let shows_default = !argument.is_hide_default_value_set();
                let is_empty = argument.get_default_values().iter().any(|it| it.is_empty());
                assert!(!(is_empty && shows_default), "{argument} shows an empty default");
            }
            command.get_subcommands().for_each(check);
        }
        check(&Arguments::command());
    }
}
