//! The server's texts in the words of the command line.
//!
//! The server names fields, methods and values of the API. An option has the id of the field that it sets
//! (`#[arg(id = "display_name", long = "name")]`), so that a text about the field can name the option.

use std::borrow::Cow;
use std::collections::BTreeMap;

use clap::ArgMatches;

use crate::descriptors::short_values;

/// The commands that call a method of the API.
const COMMANDS: &[(&str, &str)] = &[
    ("CancelDelivery", "deliveries cancel"),
    ("CancelReplay", "replays cancel"),
    ("CreateChannel", "channels create"),
    ("CreateEndpoint", "endpoints create"),
    ("CreateKey", "keys create"),
    ("CreateReplay", "replay"),
    ("DeleteChannel", "channels delete"),
    ("DeleteEndpoint", "endpoints delete"),
    ("DisableEndpoint", "endpoints disable"),
    ("EnableEndpoint", "endpoints enable"),
    ("GetAttempt", "attempts get"),
    ("GetChannel", "channels get"),
    ("GetDelivery", "deliveries get"),
    ("GetEndpoint", "endpoints get"),
    ("GetEndpointStats", "endpoints stats"),
    ("GetEvent", "events get"),
    ("GetKey", "keys get"),
    ("GetNotification", "notifications get"),
    ("GetReplay", "replays get"),
    ("ListAttempts", "attempts list"),
    ("ListAuditEntries", "audit list"),
    ("ListChannels", "channels list"),
    ("ListDeliveries", "deliveries list"),
    ("ListEndpoints", "endpoints list"),
    ("ListEventTypes", "events types"),
    ("ListEvents", "events list"),
    ("ListKeys", "keys list"),
    ("ListNotifications", "notifications list"),
    ("ListReplays", "replays list"),
    ("PublishEvent", "publish"),
    ("RetryDelivery", "deliveries retry"),
    ("RevealSecret", "endpoints reveal-secret"),
    ("RevokeKey", "keys revoke"),
    ("RotateSecret", "endpoints rotate-secret"),
    ("SendTest", "test"),
    ("StreamEvents", "publish --ndjson"),
    ("TestChannel", "channels test"),
    ("UpdateChannel", "channels update"),
    ("UpdateEndpoint", "endpoints update"),
    ("WatchDeliveries", "watch"),
    ("WatchEvents", "listen"),
    ("WatchReplay", "replays watch"),
    ("WhoAmI", "doctor"),
];

/// The words for texts about one command.
#[derive(Default)]
pub(crate) struct Wording {
    /// The option or argument that sets a field.
    options: BTreeMap<String, String>,
}

impl Wording {
    /// Of the command that was given.
    pub(crate) fn of(root: &clap::Command, matches: &ArgMatches) -> Wording {
        let (mut command, mut matches) = (root, matches);
        while let Some((name, below)) = matches.subcommand() {
            let Some(found) = command.find_subcommand(name) else { break };
            (command, matches) = (found, below);
        }
        let global = root.get_arguments().filter(|argument| argument.is_global_set());
        let options = command.get_arguments().chain(global).map(|argument| {
            let shown = match argument.get_long() {
                Some(long) => format!("--{long}"),
                None => {
                    argument.get_value_names().into_iter().flatten().map(|it| it.as_str()).collect()
                }
            };
            (argument.get_id().as_str().to_owned(), shown)
        });
        Wording { options: options.collect() }
    }

    /// A field at fault: the option that sets it, otherwise its path in the file of the command.
    pub(crate) fn field<'a>(&'a self, path: &'a str) -> &'a str {
        let name = path.rsplit('.').next().unwrap_or(path);
        let name = name.split('[').next().unwrap_or(name);
        if let Some(option) = self.option(name) {
            return option;
        }
        let resource = path.split_once('.').filter(|(first, _)| RESOURCES.contains(first));
        resource.map_or(path, |(_, field)| field)
    }

    /// A text with options, commands and short values for what the API calls otherwise.
    pub(crate) fn text(&self, text: &str) -> String {
        let is_of_word = |char: char| char.is_ascii_alphanumeric() || "_.".contains(char);
        let mut translated = String::new();
        let mut rest = text;
        while !rest.is_empty() {
            let end = rest.find(|char| !is_of_word(char)).unwrap_or(rest.len());
            let (run, after) = rest.split_at(end);
            // A full stop at its end is the sentence's.
            let word = run.trim_end_matches('.');
            translated.push_str(&self.word(word));
            translated.push_str(&run[word.len()..]);
            let next = after.find(is_of_word).unwrap_or(after.len());
            translated.push_str(&after[..next]);
            rest = &after[next..];
        }
        translated
    }

    fn word<'a>(&'a self, word: &'a str) -> Cow<'a, str> {
        if let Ok(found) = COMMANDS.binary_search_by_key(&word, |(method, _)| method) {
            return format!("`ktw {}`", COMMANDS[found].1).into();
        }
        // Without an underscore it may be a word of the sentence.
        if !word.contains('_') {
            return word.into();
        }
        match short_values().get(word) {
            Some(short) => short.as_str().into(),
            None => self.field(word).into(),
        }
    }

    fn option(&self, field: &str) -> Option<&str> {
        // Data is sent as text, which the API calls otherwise than data in a structure.
        let field = field.strip_suffix("_json").unwrap_or(field);
        self.options.get(field).map(String::as_str)
    }
}

/// What a request carries as a whole; files have the fields below.
const RESOURCES: [&str; 4] = ["channel", "endpoint", "key", "replay"];

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;
    use crate::arguments::Arguments;
    use crate::descriptors::methods;

    fn wording(arguments: &str) -> Wording {
        let words = std::iter::once("ktw").chain(arguments.split(' '));
        let mut root = Arguments::command();
        let matches = root.try_get_matches_from_mut(words).expect("arguments");
        Wording::of(&root, &matches)
    }

    #[test]
    fn a_field_is_the_option_that_sets_it() {
        for (command, field, option) in [
            ("endpoints create", "endpoint.display_name", "--name"),
            ("endpoints create", "endpoint.event_types[3]", "--event-types"),
            ("endpoints create", "endpoint.payload_template", "--template-file"),
            ("endpoints create", "endpoint.secret", "--secret-file"),
            ("endpoints create", "endpoint.routing_key", "--routing-key-file"),
            ("endpoints create", "endpoint_id", "--id"),
            ("endpoints update ep_1", "endpoint.payload_format", "--format"),
            ("endpoints get ep_1", "endpoint_id", "ENDPOINT"),
            ("publish a.b --data {}", "data_json", "--data"),
            ("publish a.b --data {}", "event_type", "TYPE"),
            ("replay ep_1 --scope all", "replay.deliveries_per_second", "--rate"),
            ("replay ep_1 --scope all", "replay.start_time", "--since"),
            ("deliveries list", "endpoint_ids[0]", "--endpoint"),
            ("deliveries list", "organization_id", "--organization"),
            ("channels create --file x", "channel.slack.url", "slack.url"),
            ("keys create --name x --role admin", "key.ttl", "--ttl"),
        ] {
            assert_eq!(wording(command).field(field), option, "{command}");
        }
    }

    #[test]
    fn texts_name_options_commands_and_short_values() {
        let wording = wording("replay ep_1 --scope all");
        for (text, translated) in [
            ("must be after start_time", "must be after --since"),
            ("is not one of ListEventTypes", "is not one of `ktw events types`"),
            ("(see ListEventTypes)", "(see `ktw events types`)"),
            (
                "is required: SCOPE_MISSED, SCOPE_FAILED or SCOPE_ALL",
                "is required: missed, failed or all",
            ),
            ("set replay.include_delivered.", "set --include-delivered."),
            (
                "the secret of policy_x, \u{201e}é\u{201c}",
                "the secret of policy_x, \u{201e}é\u{201c}",
            ),
        ] {
            assert_eq!(wording.text(text), translated);
        }
    }

    /// What no command calls: batches are streams here, and sessions are the console's.
    const WITHOUT_COMMAND: [&str; 5] =
        ["BatchPublishEvents", "CreateSession", "EndSession", "GetHealthSummary", "PreviewPayload"];

    #[test]
    fn every_method_has_its_command() {
        let named: Vec<_> = COMMANDS.iter().map(|(method, _)| *method).collect();
        assert!(named.is_sorted(), "they are searched by halves");
        let mut expected = methods();
        expected.retain(|method| !WITHOUT_COMMAND.contains(&method.as_str()));
        expected.sort();
        assert_eq!(named, expected);
        let root = Arguments::command();
        for (_, path) in COMMANDS {
            let mut command = &root;
            for name in path.split(' ').filter(|word| !word.starts_with('-')) {
                let found = command.find_subcommand(name);
                command = found.unwrap_or_else(|| panic!("there is no `ktw {path}`"));
            }
        }
    }
}
