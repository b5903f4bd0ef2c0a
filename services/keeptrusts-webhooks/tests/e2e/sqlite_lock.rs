//! One process for each SQLite file, and one master key for each database.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use crate::platform::{Backend, Database, PATIENCE, Server, on_both_backends};
use keeptrusts_webhooks_testkit::process::Launch;

const URL: &str = "https://siem.example/hook";

#[tokio::test(flavor = "multi_thread")]
async fn a_second_process_on_the_same_file_is_refused_with_the_owner_and_advice() {
    let database = Database::new(Backend::Sqlite).await;
    let serve = Server::all_in_one(&database);
    let mut first = serve.clone().start().await;
    let rebuild = Launch::binary("keeptrusts-webhooks").args(["log", "rebuild"]);
    let rebuild = rebuild.args(database.flags()).start();
    for (mut second, code) in [(serve.start_process(), 1), (rebuild, 3)] {
        let status = second.wait_exit(PATIENCE).await;
        assert_eq!(status.code(), Some(code));
        let said = second.output();
        let holder = format!("process {} ", first.process().id());
        assert!(said.contains(&holder), "it names {holder}: {said}");
        assert!(said.contains("Postgres (--database-url postgres://"), "what to use: {said}");
    }

    // However the first process ends, its lock on the file ends with it.
    let created = first.client("acme").create_endpoint(URL, &["key.rotated"]).await;
    first.kill().await;
    let second = serve.start().await;
    assert_eq!(second.client("acme").endpoint(&created.id).await.url, URL);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hard_link_to_the_file_admits_no_second_process() {
    let database = Database::new(Backend::Sqlite).await;
    let elsewhere = Database::new(Backend::Sqlite).await;
    let serve = Server::all_in_one(&database);
    let first = serve.start().await;
    let client = first.client("acme");
    let created = client.create_endpoint(URL, &["key.rotated"]).await;
    let link = elsewhere.folder().join("webhooks.db");
    fs::hard_link(database.folder().join("webhooks.db"), &link).expect("a link");
    let mut second = Server::all_in_one(&elsewhere).start_process();
    assert_eq!(second.wait_exit(PATIENCE).await.code(), Some(1));
    let said = second.output();
    assert!(said.contains(&format!("is in use by process {} ", first.process().id())), "{said}");
    let left = fs::read_dir(elsewhere.folder()).expect("a folder").count();
    assert_eq!(left, 1, "no key, and no write-ahead log beside the link");
    client.publish("key.rotated", "{}").await;
    assert_eq!(client.endpoint(&created.id).await.url, URL);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_after_an_unclean_end_says_what_it_found() {
    let database = Database::new(Backend::Sqlite).await;
    let mut server = Server::all_in_one(&database).on_a_fixed_port().start().await;
    let killed = server.process().id();
    server.client("acme").create_endpoint(URL, &["key.rotated"]).await;
    server.kill().await;
    server.start_again().await;
    let found = |line: &str| line.contains("the database was not closed the last time");
    let line = server.process().wait_for_line(found, PATIENCE).await;
    for part in [&format!("process {killed} (keeptrusts-webhooks"), "recovered_records=", "bytes="]
    {
        assert!(line.contains(part), "{line}");
    }
    server.stop().await;
    server.start_again().await;
    assert!(!server.process().output().lines().any(found), "it was closed");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replaced_file_is_reported_and_accepts_no_events() {
    let database = Database::new(Backend::Sqlite).await;
    let server = Server::all_in_one(&database).start().await;
    let client = server.client("acme");
    client.publish("key.rotated", "{}").await;
    let path = database.folder().join("webhooks.db");
    fs::rename(&path, database.folder().join("aside")).expect("moved");
    fs::write(&path, "a backup").expect("written");
    let event = client.event("key.rotated", "{}");
    let mut request = tonic::Request::new(event);
    request.set_timeout(std::time::Duration::from_secs(2));
    client.ingest().publish_event(request).await.expect_err("it would be lost");
    let told = |line: &str| line.contains("was replaced or removed while the database was open");
    server.process().wait_for_line(told, PATIENCE).await;
    assert_eq!(fs::read(&path).expect("read"), b"a backup");
}

/// Copies a database's files with a separate process, as a kill would leave them.
fn copy(from: &Path, to: &Path) {
    let status = Command::new("cp").args([from, to]).status().expect("cp runs");
    assert!(status.success(), "{} to {}", from.display(), to.display());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_is_made_while_the_process_runs_and_restored() {
    let database = Database::new(Backend::Sqlite).await;
    let mut server = Server::all_in_one(&database).start().await;
    let client = server.client("acme");
    let created = client.create_endpoint(URL, &["key.rotated"]).await;
    let path = database.folder().join("webhooks.db");
    let elsewhere = [Database::new(Backend::Sqlite).await, Database::new(Backend::Sqlite).await];
    let sql = [
        "source.backup(sqlite3.connect(sys.argv[2]))",
        "source.execute('VACUUM INTO ?', [sys.argv[2]])",
    ];
    for (elsewhere, sql) in elsewhere.iter().zip(sql) {
        let script = format!("import sqlite3, sys; source = sqlite3.connect(sys.argv[1]); {sql}");
        let backup = elsewhere.folder().join("webhooks.db");
        let made = Command::new("python3").args(["-c", &script]).args([&path, &backup]).status();
        assert!(made.expect("Python runs").success(), "{sql}");
        copy(&database.folder().join("master.key"), &elsewhere.folder().join("master.key"));
        client.publish("key.rotated", "{}").await;
    }
    server.stop().await;
    for elsewhere in &elsewhere {
        let mut restored = Server::all_in_one(elsewhere).start().await;
        assert_eq!(restored.client("acme").endpoint(&created.id).await.url, URL);
        let told = |line: &str| line.contains("the database is a copy of one that was open");
        restored.process().wait_for_line(told, PATIENCE).await;
        restored.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_beside_the_log_of_the_file_that_it_replaces_is_refused_with_what_to_do() {
    let database = Database::new(Backend::Sqlite).await;
    let mut server = Server::all_in_one(&database).on_a_fixed_port().start().await;
    let created = server.client("acme").create_endpoint(URL, &["key.rotated"]).await;
    server.stop().await;
    let beside = |ending| database.folder().join(format!("webhooks.db{ending}"));
    let backup = database.folder().join("backup.db");
    copy(&beside(""), &backup);
    server.start_again().await;
    server.stop().await;
    // The log beside a file that is open begins with what the process wrote first, or, once that is
    // in the file and nobody reads it, later: a backup from just before this opening may well be
    // completed by it. One from before the opening before cannot be.
    server.start_again().await;
    server.client("acme").publish("key.rotated", "{}").await;
    server.kill().await;

    copy(&backup, &beside(""));
    let log = fs::read(beside("-wal")).expect("it was killed");
    let mut refused = Server::all_in_one(&database).start_process();
    assert_eq!(refused.wait_exit(PATIENCE).await.code(), Some(1));
    let said = refused.output();
    for part in ["was not written for the file", "move ", "-wal, ", "-shm and ", ".lock somewhere"]
    {
        assert!(said.contains(part), "{part}: {said}");
    }
    assert_eq!(fs::read(beside("-wal")).expect("there"), log, "nothing of it is lost");

    for ending in ["-wal", "-shm", ".lock"] {
        fs::remove_file(beside(ending)).expect("removed, as it says");
    }
    server.start_again().await;
    assert_eq!(server.client("acme").endpoint(&created.id).await.url, URL);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_write_ahead_log_that_was_removed_after_a_kill_is_noticed() {
    let database = Database::new(Backend::Sqlite).await;
    let mut server = Server::all_in_one(&database).start().await;
    server.client("acme").create_endpoint(URL, &["key.rotated"]).await;
    server.kill().await;
    let log = database.folder().join("webhooks.db-wal");
    let aside = database.folder().join("aside");
    fs::rename(&log, &aside).expect("moved");
    let mut refused = Server::all_in_one(&database).start_process();
    assert_eq!(refused.wait_exit(PATIENCE).await.code(), Some(1));
    let said = refused.output();
    assert!(said.contains("-wal is gone") && said.contains("put that file back"), "{said}");
    fs::rename(&aside, &log).expect("moved back");
    Server::all_in_one(&database).start().await.stop().await;
}

on_both_backends! {
    a_database_without_its_master_key_is_not_started_and_no_key_is_made,
    a_process_with_another_master_key_does_not_start,
}

async fn a_process_with_another_master_key_does_not_start(backend: Backend) {
    let database = Database::new(backend).await;
    Server::all_in_one(&database).start().await.stop().await;

    let said = refusal_of_key(&database, &"7".repeat(64)).await;
    assert!(said.contains("is not the one that this database's secrets are sealed with"), "{said}");
    assert!(said.contains("use the file that was made with the database"), "{said}");

    Server::all_in_one(&database).start().await.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_master_key_file_that_holds_no_key_is_refused() {
    let database = Database::new(Backend::Sqlite).await;
    let said = refusal_of_key(&database, "correct horse battery staple").await;
    assert!(said.contains("is not a master key: it must hold 64 hex digits"), "{said}");
    assert!(!said.contains("horse"), "the file's content is not shown: {said}");
}

async fn a_database_without_its_master_key_is_not_started_and_no_key_is_made(backend: Backend) {
    let database = Database::new(backend).await;
    let serve = Server::all_in_one(&database);
    serve.clone().start().await.stop().await;
    let (key, safe) = (database.folder().join("master.key"), database.folder().join("safe"));
    fs::rename(&key, &safe).expect("as if it were not in the backup");
    let mut process = serve.start_process();
    assert_eq!(process.wait_exit(PATIENCE).await.code(), Some(1));
    let said = process.output();
    assert!(said.contains("there is no master key file") && said.contains(text(&key)), "{said}");
    assert!(!key.exists(), "another key would be in the way of the right one");
    fs::rename(&safe, &key).expect("found");
    serve.start().await.stop().await;
}

/// The error of a process that does not start with this master key.
async fn refusal_of_key(database: &Database, key: &str) -> String {
    let path = database.folder().join("other.key");
    fs::write(&path, key).expect("a file can be written");
    fs::set_permissions(&path, Permissions::from_mode(0o600)).expect("it is ours");
    let path = text(&path);
    let mut process = Server::all_in_one(database).flag("--master-key-file", path).start_process();
    let status = process.wait_exit(PATIENCE).await;
    let said = process.output();
    assert_eq!(status.code(), Some(1), "{said}");
    assert!(said.contains(path), "it names the file: {said}");
    said
}

fn text(path: &Path) -> &str {
    path.to_str().expect("the path is UTF-8")
}
