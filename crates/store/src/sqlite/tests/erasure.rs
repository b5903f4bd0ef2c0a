//! Erased content is neither in the file nor in the WAL any more.

use std::fs;
use std::path::Path;

use keeptrusts_webhooks_domain::Timestamp;
use tempfile::TempDir;

use super::open;
use crate::log::operation::BodyId;
use crate::store::Store;
use crate::testing::conformance::given::*;
use crate::vault::{Vault, WrappedDataKey};

fn is_in_files(folder: &Path, content: &[u8]) -> bool {
    let files = fs::read_dir(folder).expect("the folder is there");
    files.flatten().any(|file| {
        let bytes = fs::read(file.path()).expect("the file is there");
        bytes.windows(content.len()).any(|part| part == content)
    })
}

#[tokio::test]
async fn an_erased_data_key_is_not_in_the_files() {
    let folder = TempDir::new().expect("a temporary folder");
    let store = open(&folder.path().join("webhooks.db")).await;
    store.claim_master_key("master").await.unwrap();
    let key = WrappedDataKey {
        data_key_id: "dk".to_owned(),
        master_key_id: "master".to_owned(),
        nonce: vec![1; 12],
        ciphertext: b"the wrapped key of the erased organization".to_vec(),
    };
    store.create_data_key(SHARD, &organization(), &key).await.unwrap();
    assert!(is_in_files(folder.path(), &key.ciphertext));
    store.erase_data_key(SHARD, &organization()).await.unwrap();
    assert!(!is_in_files(folder.path(), &key.ciphertext), "while it is open");
    store.close().await;
    assert!(!is_in_files(folder.path(), &key.ciphertext), "when it is closed");
}

#[tokio::test]
async fn erased_bodies_are_not_in_the_files_whatever_their_size() {
    const MARK: &[u8] = b"a person's name, planted";
    let folder = TempDir::new().expect("a temporary folder");
    let store = open(&folder.path().join("webhooks.db")).await;
    // Some take several pages, others share one.
    for size in [20_000, 30, 30, 30, 4_000, 100_000] {
        let event = event_id();
        let content = [MARK, &vec![b'.'; size][..], MARK].concat();
        let published = publish(event).with_body(BodyId::Event(event), content, Timestamp::MAX);
        store.append(SHARD, &[published]).await.unwrap();
    }
    assert!(is_in_files(folder.path(), MARK));
    let mut after = None;
    loop {
        let erased = store.erase_bodies(SHARD, &organization(), after, 2).await.unwrap();
        after = erased.next;
        if after.is_none() {
            break;
        }
    }
    assert!(!is_in_files(folder.path(), MARK));
}
