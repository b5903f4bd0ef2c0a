//! Commands of operators on the server are in the audit trail, too.

use keeptrusts_webhooks_contracts::v1;
use keeptrusts_webhooks_contracts::v1::AuditAction;
use keeptrusts_webhooks_testkit::process::Launch;

use super::caller::Caller;
use crate::platform::{Backend, Database, PATIENCE, Server, eventually, on_both_backends};

on_both_backends!(an_erased_organization_has_no_access_and_the_trail_names_the_operator);

/// Runs a command beside the server, as this user.
async fn run(user: &str, command: &[&str], database: &Database) {
    let launch = Launch::binary("keeptrusts-webhooks").args(command).args(database.flags());
    let mut process = launch.env("SUDO_USER", user).start();
    let status = process.wait_exit(PATIENCE).await;
    assert!(status.success(), "{command:?} ended with {status}\n{}", process.output());
}

async fn trail(caller: &Caller, organization: &str) -> Vec<v1::AuditEntry> {
    let request = v1::ListAuditEntriesRequest {
        organization_id: organization.to_owned(),
        ..Default::default()
    };
    let answer = caller.audit().list_audit_entries(request).await.expect("the trail");
    answer.into_inner().entries
}

async fn an_erased_organization_has_no_access_and_the_trail_names_the_operator(backend: Backend) {
    let database = Database::new(backend).await;
    let server = Server::all_in_one(&database).start().await;
    let first = Caller::first(&server);
    let admin = first.create_key("acme", v1::Role::Admin).await;
    let other = first.create_key("globex", v1::Role::Admin).await;
    let ann = Caller::with(&server, &admin.token);
    let session = v1::CreateSessionRequest::default();
    let own = ann.access().create_session(session).await.expect("opened").into_inner();
    let session =
        v1::CreateSessionRequest { organization_id: "acme".to_owned(), ..Default::default() };
    let platforms = first.access().create_session(session).await.expect("opened").into_inner();
    let shut_out = [&admin.token, &own.token, &platforms.token];
    for token in shut_out {
        Caller::with(&server, token).who_am_i().await.expect("it works");
    }

    run("olga", &["organization", "erase", "acme", "--yes"], &database).await;
    for token in shut_out {
        let caller = Caller::with(&server, token);
        let refused = async || caller.who_am_i().await.err();
        let refused = eventually("the token is refused", refused).await;
        assert_eq!(refused.code(), tonic::Code::Unauthenticated);
    }
    Caller::with(&server, &other.token).who_am_i().await.expect("nobody else notices");

    let entries = trail(&first, "acme").await;
    let (by_operator, before): (Vec<_>, Vec<_>) =
        entries.iter().partition(|entry| entry.actor == "operator");
    assert_eq!(before.len(), 3, "{before:?}");
    let done =
        |action: AuditAction| by_operator.iter().filter(|entry| entry.action() == action).count();
    assert_eq!(by_operator.len(), 4, "{by_operator:?}");
    assert_eq!(done(AuditAction::OrganizationErased), 1);
    assert_eq!((done(AuditAction::KeyRevoked), done(AuditAction::SessionEnded)), (1, 2));
    assert!(
        by_operator.iter().all(|entry| entry.actor_name == "olga" && entry.create_time.is_some())
    );
    // A key that a caller of every organization creates afterwards is not one of those.
    let again = first.create_key("acme", v1::Role::Admin).await;
    let entries = trail(&Caller::with(&server, &again.token), "acme").await;
    assert_eq!(entries.len(), 8, "what was done after the command is in the same trail");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rotation_of_the_master_key_is_in_the_trail_of_every_organization() {
    let database = Database::new(Backend::Sqlite).await;
    let server = Server::all_in_one(&database).start().await;
    let first = Caller::first(&server);
    run("olga", &["rotate-master-key"], &database).await;
    let entries = trail(&first, "*").await;
    let rotated = &entries[0];
    assert_eq!(rotated.action(), AuditAction::MasterKeyRotated);
    assert_eq!((rotated.actor.as_str(), rotated.actor_name.as_str()), ("operator", "olga"));
    let [change] = &rotated.changes[..] else { panic!("{rotated:?}") };
    assert_eq!(change.field, "master_key_id");
    assert!(!change.before.is_empty() && !change.after.is_empty());
    assert_ne!(change.before, change.after);
    assert_eq!(trail(&first, "acme").await, []);
}
