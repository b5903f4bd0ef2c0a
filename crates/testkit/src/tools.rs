//! Programs that `cargo xtask tools` found or installed. `cargo xtask test` says where in
//! the environment; without it they are looked for under the workspace's `target/tools`,
//! so that plain `cargo test` works too.

use std::env;
use std::path::{Path, PathBuf};

/// The directory with Postgres' `initdb`, `postgres`, `psql` and `pg_isready`, links
/// resolved: an unprivileged user may be barred from the path to the link.
pub fn postgres_bin() -> PathBuf {
    let directory = env::var_os("KEEPTRUSTS_TEST_PG_BIN")
        .map_or_else(|| directory().join("postgres"), PathBuf::from);
    present(directory).canonicalize().expect("a directory that exists has a canonical path")
}

/// PgBouncer.
pub fn pgbouncer() -> PathBuf {
    present(directory().join("pgbouncer"))
}

/// The Python interpreter that has the `standardwebhooks` package.
pub fn python() -> PathBuf {
    present(directory().join("python/bin/python"))
}

/// The real grpcurl.
pub fn grpcurl() -> PathBuf {
    present(directory().join("python/bin/grpcurl"))
}

/// Prometheus' own judge of what it would scrape.
pub fn promtool() -> PathBuf {
    present(directory().join("promtool"))
}

/// A Chromium.
pub fn chromium() -> PathBuf {
    present(directory().join("browser/chromium"))
}

/// Its WebDriver.
pub fn chromedriver() -> PathBuf {
    present(directory().join("browser/chromedriver"))
}

/// axe-core, a script that finds what keeps people from using a page.
pub fn axe() -> PathBuf {
    present(directory().join("node/node_modules/axe-core/axe.min.js"))
}

/// The folder of npm's packages: those with the types and schemas that vendors publish, among
/// others.
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
