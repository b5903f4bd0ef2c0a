//! `ktw`: the command line of Keeptrusts Webhooks. A client of the API like everybody else: it knows
//! only `proto/`, through the client crate.
//!
//! A command is a file of [`commands`]: it reads its arguments, calls the API through the
//! [`session`], and hands JSON of the answers to the [`output`].

mod arguments;
mod commands;
mod completion;
mod connection;
mod descriptors;
mod failure;
mod files;
mod names;
mod offers;
mod options;
mod output;
mod profiles;
mod progress;
mod prompt;
mod references;
mod session;
mod times;
mod watching;
mod wording;

use std::process::ExitCode;

use clap::{CommandFactory, FromArgMatches};
use clap_complete::CompleteEnv;

use crate::arguments::{Arguments, Command};
use crate::failure::Failure;
use crate::session::Session;
use crate::wording::Wording;

fn main() -> ExitCode {
    completion::set_source(offers::of);
    CompleteEnv::with_factory(Arguments::command).var(completion::VARIABLE).complete();
    let mut root = Arguments::command();
    let matches = root.get_matches_mut();
    let arguments = match Arguments::from_arg_matches(&matches) {
        Ok(arguments) => arguments,
        Err(error) => error.format(&mut root).exit(),
    };
    output::color(arguments.output.color);
    let result = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => {
            let result = runtime.block_on(run(arguments));
            // It would wait for a line of stdin that nobody wants any more.
            runtime.shutdown_background();
            result
        }
        Err(error) => Err(Failure::local("start", error)),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            let text = failure.text_in(&Wording::of(&root, &matches));
            if !text.is_empty() {
                output::message(&text);
            }
            failure.status()
        }
    }
}

async fn run(arguments: Arguments) -> Result<(), Failure> {
    let Arguments { connection, output, command } = arguments;
    // These need no server.
    let command = match command {
        Command::Profiles(command) => return command.run(&connection, output).await,
        Command::Verify(verify) => return verify.run(&output.output()),
        Command::Completions(completions) => return completions.run(),
        Command::Man(man) => return man.run(Arguments::command()),
        command => command,
    };
    let session = Session::new(&connection, output)?;
    // Whether a server is there shows also without a key.
    if session.key_source.is_none() && !matches!(command, Command::Doctor(_)) {
        return Err(connection::no_key());
    }
    match command {
        Command::Endpoints(command) => command.run(&session).await,
        Command::Events(command) => command.run(&session).await,
        Command::Deliveries(command) => command.run(&session).await,
        Command::Attempts(command) => command.run(&session).await,
        Command::Replays(command) => command.run(&session).await,
        Command::Replay(replay) => replay.run(&session).await,
        Command::Channels(command) => command.run(&session).await,
        Command::Notifications(command) => command.run(&session).await,
        Command::Keys(command) => command.run(&session).await,
        Command::Audit(command) => command.run(&session).await,
        Command::Publish(publish) => publish.run(&session).await,
        Command::Trigger(trigger) => trigger.run(&session).await,
        Command::Test(test) => test.run(&session).await,
        Command::Watch(watch) => watch.run(&session).await,
        Command::Listen(listen) => listen.run(&session).await,
        Command::Doctor(doctor) => doctor.run(&session).await,
        Command::Profiles(_) | Command::Verify(_) | Command::Completions(_) | Command::Man(_) => {
            Ok(())
        }
    }
}
