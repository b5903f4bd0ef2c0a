//! Reading flags from the command line and from the environment, in the same way in every program:
//! each flag is also a variable, whose name is made of the flag's.

use std::collections::BTreeSet;
use std::ffi::OsString;

use clap::builder::Resettable;
use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::parser::ValueSource;
use clap::{Arg, ArgMatches, Command, CommandFactory, Error, FromArgMatches};
use keeptrusts_webhooks_store::vault::keyring::MASTER_KEY_VARIABLE;
use keeptrusts_webhooks_telemetry::print_stderr;

/// Which flags the environment has given, so that what is said about them names the variable and
/// not a flag that nobody wrote.
#[derive(Debug, Clone, Default)]
pub struct FromEnvironment {
    variables: Vec<Variable>,
}

#[derive(Debug, Clone)]
struct Variable {
    /// With its dashes.
    flag: String,
    name: String,
}

/// How the variables of all our programs begin.
const PREFIX: &str = "KEEPTRUSTS_WEBHOOKS_";

/// Flags that say what to do now. They have no variable: in an environment they would be a trap.
pub const WITHOUT_VARIABLE: [&str; 4] = ["check", "prepare", "retire", "yes"];

/// Reads the flags of this process. If they are wrong, or help is asked for, it says so and ends.
///
/// A variable that is empty is not given: `X=` is what compose files and unit files pass on when
/// nobody has set `X`.
pub fn read<F: CommandFactory + FromArgMatches>() -> (F, FromEnvironment) {
    let read = read_from(std::env::args_os().collect()).unwrap_or_else(|error| error.exit());
    let set = std::env::vars_os().map(|(name, _)| name.to_string_lossy().into_owned());
    for (name, meant) in misspelt(set, &variables_of(&command_of::<F>())) {
        print_stderr!("warning: {name} is set, which means nothing here: is {meant} meant?");
    }
    read
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
    let flag = argument.get_long().filter(|flag| !WITHOUT_VARIABLE.contains(flag))?;
    Some(format!("{PREFIX}{}", flag.replace('-', "_").to_uppercase()))
}

/// All variables that the command and its subcommands read.
fn variables_of(command: &Command) -> BTreeSet<String> {
    let own = command.get_arguments().filter_map(Arg::get_env);
    let own = own.map(|name| name.to_string_lossy().into_owned());
    own.chain(command.get_subcommands().flat_map(variables_of)).collect()
}

/// Names that are nearly those of variables of ours, with the ones that they are near to. (Others
/// that begin as ours do may be another program's: services share their environment files.)
fn misspelt(set: impl Iterator<Item = String>, known: &BTreeSet<String>) -> Vec<(String, String)> {
    /// Letters that are wrong, missing, too many, or in the wrong order.
    const NEAR: usize = 2;
    let is_unknown = |name: &String| {
        name.starts_with(PREFIX) && name != MASTER_KEY_VARIABLE && !known.contains(name)
    };
    let nearest = |name: String| {
        let distance = |known: &String| strsim::damerau_levenshtein(&name, known);
        let meant = known.iter().min_by_key(|known| distance(known))?;
        (distance(meant) <= NEAR).then(|| (name.clone(), meant.clone()))
    };
    set.filter(is_unknown).filter_map(nearest).collect()
}

fn read_from<F>(arguments: Vec<OsString>) -> Result<(F, FromEnvironment), Error>
where
    F: CommandFactory + FromArgMatches,
{
    let mut command = without_empty_variables(command_of::<F>());
    let matched = command.try_get_matches_from_mut(&arguments);
    let mut matches = matched.map_err(|error| match error.kind() {
        // Help names the variables that are empty, too.
        ErrorKind::DisplayHelp => {
            command_of::<F>().try_get_matches_from(&arguments).err().unwrap_or(error)
        }
        _ => naming_variables(error, &command, &arguments),
    })?;
    let given = FromEnvironment::of(&command, &matches);
    let flags = F::from_arg_matches_mut(&mut matches);
    Ok((flags.map_err(|error| error.format(&mut command))?, given))
}

fn without_empty_variables(command: Command) -> Command {
    let forget_empty = |argument: Arg| match variable_of(&argument) {
        Some((_, value)) if value.is_empty() => argument.env(Resettable::Reset),
        _ => argument,
    };
    command.mut_args(forget_empty).mut_subcommands(without_empty_variables)
}

/// The variable of an argument, if it is set.
fn variable_of(argument: &Arg) -> Option<(String, OsString)> {
    let name = argument.get_env()?;
    Some((name.to_string_lossy().into_owned(), std::env::var_os(name)?))
}

/// clap's errors name flags, also if a variable was at fault.
fn naming_variables(mut error: Error, command: &Command, arguments: &[OsString]) -> Error {
    let command = subcommand_of(command, arguments);
    let set = FromEnvironment::set_for(command, arguments);
    if let Some(ContextValue::String(usage)) = error.get(ContextKind::InvalidArg)
        && argument_of(command, usage).is_some_and(Arg::is_hide_env_values_set)
    {
        // What help does not show is shown to nobody.
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
        let tips = set.with_the_same_heading(command, &error);
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

/// The subcommand that the arguments lead to.
fn subcommand_of<'a>(command: &'a Command, arguments: &[OsString]) -> &'a Command {
    let names = arguments.iter().skip(1);
    names.fold(command, |command, name| command.find_subcommand(name).unwrap_or(command))
}

impl FromEnvironment {
    fn of(command: &Command, matches: &ArgMatches) -> FromEnvironment {
        let mut given = FromEnvironment::default();
        for argument in command.get_arguments() {
            let source = |_| matches.value_source(argument.get_id().as_str());
            if argument.get_env().and_then(source) == Some(ValueSource::EnvVariable) {
                given.variables.extend(Variable::of(argument));
            }
        }
        if let Some((name, matches)) = matches.subcommand()
            && let Some(command) = command.find_subcommand(name)
        {
            given.variables.extend(FromEnvironment::of(command, matches).variables);
        }
        given
    }

    /// The same where there are no matches, because something was wrong.
    fn set_for(command: &Command, arguments: &[OsString]) -> FromEnvironment {
        let mut given = FromEnvironment::default();
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

    /// A text in which flags that the environment has given have their variables' names.
    pub fn name_in(&self, text: &str) -> String {
        let mut said = String::with_capacity(text.len());
        let mut rest = text;
        while let Some(at) = rest.find("--") {
            let (before, from) = rest.split_at(at);
            let is_of_a_flag = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
            let end = from.find(|c| !is_of_a_flag(c)).unwrap_or(from.len());
            let (flag, after) = from.split_at(end);
            said.push_str(before);
            said.push_str(self.variable(flag).unwrap_or(flag));
            rest = after;
        }
        said.push_str(rest);
        said
    }

    fn variable(&self, flag: &str) -> Option<&str> {
        let variable = self.variables.iter().find(|variable| variable.flag == flag);
        variable.map(|variable| variable.name.as_str())
    }

    /// `KEEPTRUSTS_WEBHOOKS_LISTEN` for clap's `--listen <ADDRESS>`.
    fn name_for(&self, usage: &str) -> String {
        self.variable(flag_in(usage)).unwrap_or(usage).to_owned()
    }

    /// What is missing may be needed because of a variable: those of the same kind are named, which
    /// have the same heading and begin with the same word.
    fn with_the_same_heading(
        &self,
        command: &Command,
        error: &Error,
    ) -> Vec<clap::builder::StyledStr> {
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
    fn every_flag_has_a_variable_but_those_that_say_what_to_do_now() {
        let variables = variables_of(&command_of::<Program>());
        let expected = ["DATA_DIR", "LOG_LEVEL"].map(|name| format!("{PREFIX}{name}"));
        assert_eq!(variables, BTreeSet::from(expected));
    }

    #[test]
    fn a_variable_that_is_nearly_one_of_ours_is_misspelt_and_others_are_not_ours() {
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
    fn flags_that_the_environment_has_given_are_called_by_their_variables() {
        let variable = |flag: &str, name: &str| Variable { flag: flag.into(), name: name.into() };
        let given = FromEnvironment {
            variables: vec![variable("--listen", "X_LISTEN"), variable("--tls-cert", "X_CERT")],
        };
        for (text, named) in [
            ("choose another with --listen", "choose another with X_LISTEN"),
            ("--tls-cert, --tls-key and --listen-no", "X_CERT, --tls-key and --listen-no"),
            ("the --tls-cert file -- is not one --", "the X_CERT file -- is not one --"),
            ("nothing", "nothing"),
        ] {
            assert_eq!(given.name_in(text), named);
        }
        assert_eq!(given.name_for("--listen <ADDRESS>"), "X_LISTEN");
        assert_eq!(given.name_for("--tls-key <FILE>"), "--tls-key <FILE>");
    }
}
