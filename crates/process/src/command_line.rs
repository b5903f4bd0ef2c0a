//! Parses flags from the command line and from the environment, the same in every program. Each flag
//! `--data-dir` is also a variable `KEEPTRUSTS_WEBHOOKS_DATA_DIR`.

use std::collections::BTreeSet;
use std::ffi::OsString;

use clap::builder::Resettable;
use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::parser::ValueSource;
use clap::{Arg, ArgMatches, Command, CommandFactory, Error, FromArgMatches};
use keeptrusts_webhooks_store::vault::keyring::MASTER_KEY_VARIABLE;
use keeptrusts_webhooks_telemetry::print_stderr;

/// The flags that the environment has given. Errors name their variables instead of flags that
/// nobody wrote.
#[derive(Debug, Clone, Default)]
pub struct EnvironmentFlags {
    variables: Vec<Variable>,
}

#[derive(Debug, Clone)]
struct Variable {
    /// With its dashes.
    flag: String,
    name: String,
}

const PREFIX: &str = "KEEPTRUSTS_WEBHOOKS_";

/// Flags that tell a command what to do. They have no variable: one that is left in the environment
/// would be dangerous.
pub const FLAGS_WITHOUT_VARIABLE: [&str; 4] = ["check", "prepare", "retire", "yes"];

/// Parses the flags of this process. Prints errors or help and exits if there are any.
///
/// An empty variable counts as not set: compose files and unit files pass on `X=` when nobody has
/// set `X`.
pub fn parse<F: CommandFactory + FromArgMatches>() -> (F, EnvironmentFlags) {
    let parsed = parse_from(std::env::args_os().collect()).unwrap_or_else(|error| error.exit());
    let set = std::env::vars_os().map(|(name, _)| name.to_string_lossy().into_owned());
    for (name, meant) in misspelt(set, &variables_of(&command_of::<F>())) {
        print_stderr!("warning: {name} is set, which means nothing here: is {meant} meant?");
    }
    parsed
}

/// The command of a program, with a variable for each flag.
fn command_of<F: CommandFactory>() -> Command {
    with_variables(F::command())
}

fn with_variables(command: Command) -> Command {
    let with_variable = |argument: Arg| match variable_for(&argument) {
        Some(name) => argument.env(name),
        None => argument,
    };
    command.mut_args(with_variable).mut_subcommands(with_variables)
}

/// `KEEPTRUSTS_WEBHOOKS_DATA_DIR` for `--data-dir`.
fn variable_for(argument: &Arg) -> Option<String> {
    let flag = argument.get_long().filter(|flag| !FLAGS_WITHOUT_VARIABLE.contains(flag))?;
    Some(format!("{PREFIX}{}", flag.replace('-', "_").to_uppercase()))
}

/// The variables of the command and its subcommands.
fn variables_of(command: &Command) -> BTreeSet<String> {
    let own = command.get_arguments().filter_map(Arg::get_env);
    let own = own.map(|name| name.to_string_lossy().into_owned());
    own.chain(command.get_subcommands().flat_map(variables_of)).collect()
}

/// Names that look like typing errors, each with the variable that was probably meant. Other names
/// with our prefix may belong to another program: services share their environment files.
fn misspelt(set: impl Iterator<Item = String>, known: &BTreeSet<String>) -> Vec<(String, String)> {
    const MAX_EDIT_DISTANCE: usize = 2;
    let is_unknown = |name: &String| {
        name.starts_with(PREFIX) && name != MASTER_KEY_VARIABLE && !known.contains(name)
    };
    let nearest = |name: String| {
        let distance = |known: &String| strsim::damerau_levenshtein(&name, known);
        let meant = known.iter().min_by_key(|known| distance(known))?;
        (distance(meant) <= MAX_EDIT_DISTANCE).then(|| (name.clone(), meant.clone()))
    };
    set.filter(is_unknown).filter_map(nearest).collect()
}

fn parse_from<F>(arguments: Vec<OsString>) -> Result<(F, EnvironmentFlags), Error>
where
    F: CommandFactory + FromArgMatches,
{
    let mut command = without_empty_variables(command_of::<F>());
    let matched = command.try_get_matches_from_mut(&arguments);
    let mut matches = matched.map_err(|error| match error.kind() {
        // Help lists empty variables as well.
        ErrorKind::DisplayHelp => {
            command_of::<F>().try_get_matches_from(&arguments).err().unwrap_or(error)
        }
        _ => naming_variables(error, &command, &arguments),
    })?;
    let given = EnvironmentFlags::of(&command, &matches);
    let flags = F::from_arg_matches_mut(&mut matches);
    Ok((flags.map_err(|error| error.format(&mut command))?, given))
}

fn without_empty_variables(command: Command) -> Command {
    let reset_empty = |argument: Arg| match variable_of(&argument) {
        Some((_, value)) if value.is_empty() => argument.env(Resettable::Reset),
        _ => argument,
    };
    command.mut_args(reset_empty).mut_subcommands(without_empty_variables)
}

/// The name and value of an argument's variable, if it is set.
fn variable_of(argument: &Arg) -> Option<(String, OsString)> {
    let name = argument.get_env()?;
    Some((name.to_string_lossy().into_owned(), std::env::var_os(name)?))
}

/// Replaces flags in clap's error by the variables that they came from.
fn naming_variables(mut error: Error, command: &Command, arguments: &[OsString]) -> Error {
    let command = subcommand_of(command, arguments);
    let set = EnvironmentFlags::of_refused(command, arguments);
    if let Some(ContextValue::String(usage)) = error.get(ContextKind::InvalidArg)
        && argument_of(command, usage).is_some_and(Arg::is_hide_env_values_set)
    {
        // Help hides this value because it may be secret.
        let hidden = ContextValue::String("(not shown)".to_owned());
        error.insert(ContextKind::InvalidValue, hidden);
    }
    for kind in [ContextKind::InvalidArg, ContextKind::PriorArg] {
        let named = match error.get(kind) {
            Some(ContextValue::String(text)) => ContextValue::String(set.name_for(text)),
            Some(ContextValue::Strings(texts)) if error.kind() == ErrorKind::ArgumentConflict => {
                ContextValue::Strings(texts.iter().map(|text| set.name_for(text)).collect())
            }
            _ => continue,
        };
        error.insert(kind, named);
    }
    if error.kind() == ErrorKind::MissingRequiredArgument {
        let tips = set.related_variables(command, &error);
        if !tips.is_empty() {
            error.insert(ContextKind::Suggested, ContextValue::StyledStrs(tips));
        }
    }
    error
}

/// The argument that clap's errors write as `--listen <ADDRESS>`.
fn argument_of<'a>(command: &'a Command, usage: &str) -> Option<&'a Arg> {
    let flag = flag_in(usage).strip_prefix("--")?;
    command.get_arguments().find(|argument| argument.get_long() == Some(flag))
}

/// `--listen` of `--listen <ADDRESS>`.
fn flag_in(usage: &str) -> &str {
    usage.split([' ', '=', '[']).next().unwrap_or(usage)
}

/// `oidc` of `--oidc-audience <AUDIENCE>`.
fn first_word(usage: &str) -> Option<String> {
    Some(flag_in(usage).strip_prefix("--")?.split('-').next()?.to_owned())
}

fn subcommand_of<'a>(command: &'a Command, arguments: &[OsString]) -> &'a Command {
    let names = arguments.iter().skip(1);
    names.fold(command, |command, name| command.find_subcommand(name).unwrap_or(command))
}

impl EnvironmentFlags {
    fn of(command: &Command, matches: &ArgMatches) -> EnvironmentFlags {
        let mut given = EnvironmentFlags::default();
        for argument in command.get_arguments() {
            let source = |_| matches.value_source(argument.get_id().as_str());
            if argument.get_env().and_then(source) == Some(ValueSource::EnvVariable) {
                given.variables.extend(Variable::of(argument));
            }
        }
        if let Some((name, matches)) = matches.subcommand()
            && let Some(command) = command.find_subcommand(name)
        {
            given.variables.extend(EnvironmentFlags::of(command, matches).variables);
        }
        given
    }

    /// Like [`of`](Self::of), for command lines that clap has refused.
    fn of_refused(command: &Command, arguments: &[OsString]) -> EnvironmentFlags {
        let mut given = EnvironmentFlags::default();
        for variable in command.get_arguments().filter_map(Variable::of) {
            let is_written = arguments.iter().any(|argument| {
                let argument = argument.to_string_lossy();
                argument.split('=').next() == Some(variable.flag.as_str())
            });
            if !is_written {
                given.variables.push(variable);
            }
        }
        given
    }

    /// Replaces flags in a text by the variables that they came from.
    pub fn with_variables(&self, text: &str) -> String {
        let mut replaced = String::with_capacity(text.len());
        let mut rest = text;
        while let Some(at) = rest.find("--") {
            let (before, from) = rest.split_at(at);
            let is_of_a_flag = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
            let end = from.find(|c| !is_of_a_flag(c)).unwrap_or(from.len());
            let (flag, after) = from.split_at(end);
            replaced.push_str(before);
            replaced.push_str(self.variable(flag).unwrap_or(flag));
            rest = after;
        }
        replaced.push_str(rest);
        replaced
    }

    fn variable(&self, flag: &str) -> Option<&str> {
        let variable = self.variables.iter().find(|variable| variable.flag == flag);
        variable.map(|variable| variable.name.as_str())
    }

    /// `KEEPTRUSTS_WEBHOOKS_LISTEN` for clap's `--listen <ADDRESS>`.
    fn name_for(&self, usage: &str) -> String {
        self.variable(flag_in(usage)).unwrap_or(usage).to_owned()
    }

    /// Hints for a missing flag, which may be required because a related variable is set: one whose
    /// flag has the same heading and begins with the same word.
    fn related_variables(&self, command: &Command, error: &Error) -> Vec<clap::builder::StyledStr> {
        let Some(ContextValue::Strings(missing)) = error.get(ContextKind::InvalidArg) else {
            return Vec::new();
        };
        let heading_of = |usage: &str| argument_of(command, usage)?.get_help_heading();
        let kind_of = |usage: &str| Some((heading_of(usage)?.to_owned(), first_word(usage)?));
        let kinds: Vec<_> = missing.iter().filter_map(|flag| kind_of(flag)).collect();
        let is_related = |variable: &&Variable| {
            kind_of(&variable.flag).is_some_and(|kind| kinds.contains(&kind))
        };
        let related = self.variables.iter().filter(is_related);
        related.map(|variable| format!("{} is set", variable.name).into()).collect()
    }
}

impl Variable {
    fn of(argument: &Arg) -> Option<Variable> {
        let (name, value) = variable_of(argument)?;
        let flag = format!("--{}", argument.get_long()?);
        (!value.is_empty()).then_some(Variable { flag, name })
    }
}

#[cfg(test)]
mod tests {
    use clap::{Parser, Subcommand};

    use super::*;

    #[derive(Debug, Parser)]
    struct Program {
        #[arg(long)]
        data_dir: Option<String>,

        #[command(subcommand)]
        command: Rebuild,
    }

    #[derive(Debug, Subcommand)]
    enum Rebuild {
        Rebuild {
            shard: Option<String>,

            #[arg(long)]
            log_level: Option<String>,

            #[arg(long)]
            check: bool,
        },
    }

    #[test]
    fn every_flag_has_a_variable_except_those_that_tell_a_command_what_to_do() {
        let variables = variables_of(&command_of::<Program>());
        let expected = ["DATA_DIR", "LOG_LEVEL"].map(|name| format!("{PREFIX}{name}"));
        assert_eq!(variables, BTreeSet::from(expected));
    }

    #[test]
    fn a_variable_is_misspelt_if_it_is_close_to_a_known_one() {
        let known = ["DATABASE_URL", "DATA_DIR", "LISTEN"].map(|name| format!("{PREFIX}{name}"));
        let known = BTreeSet::from(known);
        for (name, meant) in [
            ("DATABSE_URL", Some("DATABASE_URL")),
            ("DATA_DRI", Some("DATA_DIR")),
            ("DATABASE_URL", None),
            ("MASTER_KEY", None),
            ("CONSOLE_LISTEN", None),
        ] {
            let name = format!("{PREFIX}{name}");
            let found = misspelt([name.clone(), "PATH".to_owned()].into_iter(), &known);
            let expected = meant.map(|meant| (name, format!("{PREFIX}{meant}")));
            assert_eq!(found, Vec::from_iter(expected));
        }
    }

    #[test]
    fn flags_from_the_environment_are_replaced_by_their_variables() {
        let variable = |flag: &str, name: &str| Variable { flag: flag.into(), name: name.into() };
        let given = EnvironmentFlags {
            variables: vec![variable("--listen", "X_LISTEN"), variable("--tls-cert", "X_CERT")],
        };
        for (text, named) in [
            ("choose another with --listen", "choose another with X_LISTEN"),
            ("--tls-cert, --tls-key and --listen-no", "X_CERT, --tls-key and --listen-no"),
            ("the --tls-cert file -- is not one --", "the X_CERT file -- is not one --"),
            ("nothing", "nothing"),
        ] {
            assert_eq!(given.with_variables(text), named);
        }
        assert_eq!(given.name_for("--listen <ADDRESS>"), "X_LISTEN");
        assert_eq!(given.name_for("--tls-key <FILE>"), "--tls-key <FILE>");
    }
}
