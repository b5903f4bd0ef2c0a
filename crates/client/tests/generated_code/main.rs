//! The code in src/generated is what the protos make: messages, services, and for each method what the
//! client has to know of it. After a change of the protos:
//!
//! ```sh
//! UPDATE_GENERATED_CODE=1 cargo test -p keeptrusts-webhooks-client --test generated_code
//! ```
//!
//! It is committed, because a published package has no `proto/` above it, and so that those who depend on
//! it compile no compiler of protos.

mod methods;
mod redacted_debug;

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use protox::prost_reflect::DescriptorPool;

const PACKAGE: &str = "keeptrusts.webhooks.v1";

fn here() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

#[test]
fn the_generated_code_is_what_the_protos_make() {
    let is_update = std::env::var_os("UPDATE_GENERATED_CODE").is_some();
    let mut stale = Vec::new();
    for (name, code) in generated() {
        let path = here().join("src/generated").join(name);
        if is_update {
            std::fs::write(&path, &code).expect("written");
        } else if std::fs::read_to_string(&path).ok().as_ref() != Some(&code) {
            stale.push(path);
        }
    }
    assert!(
        stale.is_empty(),
        "not what the protos make, set UPDATE_GENERATED_CODE=1 to write them anew: {stale:?}"
    );
}

/// The files with their contents.
fn generated() -> [(&'static str, String); 3] {
    let root = here().join("../../proto");
    let mut compiler = protox::Compiler::new([root.clone(), here().join("../contracts/imports")])
        .expect("folders");
    compiler.include_source_info(true).include_imports(true);
    compiler.open_files(protos(&root)).expect("the protos compile");
    // Of the descriptors in the other form, only these know options that are newer than their library.
    let pool = compiler.descriptor_pool();

    let folder = tempfile::tempdir().expect("a folder");
    let mut build = tonic_prost_build::configure()
        .build_server(false)
        .extern_path(".google.rpc", "::tonic_types::pb")
        .out_dir(folder.path());
    for message in redacted_debug::messages(&pool) {
        build = build.skip_debug([format!(".{}", message.full_name())]);
        for nested in message.child_enums() {
            // It matched as well.
            build = build.enum_attribute(format!(".{}", nested.full_name()), "#[derive(Debug)]");
        }
    }
    build.compile_fds(compiler.file_descriptor_set()).expect("code is generated");
    let name = "keeptrusts.webhooks.v1.rs";
    let messages = std::fs::read_to_string(folder.path().join(name)).expect("it was generated");

    [
        (name, formatted(&messages)),
        ("methods.rs", formatted(&methods::code(&pool))),
        ("redacted_debug.rs", formatted(&redacted_debug::code(&pool))),
    ]
}

/// The files of the API, by their paths below the root.
fn protos(root: &Path) -> Vec<PathBuf> {
    let folder = root.join(PACKAGE.replace('.', "/"));
    let entries = std::fs::read_dir(folder).expect("the protos");
    let mut paths: Vec<_> = entries
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "proto"))
        .map(|path| path.strip_prefix(root).expect("below it").to_owned())
        .collect();
    paths.sort();
    paths
}

/// What the API itself declares.
fn is_ours(package: &str) -> bool {
    package == PACKAGE
}

fn messages(
    pool: &DescriptorPool,
) -> impl Iterator<Item = protox::prost_reflect::MessageDescriptor> {
    pool.all_messages().filter(|message| is_ours(message.package_name()))
}

/// Formatted as all code here is.
fn formatted(code: &str) -> String {
    let settings = here().join("../../rustfmt.toml");
    let mut rustfmt = Command::new("rustfmt")
        .args(["--edition", "2024", "--config-path"])
        .arg(settings)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("rustfmt is needed");
    let mut input = rustfmt.stdin.take().expect("a pipe");
    let code = format!("// Generated from proto/ by tests/generated_code. Do not edit.\n\n{code}");
    let writer = std::thread::spawn(move || input.write_all(code.as_bytes()));
    let output = rustfmt.wait_with_output().expect("rustfmt ends");
    writer.join().expect("no panic").expect("rustfmt reads everything");
    assert!(output.status.success(), "rustfmt failed");
    String::from_utf8(output.stdout).expect("UTF-8")
}
