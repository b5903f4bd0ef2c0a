use super::*;

#[cfg(unix)]
use std::os::unix::fs::PermissionsExt;

#[cfg(unix)]
fn mode(path: &Path) -> u32 {
    fs::metadata(path).expect("there").permissions().mode() & 0o777
}

fn write(path: &Path, text: &str) {
    write_draft(path, text).expect("written");
}

fn make(path: &Path) {
    create(path).expect("made").keep();
}

fn ids(keys: &[MasterKey]) -> Vec<&str> {
    keys.iter().map(MasterKey::id).collect()
}

#[test]
fn a_key_file_is_made_once_and_only_its_owner_may_read_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("data/master.key");
    make(&path);
    let made = load(&path).expect("read");
    make(&path);
    assert_eq!(load(&path).expect("read"), made, "whoever comes second makes none");
    #[cfg(unix)]
    assert_eq!(mode(&path), 0o600);
    assert_eq!(fs::read_dir(folder.path().join("data")).expect("a folder").count(), 1);
}

#[test]
fn a_key_file_that_is_not_kept_is_removed_with_its_folder_by_its_creator_only() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("data/deeper/master.key");
    drop(create(&path).expect("made"));
    assert_eq!(fs::read_dir(folder.path()).expect("a folder").count(), 0);
    make(&path);
    drop(create(&path).expect("there is one"));
    load(&path).expect("it is still there");
}

#[test]
fn checking_whether_a_file_could_be_created_creates_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("data/master.key");
    check_place(&path).expect("it could");
    assert_eq!(fs::read_dir(folder.path()).expect("a folder").count(), 0);
    write(&folder.path().join("data"), "in the way");
    assert!(matches!(check_place(&path), Err(KeyringError::File { .. })));
}

#[cfg(unix)]
#[test]
fn a_file_that_others_may_read_is_refused_with_the_command_that_repairs_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("master.key");
    make(&path);
    for exposed in [0o640, 0o604, 0o644, 0o620] {
        fs::set_permissions(&path, fs::Permissions::from_mode(exposed)).expect("changed");
        let error = load(&path).expect_err("exposed");
        assert!(matches!(error, KeyringError::Exposed { mode, .. } if mode == exposed));
        let mend = format!("chmod 600 {}", path.display());
        assert!(error.to_string().ends_with(&mend), "{error}");
    }
    fs::set_permissions(&path, fs::Permissions::from_mode(0o400)).expect("changed");
    load(&path).expect("only its owner may read it");
}

#[test]
fn a_file_that_holds_no_key_is_refused_and_left_alone() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("master.key");
    write(&path, "secret");
    assert!(matches!(load(&path), Err(KeyringError::NotAKey { .. })));
    assert!(matches!(KeyFile::open(&path), Err(KeyringError::NotAKey { .. })));
    assert_eq!(fs::read_to_string(&path).expect("read"), "secret");
    write(&path, &"#".repeat(MAX_FILE_BYTES as usize + 1));
    assert!(matches!(load(&path), Err(KeyringError::File { .. })));
}

#[test]
fn keys_are_added_moved_and_removed_and_comments_stay() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("master.key");
    let [one, two, three] = std::array::from_fn(|_| MasterKey::generate());
    write(&path, &format!("# ours\n{} # the first\n", one.to_hex().as_str()));
    let mut file = KeyFile::open(&path).expect("opened");

    file.add_behind_first(&two).expect("added");
    assert_eq!(ids(&file.keys()), [one.id(), two.id()]);
    file.put_first(&two).expect("moved");
    file.put_first(&three).expect("added");
    assert_eq!(ids(&file.keys()), [three.id(), two.id(), one.id()]);
    let text = fs::read_to_string(&path).expect("read");
    assert!(text.starts_with(&format!(
        "# ours\n{} # id {}\n",
        three.to_hex().as_str(),
        three.id()
    )));
    assert!(text.contains("# the first\n"), "{text}");

    let all = [one.id().to_owned(), two.id().to_owned(), three.id().to_owned()];
    file.remove(&all).expect("removed");
    assert_eq!(ids(&file.keys()), [three.id()], "the first one stays");
    let loaded: Vec<_> = load(&path).expect("read").iter().cloned().collect();
    assert_eq!(loaded, file.keys());
    #[cfg(unix)]
    assert_eq!(mode(&path), 0o600);
    let left: Vec<_> = fs::read_dir(folder.path()).expect("a folder").collect();
    assert_eq!(left.len(), 2, "the file and its lock");
}

#[test]
fn keys_on_one_line_get_lines_of_their_own() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("master.key");
    let [one, two] = std::array::from_fn(|_| MasterKey::generate());
    write(&path, &format!("{},{}", one.to_hex().as_str(), two.to_hex().as_str()));
    let mut file = KeyFile::open(&path).expect("opened");
    file.put_first(&two).expect("moved");
    assert_eq!(load(&path).expect("read").iter().cloned().collect::<Vec<_>>(), [two, one]);
}

#[test]
fn one_process_at_a_time_changes_a_file() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("master.key");
    make(&path);
    let file = KeyFile::open(&path).expect("opened");
    assert!(matches!(KeyFile::open(&path), Err(KeyringError::FileInUse { .. })));
    load(&path).expect("it can be read meanwhile");
    drop(file);
    KeyFile::open(&path).expect("opened again");
}

#[cfg(unix)]
#[test]
fn a_change_through_a_link_changes_the_file_itself() {
    let folder = tempfile::tempdir().expect("a folder");
    let (path, link) = (folder.path().join("master.key"), folder.path().join("link.key"));
    make(&path);
    std::os::unix::fs::symlink(&path, &link).expect("linked");
    let key = MasterKey::generate();
    KeyFile::open(&link).expect("opened").put_first(&key).expect("added");
    assert_eq!(load(&path).expect("read").first(), &key);
    assert!(fs::symlink_metadata(&link).expect("there").is_symlink());
}
