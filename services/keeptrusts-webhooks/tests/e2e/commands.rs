//! Operators' commands: what they refuse, what they change, and how they end.

use std::fs;
use std::io::{self, PipeReader, PipeWriter, Write};
use std::sync::Arc;

use crate::platform::{Backend, Database, PATIENCE, Server};
use keeptrusts_webhooks_testkit::postgres::Cluster;
use keeptrusts_webhooks_testkit::process::{Launch, Signal};

/// The commands that work on a database, each with its exit status when it fails.
const COMMANDS: [(&[&str], i32); 4] = [
    (&["log", "rebuild", "--check"], 3),
    (&["log", "rebuild"], 3),
    (&["organization", "erase", "acme", "--yes"], 1),
    (&["rotate-master-key"], 1),
];

async fn refused(command: &[&str], flags: &[String], code: i32) -> String {
    let mut process = Launch::binary("keeptrusts-webhooks").args(command).args(flags).start();
    let status = process.wait_exit(PATIENCE).await;
    assert_eq!(status.code(), Some(code), "{command:?}: {}", process.output());
    process.output()
}

async fn tables(database: &Database) -> String {
    let name = database.name_in_cluster().expect("it is on Postgres");
    let count = "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'";
    Cluster::shared().await.query(name, count).await.trim().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn no_command_creates_its_database() {
    // The key is given, so that it is not the error.
    let sqlite = Database::new(Backend::Sqlite).await;
    fs::write(sqlite.folder().join("master.key"), "7".repeat(64)).expect("written");
    let postgres = Database::new(Backend::Postgres).await;
    fs::write(postgres.folder().join("master.key"), "7".repeat(64)).expect("written");
    for folder in [sqlite.folder(), postgres.folder()] {
        use std::os::unix::fs::PermissionsExt;
        let mode = fs::Permissions::from_mode(0o600);
        fs::set_permissions(folder.join("master.key"), mode).expect("its mode");
    }
    for (command, code) in COMMANDS {
        let said = refused(command, &sqlite.flags(), code).await;
        assert!(said.contains("correct --data-dir; only a server makes a new one"), "{said}");
        let left = fs::read_dir(sqlite.folder()).expect("a folder").count();
        assert_eq!(left, 1, "{command:?} made something beside the key");

        let said = refused(command, &postgres.flags(), code).await;
        assert!(said.contains("correct --database-url; only a server makes a new one"), "{said}");
        assert_eq!(tables(&postgres).await, "0", "{command:?} made tables");
    }

    // An empty file is no database either, and stays empty.
    let file = sqlite.folder().join("webhooks.db");
    fs::write(&file, "").expect("written");
    let said = refused(&["log", "rebuild", "--check"], &sqlite.flags(), 3).await;
    assert!(said.contains("correct --data-dir"), "{said}");
    assert_eq!(fs::metadata(&file).expect("it is there").len(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_check_refuses_tables_of_an_older_version_and_leaves_them() {
    let database = Database::new(Backend::Postgres).await;
    Server::all_in_one(&database).start().await.stop().await;
    let name = database.name_in_cluster().expect("it is on Postgres");
    let cluster = Cluster::shared().await;
    cluster
        .query(
            name,
            "DELETE FROM _sqlx_migrations
             WHERE version = (SELECT max(version) FROM _sqlx_migrations)",
        )
        .await;
    let applied = "SELECT count(*) FROM _sqlx_migrations";
    let before = cluster.query(name, applied).await;
    let said = refused(&["log", "rebuild", "--check"], &database.flags(), 3).await;
    assert!(said.contains("start this version's server on it first"), "{said}");
    assert_eq!(cluster.query(name, applied).await, before);
}

/// A pipe that is full.
fn full_pipe() -> (PipeReader, Arc<PipeWriter>) {
    const CAPACITY: usize = 64 * 1024;
    let (unread, pipe) = io::pipe().expect("a pipe");
    (&pipe).write_all(&[b'\n'; CAPACITY]).expect("the pipe takes it");
    (unread, Arc::new(pipe))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_whose_output_nobody_reads_ends_on_a_signal() {
    let database = Database::new(Backend::Sqlite).await;
    Server::all_in_one(&database).start().await.stop().await;
    let (unread, pipe) = full_pipe();
    let check = Launch::binary("keeptrusts-webhooks").args(["log", "rebuild", "--check"]);
    let mut process = check.args(database.flags()).stdout(&pipe).start();
    process.wait_for_line(|line| line.contains("100 %"), PATIENCE).await;
    process.signal(Signal::Int);
    assert_eq!(process.wait_exit(PATIENCE).await.code(), Some(130), "{}", process.output());
    drop(unread);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_first_key_that_cannot_be_printed_is_reported_as_lost() {
    for (elsewhere, is_lost) in
        [("/dev/full", true), ("&-", true), ("/dev/null", true), ("&2", false)]
    {
        let database = Database::new(Backend::Sqlite).await;
        let serve = Launch::binary("keeptrusts-webhooks")
            .args(["serve", "--listen", "127.0.0.1:0", "--no-console"])
            .args(database.flags())
            .after(&format!("exec >{elsewhere}"));
        let mut process = serve.start();
        process.wait_for_listening(PATIENCE).await;
        let told =
            process.output().contains("KEEPTRUSTS_WEBHOOKS_BOOTSTRAP_ADMIN_KEY set to a key");
        assert_eq!(told, is_lost, "{elsewhere}: {}", process.output());
        assert_eq!(process.output().contains("kt_"), !is_lost, "{elsewhere}");
        process.signal(Signal::Term);
        assert!(process.wait_exit(PATIENCE).await.success());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_flags_and_variables_are_answered_with_what_would_be_right() {
    let oidc = ["--oidc-issuer", "https://issuer.example"];
    let mapped = ["--oidc-role-map", "a=viewer", "--oidc-role-map", "a=admin"];
    let mapped = [oidc.as_slice(), &["--oidc-audience", "us"], &mapped].concat();
    let database = Database::new(Backend::Sqlite).await;
    let no_certificate = database.folder().join("no.pem");
    fs::write(&no_certificate, "hello").expect("written");
    let no_certificate = no_certificate.to_str().expect("UTF-8");
    for (flags, code, says) in [
        (["--retry-schedule", ""].as_slice(), 2, "or `never` for no retries"),
        (&["--allow-network", "10.0.0.0/33"], 2, "for one address, 10.20.0.5/32"),
        (&["--trusted-proxy", "foo"], 2, "for one address, 10.20.0.5/32"),
        (&["--trust-ca", no_certificate], 1, "no.pem"),
        (&mapped, 1, "--oidc-role-map has a twice"),
        (&oidc, 2, "--oidc-audience"),
    ] {
        let serve = Launch::binary("keeptrusts-webhooks").arg("serve").args(flags);
        let mut process = serve
            .args(database.flags())
            .env("KEEPTRUSTS_WEBHOOKS_BOOTSTRAP_ADMIN_KEY", format!("kt_{}", "7".repeat(64)))
            .env("KEEPTRUSTS_WEBHOOKS_LISTEM", "127.0.0.1:0")
            .start();
        let status = process.wait_exit(PATIENCE).await;
        let said = process.output();
        assert_eq!(status.code(), Some(code), "{flags:?}: {said}");
        assert!(said.contains(says), "{flags:?}: {said}");
        assert!(!said.contains("BOOTSTRAP_ADMIN_KEY is set"), "another matter: {said}");
        let warns = said.contains("KEEPTRUSTS_WEBHOOKS_LISTEM is set, which means nothing here");
        assert_eq!(warns, code == 1, "flags that are wrong come first: {said}");
    }
}
