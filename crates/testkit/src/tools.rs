//! Paths of programs that `cargo xtask tools` found or installed. `cargo xtask test` sets them in the
//! environment. Without it, the workspace's `target/tools` is used, so that plain `cargo test` works.

use std::env;
use std::path::{Path, PathBuf};

/// The directory with Postgres's `initdb`, `postgres`, `psql` and `pg_isready`. Links are resolved,
/// because an unprivileged user may have no access to the link.
pub fn postgres_bin() -> PathBuf {
    let directory = env::var_os("KEEPTRUSTS_TEST_PG_BIN")
        .map_or_else(|| directory().join("postgres"), PathBuf::from);
    present(directory).canonicalize().expect("a directory that exists has a canonical path")
}

pub fn pgbouncer() -> PathBuf {
    present(directory().join("pgbouncer"))
}

/// The Python with the `standardwebhooks` package.
pub fn python() -> PathBuf {
    present(directory().join("python/bin/python"))
}

pub fn grpcurl() -> PathBuf {
    present(directory().join("python/bin/grpcurl"))
}

/// Prometheus's checker of scrapes and rules.
pub fn promtool() -> PathBuf {
    present(directory().join("promtool"))
}

pub fn chromium() -> PathBuf {
    present(directory().join("browser/chromium"))
}

pub fn chromedriver() -> PathBuf {
    present(directory().join("browser/chromedriver"))
}

/// axe-core, a script of accessibility checks.
pub fn axe() -> PathBuf {
    present(directory().join("node/node_modules/axe-core/axe.min.js"))
}

/// The folder of npm packages, among them vendors' types and schemas.
pub fn node_modules() -> PathBuf {
    present(directory().join("node/node_modules"))
}

fn directory() -> PathBuf {
    env::var_os("KEEPTRUSTS_TEST_TOOLS").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/tools"),
        PathBuf::from,
    )
}

fn present(path: PathBuf) -> PathBuf {
    assert!(path.exists(), "{} is missing: run `cargo xtask tools` once", path.display());
    path
}
