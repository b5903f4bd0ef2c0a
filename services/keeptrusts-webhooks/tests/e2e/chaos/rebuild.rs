//! `keeptrusts-webhooks log rebuild`.

use keeptrusts_webhooks_testkit::process::Launch;

use crate::platform::{Database, PATIENCE};

/// Checks that every row is what the log says (invariant 7).
pub(crate) async fn check_tables(database: &Database) {
    run(database, &["--check"]).await;
}

pub(crate) async fn rebuild_tables(database: &Database) {
    run(database, &[]).await;
}

async fn run(database: &Database, arguments: &[&str]) {
    let launch = Launch::binary("keeptrusts-webhooks").args(["log", "rebuild"]);
    let mut process = launch.args(database.flags()).args(arguments).start();
    let status = process.wait_exit(2 * PATIENCE).await;
    assert!(status.success(), "log rebuild {arguments:?} ended with {status}");
}
