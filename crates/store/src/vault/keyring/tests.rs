use std::time::Duration;

use keeptrusts_webhooks_domain::ids::EndpointId;

use super::*;
use crate::testing::conformance::given::{organization, other_organization};
use crate::testing::memory::MemoryStore;
use crate::vault::{RewrappedDataKey, Vault};

const ENDPOINT: EndpointId = EndpointId::MIN;

fn secret() -> Secret {
    Secret::new("correct horse battery".to_owned()).expect("long enough")
}

fn store() -> Arc<MemoryStore> {
    Arc::new(MemoryStore::new(1, crate::clock::system_clock()))
}

/// A key file that is changed as by the command.
struct Keys {
    folder: tempfile::TempDir,
}

impl Keys {
    fn new() -> Keys {
        Keys { folder: tempfile::tempdir().expect("a folder") }
    }

    fn source(&self) -> MasterKeySource {
        MasterKeySource::File(self.folder.path().join("master.key"))
    }

    fn file(&self) -> KeyFile {
        KeyFile::open(&self.folder.path().join("master.key")).expect("opened")
    }

    async fn keyring(&self, store: &Arc<MemoryStore>) -> Keyring {
        let store = Arc::clone(store) as Arc<dyn Store>;
        Keyring::start(store, self.source()).await.expect("the keys are the database's")
    }
}

async fn seal(keyring: &Keyring) -> SealedSecret {
    keyring.seal(&organization(), ENDPOINT, &secret()).await.expect("sealed")
}

async fn open(keyring: &Keyring, sealed: &SealedSecret) -> Result<Secret, SecretError> {
    keyring.open(&organization(), ENDPOINT, sealed).await
}

fn problem(outcome: Result<impl std::fmt::Debug, SecretError>) -> KeyProblem {
    match outcome.expect_err("a problem") {
        SecretError::Key(problem) => problem,
        SecretError::Store(error) => panic!("{error}"),
    }
}

async fn wrapped_under(store: &MemoryStore) -> Vec<String> {
    store.count_data_keys(Shard(0)).await.expect("counts").into_keys().collect()
}

#[tokio::test]
async fn another_process_opens_what_one_has_sealed_and_each_organization_has_its_own_key() {
    let (store, keys) = (store(), Keys::new());
    let (one, other) = (keys.keyring(&store).await, keys.keyring(&store).await);
    let sealed = seal(&one).await;
    assert_eq!(open(&other, &sealed).await.expect("opened"), secret());
    assert_eq!(seal(&other).await.key_id, sealed.key_id);
    let foreign = one.seal(&other_organization(), ENDPOINT, &secret()).await.expect("sealed");
    assert_ne!(foreign.key_id, sealed.key_id);
    assert!(matches!(problem(open(&one, &foreign).await), KeyProblem::Unreadable { .. }));
}

#[tokio::test]
async fn a_new_first_key_becomes_current_and_the_data_keys_are_wrapped_under_it() {
    let (store, keys) = (store(), Keys::new());
    let keyring = keys.keyring(&store).await;
    let sealed = seal(&keyring).await;
    let new = MasterKey::generate();
    keys.file().put_first(&new).expect("added");
    let report = keyring.reload().await.expect("reloaded");
    assert_eq!((report.current.as_str(), report.rewrapped), (new.id(), 1));
    assert_eq!(wrapped_under(&store).await, [new.id()]);
    assert_eq!(open(&keyring, &sealed).await.expect("opened"), secret());
    let again = keyring.reload().await.expect("reloaded");
    assert_eq!(again.rewrapped, 0, "it can be repeated");
}

#[tokio::test]
async fn a_process_reads_its_file_again_when_it_meets_an_unknown_key() {
    let (store, keys) = (store(), Keys::new());
    let (told, untold) = (keys.keyring(&store).await, keys.keyring(&store).await);
    let sealed = seal(&told).await;
    keys.file().put_first(&MasterKey::generate()).expect("added");
    told.reload().await.expect("reloaded");
    assert_eq!(open(&untold, &sealed).await.expect("opened"), secret());
    let fresh = keys.keyring(&store).await;
    keys.file().put_first(&MasterKey::generate()).expect("added");
    told.reload().await.expect("reloaded");
    fresh.seal(&other_organization(), ENDPOINT, &secret()).await.expect("a key is made");
    assert_eq!(wrapped_under(&store).await.len(), 1, "under the key that is current");
}

#[tokio::test]
async fn the_error_about_a_missing_key_names_it_and_says_what_to_do() {
    let (store, keys, elsewhere) = (store(), Keys::new(), Keys::new());
    let keyring = keys.keyring(&store).await;
    let sealed = seal(&keyring).await;
    let new = MasterKey::generate();
    // On another machine, whose file is not copied.
    std::fs::copy(
        keys.folder.path().join("master.key"),
        elsewhere.folder.path().join("master.key"),
    )
    .expect("copied");
    elsewhere.file().put_first(&new).expect("added");
    elsewhere.keyring(&store).await;

    let missing = problem(open(&keyring, &sealed).await);
    assert!(matches!(missing, KeyProblem::MasterKeyMissing { .. }), "{missing}");
    let said = missing.to_string();
    assert!(said.contains(new.id()) && said.contains("master.key"), "{said}");
    assert!(said.contains("SIGHUP"), "{said}");
    assert!(matches!(keyring.reload().await, Err(KeyringError::WrongKey { .. })));
    let outcome = keyring.seal(&other_organization(), ENDPOINT, &secret()).await;
    assert!(matches!(problem(outcome), KeyProblem::MasterKeyMissing { .. }));

    keys.file().add_behind_first(&new).expect("copied");
    assert_eq!(open(&keyring, &sealed).await.expect("opened"), secret());
}

#[tokio::test]
async fn an_old_file_does_not_make_a_replaced_key_current_again() {
    let (store, keys) = (store(), Keys::new());
    let keyring = keys.keyring(&store).await;
    seal(&keyring).await;
    let old = keys.file().keys().remove(0);
    let new = MasterKey::generate();
    keys.file().put_first(&new).expect("added");
    keyring.reload().await.expect("reloaded");
    keys.file().put_first(&old).expect("moved");
    assert_eq!(keyring.reload().await.expect("reloaded").current, new.id());
    assert_eq!(keys.keyring(&store).await.reload().await.expect("reloaded").current, new.id());
    assert_eq!(wrapped_under(&store).await, [new.id()]);
}

#[tokio::test]
async fn keys_of_another_database_are_refused_at_start() {
    let (store, keys, others) = (store(), Keys::new(), Keys::new());
    seal(&keys.keyring(&store).await).await;
    others.keyring(&self::store()).await;
    let refused = Keyring::start(store.clone() as Arc<dyn Store>, others.source()).await;
    assert!(matches!(refused, Err(KeyringError::WrongKey { .. })), "{refused:?}");

    // A key with the right id that unwraps nothing: the table was changed.
    let mut damaged = store.wrapped_data_keys(Shard(0), None, None, 1).await.expect("read");
    let (organization_id, mut key) = damaged.remove(0);
    key.ciphertext[0] ^= 1;
    let previous_master_key_id = key.master_key_id.clone();
    let damage = [RewrappedDataKey { organization_id, previous_master_key_id, key }];
    store.rewrap_data_keys(Shard(0), &damage).await.expect("damaged");
    let refused = Keyring::start(store as Arc<dyn Store>, keys.source()).await;
    let damaged = KeyProblem::Damaged {
        organization: organization(),
        master_key_id: keys.file().keys()[0].id().to_owned(),
    };
    let refused = refused.expect_err("nothing can be unwrapped").to_string();
    assert_eq!(refused, damaged.to_string());
}

#[tokio::test]
async fn a_database_without_its_key_file_is_refused_and_no_new_file_is_created() {
    let (store, keys, elsewhere) = (store(), Keys::new(), Keys::new());
    seal(&keys.keyring(&store).await).await;
    let refused = Keyring::start(store.clone() as Arc<dyn Store>, elsewhere.source()).await;
    let refused = refused.expect_err("its key is somewhere else").to_string();
    for part in [keys.file().keys()[0].id(), "master.key", "backup", "--master-key-file"] {
        assert!(refused.contains(part), "{refused}");
    }
    let left = std::fs::read_dir(elsewhere.folder.path()).expect("a folder").count();
    assert_eq!(left, 0, "no key was made");
    keys.keyring(&store).await;
}

#[tokio::test]
async fn an_interrupted_rotation_is_finished_at_the_next_start() {
    let (store, keys) = (store(), Keys::new());
    seal(&keys.keyring(&store).await).await;
    let old = keys.file().keys().remove(0);
    let new = MasterKey::generate();
    keys.file().put_first(&new).expect("added");
    store.replace_master_key(old.id(), new.id()).await.expect("replaced");
    assert_eq!(wrapped_under(&store).await, [old.id()], "the process died here");
    keys.keyring(&store).await;
    assert_eq!(wrapped_under(&store).await, [new.id()]);

    keys.file().put_first(&MasterKey::generate()).expect("added");
    keys.file().remove(&[new.id().to_owned()]).expect("removed");
    let refused = Keyring::start(store as Arc<dyn Store>, keys.source()).await;
    assert!(matches!(refused, Err(KeyringError::WrongKey { .. })), "removed too early");
}

#[tokio::test(start_paused = true)]
async fn an_erased_key_is_used_for_five_minutes_at_most_and_nothing_is_sealed_any_more() {
    let (store, keys) = (store(), Keys::new());
    let keyring = keys.keyring(&store).await;
    let sealed = seal(&keyring).await;
    open(&keyring, &sealed).await.expect("opened, and remembered");
    store.erase_data_key(Shard(0), &organization()).await.expect("erased");
    let erased = KeyProblem::Erased { organization: organization() };
    let refused = keyring.seal(&organization(), ENDPOINT, &secret()).await;
    assert_eq!(problem(refused), erased);

    tokio::time::advance(DATA_KEY_LIFETIME - Duration::from_secs(1)).await;
    open(&keyring, &sealed).await.expect("it is still remembered");
    tokio::time::advance(Duration::from_secs(1)).await;
    assert_eq!(problem(open(&keyring, &sealed).await), erased);
    let reloaded = keys.keyring(&store).await;
    assert_eq!(problem(open(&reloaded, &sealed).await), erased);
}

#[tokio::test]
async fn a_reload_empties_the_cache() {
    let (store, keys) = (store(), Keys::new());
    let keyring = keys.keyring(&store).await;
    let sealed = seal(&keyring).await;
    open(&keyring, &sealed).await.expect("opened, and remembered");
    store.erase_data_key(Shard(0), &organization()).await.expect("erased");
    keyring.reload().await.expect("reloaded");
    assert!(matches!(problem(open(&keyring, &sealed).await), KeyProblem::Erased { .. }));
}

#[tokio::test]
async fn debug_output_shows_the_ids_of_master_keys_only() {
    let (store, keys) = (store(), Keys::new());
    let keyring = keys.keyring(&store).await;
    seal(&keyring).await;
    let id = keys.file().keys()[0].id().to_owned();
    assert_eq!(format!("{keyring:?}"), format!("Keyring([MasterKey({id})])"));
}

/// A secret keeps the rules of the day on which it was set. A stricter rule at opening would stop
/// its deliveries.
#[tokio::test]
async fn a_secret_that_todays_rules_would_refuse_is_still_opened() {
    let (store, keys) = (store(), Keys::new());
    let keyring = keys.keyring(&store).await;
    for text in ["short", "copied along with a line end\n", "whsec_not base64", "\u{FEFF}first"] {
        assert!(Secret::new(text.to_owned()).is_err(), "{text:?}");
        let old = Secret::opened(text.to_owned());
        let sealed = keyring.seal(&organization(), ENDPOINT, &old).await.expect("sealed");
        assert_eq!(open(&keyring, &sealed).await.expect("opened").expose(), text);
    }
}

#[tokio::test]
async fn a_secret_that_is_sealed_for_a_check_makes_no_data_key() {
    let (keys, store) = (Keys::new(), store());
    let keyring = keys.keyring(&store).await;
    let check = async |secret: &Secret, current: Option<&SealedSecret>| {
        keyring.seal_for_check(&organization(), ENDPOINT, secret, current).await
    };
    check(&secret(), None).await.expect("it could be sealed");
    assert_eq!(wrapped_under(&store).await, Vec::<String>::new());
    // With a key, the same secret is found to be the current one.
    let current = seal(&keyring).await;
    assert_eq!(check(&secret(), Some(&current)).await.expect("sealed"), current);
    let other = Secret::new("battery horse correct".to_owned()).expect("long enough");
    assert_ne!(check(&other, Some(&current)).await.expect("sealed"), current);
    store.erase_data_key(Shard(0), &organization()).await.expect("erased");
    let refused = problem(check(&secret(), None).await);
    assert!(matches!(refused, KeyProblem::Erased { .. }), "{refused}");
}
