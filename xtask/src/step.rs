//! The steps that make up `cargo xtask test` and `cargo xtask lint`: what each one runs,
//! what it needs, and how a list of them is run and reported.

use std::collections::BTreeSet;
use std::process::Command;
use std::time::{Duration, Instant};

use crate::failure::{Failure, Result};
use crate::tools::{self, Tool};
use crate::unit_tests::POSTGRES_TESTS;
use crate::{clients, deployment, proto_baseline, shell, supply_chain, unit_tests, workspace};

/// One command that must succeed.
pub(crate) struct Step {
    /// As given to `cargo xtask test`.
    pub(crate) name: &'static str,
    /// One line for `--list`.
    pub(crate) about: &'static str,
    tools: &'static [Tool],
    /// Runs what the `build` step builds.
    needs_build: bool,
    /// Needs what CI does not have, so that it runs only when it is named.
    on_request: bool,
    work: Work,
}

/// What a step does.
enum Work {
    /// Runs a command; none if there is nothing to check yet.
    Command(fn() -> Result<Option<Command>>),
    /// Runs several commands.
    Function(fn() -> Result),
}

/// Every step, the quickest verdicts first.
///
/// All cargo steps name the whole workspace: with a part of it, cargo would choose other
/// features for the dependencies and compile them again.
///
/// cargo-nextest is not used: it gives each test a process of its own, while the tests of a binary
/// share one Postgres cluster. The unit tests' binaries run at the same time (see
/// [`unit_tests`](crate::unit_tests)); those of the store that need a server are a step of their own.
pub(crate) const STEPS: &[Step] = &[
    Step {
        name: "fmt",
        about: "the code is formatted",
        tools: &[],
        needs_build: false,
        on_request: false,
        work: Work::Command(|| cargo(&["fmt", "--all", "--check"])),
    },
    Step {
        name: "buf",
        about: "the protos pass buf's STANDARD lint rules",
        tools: &[Tool::Node],
        needs_build: false,
        on_request: false,
        work: Work::Command(|| {
            let mut command = Command::new(tools::buf());
            command.arg("lint").current_dir(workspace::root());
            Ok(Some(command))
        }),
    },
    Step {
        name: "proto-format",
        about: "the protos have buf's format",
        tools: &[Tool::Node],
        needs_build: false,
        on_request: false,
        work: Work::Command(|| {
            let mut command = Command::new(tools::buf());
            command.args(["format", "--diff", "--exit-code"]).current_dir(workspace::root());
            Ok(Some(command))
        }),
    },
    Step {
        name: "proto-breaking",
        about: "the protos break nothing of the last release's",
        tools: &[Tool::Node],
        needs_build: false,
        on_request: false,
        work: Work::Command(|| {
            let mut command = Command::new(tools::buf());
            command.args(["breaking", "--against", proto_baseline::PATH]);
            command.current_dir(workspace::root());
            Ok(Some(command))
        }),
    },
    Step {
        name: "clients",
        about: "the generated code of clients/ is what the protos say",
        tools: clients::TOOLS,
        needs_build: false,
        on_request: false,
        work: Work::Command(|| Ok(Some(clients::check()))),
    },
    Step {
        name: "deny",
        about: "the dependencies keep to deny.toml: licences, banned crates, sources",
        tools: &[Tool::Python],
        needs_build: false,
        on_request: false,
        work: Work::Command(|| Ok(Some(supply_chain::rules()))),
    },
    Step {
        name: "yanked",
        about: "no crate that is built has been yanked; asks crates.io",
        tools: &[Tool::Python],
        needs_build: false,
        on_request: false,
        work: Work::Command(|| supply_chain::yanked().map(Some)),
    },
    Step {
        name: "advisories",
        about: "no crate has an advisory of RustSec (only when it is named: needs GitHub)",
        tools: &[Tool::Python],
        needs_build: false,
        on_request: true,
        work: Work::Command(|| Ok(Some(supply_chain::advisories()))),
    },
    Step {
        name: "prometheus",
        about: "Prometheus accepts its configuration and its rules",
        tools: &[Tool::Prometheus],
        needs_build: false,
        on_request: false,
        work: Work::Command(|| Ok(Some(deployment::prometheus()))),
    },
    Step {
        name: "alerts",
        about: "each alert fires when it should, and not when it should not",
        tools: &[Tool::Prometheus],
        needs_build: false,
        on_request: false,
        work: Work::Command(deployment::alerts),
    },
    Step {
        name: "compose",
        about: "compose accepts deploy/compose.yaml",
        tools: &[Tool::Deployment],
        needs_build: false,
        on_request: false,
        work: Work::Command(deployment::compose),
    },
    Step {
        name: "dockerfile",
        about: "hadolint has no objection to deploy/Dockerfile",
        tools: &[Tool::Deployment],
        needs_build: false,
        on_request: false,
        work: Work::Command(|| Ok(Some(deployment::dockerfile()))),
    },
    Step {
        name: "proxy",
        about: "Caddy accepts its configuration, with secrets as make-secrets.sh makes them",
        tools: &[Tool::Deployment],
        needs_build: false,
        on_request: false,
        work: Work::Command(deployment::proxy),
    },
    Step {
        name: "clippy",
        about: "clippy has no warning",
        tools: &[],
        needs_build: false,
        on_request: false,
        work: Work::Command(|| {
            cargo(&["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"])
        }),
    },
    Step {
        name: "build",
        about: "the binaries and the tests build, all in one go",
        tools: &[],
        needs_build: false,
        on_request: false,
        work: Work::Command(|| cargo(&["build", "--workspace", "--bins", "--tests"])),
    },
    Step {
        name: "unit",
        about: "unit tests of every package, but for those that need a Postgres server",
        tools: &[],
        // They start no binary: after a change, only what they are made of is built.
        needs_build: false,
        on_request: false,
        work: Work::Function(|| unit_tests::run(&tools::environment())),
    },
    Step {
        name: "postgres",
        about: "the unit tests that need a Postgres server: two thirds of their time",
        tools: &[Tool::PgBouncer, Tool::Postgres],
        needs_build: false,
        on_request: false,
        work: Work::Command(|| {
            cargo(&["test", "--workspace", "--lib", "--bins", "--", POSTGRES_TESTS])
        }),
    },
    Step {
        name: "conformance",
        about: "integration tests of the crates: the store's backends held to one contract",
        tools: &[Tool::Browser, Tool::Node, Tool::Postgres, Tool::Python],
        needs_build: true,
        on_request: false,
        work: Work::Command(|| cargo_integration_tests("crates")),
    },
    Step {
        name: "examples",
        about: "the examples in the client's documentation compile and run",
        tools: &[],
        needs_build: false,
        on_request: false,
        work: Work::Command(|| {
            cargo(&["test", "--package", "keeptrusts-webhooks-client", "--doc"])
        }),
    },
    Step {
        name: "package",
        about: "the client's package builds by itself, as crates.io would have it",
        tools: &[],
        needs_build: false,
        on_request: false,
        work: Work::Command(|| {
            let publish = ["publish", "--package", "keeptrusts-webhooks-client"];
            cargo(&[&publish[..], &["--dry-run", "--allow-dirty"]].concat())
        }),
    },
    Step {
        name: "e2e",
        about: "end-to-end tests of the services, over real processes, databases and a browser",
        tools: &[Tool::Browser, Tool::Node, Tool::Postgres, Tool::Prometheus, Tool::Python],
        needs_build: true,
        on_request: false,
        work: Work::Command(|| cargo_integration_tests("services")),
    },
    Step {
        name: "clients-test",
        about: "the clients for Python, TypeScript and Go, against a real server",
        tools: clients::TOOLS,
        needs_build: true,
        on_request: false,
        work: Work::Function(clients::test),
    },
];

fn cargo(arguments: &[&str]) -> Result<Option<Command>> {
    Ok(Some(workspace::cargo(arguments)))
}

/// Chosen by name over the whole workspace (see [`STEPS`]), so a name should not be used
/// both under `crates` and under `services`: it would run in both steps.
fn cargo_integration_tests(folder: &str) -> Result<Option<Command>> {
    let names = workspace::integration_tests(folder)?;
    if names.is_empty() {
        return Ok(None);
    }
    let mut command = workspace::cargo(&["test", "--workspace"]);
    for name in &names {
        command.args(["--test", name]);
    }
    Ok(Some(command))
}

/// The steps that run when none is named.
pub(crate) fn all() -> Vec<&'static Step> {
    STEPS.iter().filter(|step| !step.on_request).collect()
}

/// Chooses steps by name, in the order of [`STEPS`], with `build` before those that run
/// what it builds.
pub(crate) fn choose<S: AsRef<str>>(names: &[S]) -> Result<Vec<&'static Step>> {
    let wanted: BTreeSet<&str> = names.iter().map(AsRef::as_ref).collect();
    let known: BTreeSet<&str> = STEPS.iter().map(|step| step.name).collect();
    if let Some(unknown) = wanted.difference(&known).next() {
        let all: Vec<&str> = STEPS.iter().map(|step| step.name).collect();
        return Err(Failure::new(format!(
            "there is no step `{unknown}`; the steps are {}",
            all.join(", ")
        )));
    }
    let is_wanted = |step: &&Step| wanted.contains(step.name);
    let build = STEPS.iter().filter(is_wanted).any(|step| step.needs_build);
    Ok(STEPS.iter().filter(|step| is_wanted(step) || (build && step.name == "build")).collect())
}

/// Runs the steps in order, reports each one's time, and stops at the first failure.
pub(crate) fn run_all(steps: &[&Step]) -> Result {
    let started = Instant::now();
    let mut times = Vec::new();

    let wanted: BTreeSet<Tool> = steps.iter().flat_map(|step| step.tools.iter().copied()).collect();
    if !wanted.is_empty() {
        println!("==> tools: find or install what the tests need");
        let began = Instant::now();
        tools::prepare(&wanted)?;
        report(&mut times, "tools", began.elapsed());
    }

    for step in steps {
        let began = Instant::now();
        let result = match step.work {
            Work::Function(function) => {
                println!("==> {}: {}", step.name, step.about);
                function()
            }
            Work::Command(command) => {
                let Some(mut command) = command()? else {
                    println!("==> {}: nothing to run yet", step.name);
                    continue;
                };
                println!("==> {}: {}", step.name, shell::words(&command));
                command.envs(tools::environment());
                shell::run(&mut command)
            }
        };
        result.map_err(|failure| {
            Failure::new(format!(
                "step `{name}` failed after {}: {failure}\n\
                 to run only this step: cargo xtask test {name}",
                in_words(began.elapsed()),
                name = step.name
            ))
        })?;
        report(&mut times, step.name, began.elapsed());
    }

    println!("\nall passed");
    for (name, time) in times {
        println!("  {name:<14} {:>12}", in_words(time));
    }
    println!("  {:<14} {:>12}", "total", in_words(started.elapsed()));
    Ok(())
}

fn report(times: &mut Vec<(&'static str, Duration)>, name: &'static str, time: Duration) {
    println!("    {name} passed in {}\n", in_words(time));
    times.push((name, time));
}

fn in_words(time: Duration) -> String {
    let seconds = time.as_secs_f64();
    if seconds < 60.0 {
        format!("{seconds:.1} s")
    } else {
        format!("{} min {:02} s", time.as_secs() / 60, time.as_secs() % 60)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(steps: &[&Step]) -> Vec<&'static str> {
        steps.iter().map(|step| step.name).collect()
    }

    #[test]
    fn a_step_that_runs_binaries_brings_the_build_with_it() {
        assert_eq!(names(&choose(&["e2e"]).unwrap()), ["build", "e2e"]);
    }

    #[test]
    fn unit_tests_wait_for_nothing_that_they_do_not_run() {
        assert_eq!(names(&choose(&["unit"]).unwrap()), ["unit"]);
    }

    #[test]
    fn chosen_steps_run_in_the_fixed_order_and_once() {
        let chosen = choose(&["clippy", "fmt", "clippy"]).unwrap();
        assert_eq!(names(&chosen), ["fmt", "clippy"]);
    }

    #[test]
    fn a_step_that_needs_more_than_registries_runs_only_when_it_is_named() {
        assert!(!names(&all()).contains(&"advisories"));
        assert_eq!(names(&choose(&["advisories"]).unwrap()), ["advisories"]);
    }

    #[test]
    fn an_unknown_step_is_refused_with_the_known_ones() {
        let failure = choose(&["e2f"]).err().unwrap().to_string();
        assert!(failure.contains("`e2f`") && failure.contains("e2e"), "{failure}");
    }

    #[test]
    fn times_are_readable() {
        assert_eq!(in_words(Duration::from_millis(1_240)), "1.2 s");
        assert_eq!(in_words(Duration::from_secs(125)), "2 min 05 s");
    }
}
