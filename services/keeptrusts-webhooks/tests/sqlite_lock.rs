//! One process to a SQLite file, and one master key to a database.

mod platform;

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use keeptrusts_webhooks_testkit::process::Launch;
use platform::{Backend, Database, PATIENCE, Server, on_both_backends};

const URL: &str = "https://siem.example/hook";

#[tokio::test(flavor = "multi_thread")]
async fn a_second_process_on_the_same_file_is_told_which_one_has_it_and_what_to_use_instead() {
    let database = Database::new(Backend::Sqlite).await;
    let serve = Server::all_in_one(&database);
    let mut first = serve.clone().start().await;
    let rebuild = Launch::binary("keeptrusts-webhooks").args(["log", "rebuild"]);
    for mut second in [serve.start_process(), rebuild.args(database.flags()).start()] {
        let status = second.wait_exit(PATIENCE).await;
        assert_eq!(status.code(), Some(1));
        let said = second.output();
        let holder = format!("process {} ", first.process().id());
        assert!(said.contains(&holder), "it names {holder}: {said}");
        assert!(said.contains("Postgres (--database-url postgres://"), "what to use: {said}");
    }

    // However the first one ends, its hold on the file ends with it.
    let created = first.client("acme").create_endpoint(URL, &["key.rotated"]).await;
    first.kill().await;
    let second = serve.start().await;
    assert_eq!(second.client("acme").endpoint(&created.id).await.url, URL);
}

on_both_backends!(
    a_process_with_another_master_key_does_not_start,
    a_master_key_file_that_holds_no_key_is_refused,
);

async fn a_process_with_another_master_key_does_not_start(backend: Backend) {
    let database = Database::new(backend).await;
    Server::all_in_one(&database).start().await.stop().await;

    let said = refusal_of_key(&database, &"7".repeat(64)).await;
    assert!(said.contains("is not the one that this database's secrets are sealed with"), "{said}");
    assert!(said.contains("use the file that was made with the database"), "{said}");

    Server::all_in_one(&database).start().await.stop().await;
}

async fn a_master_key_file_that_holds_no_key_is_refused(backend: Backend) {
    let database = Database::new(backend).await;
    let said = refusal_of_key(&database, "correct horse battery staple").await;
    assert!(said.contains("is not a master key: it must hold 64 hex digits"), "{said}");
    assert!(!said.contains("horse"), "the file's content is not shown: {said}");
}

/// What a process says that is given this master key and does not start.
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
