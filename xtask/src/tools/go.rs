//! Finds Go and the generators of its code, with what Debian packages of Go's gRPC, or installs them.
//! Without them the client for Go is neither generated nor tested, which the line of this tool says.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::apt;
use crate::failure::{Context, Result};
use crate::{shell, workspace};

/// golang-github-golang-protobuf-1-5-dev takes the place of -1-3-, with which grpc would not know
/// messages of today's generator.
const PACKAGES: &[&str] = &[
    "golang-github-golang-protobuf-1-5-dev",
    "golang-go",
    "golang-google-genproto-dev",
    "golang-google-grpc-dev",
    "golang-google-protobuf-dev",
    "protoc-gen-go",
    "protoc-gen-go-grpc",
];

/// The generators whose code is in the repository: other versions write it otherwise.
const GENERATORS: [(&str, &str); 2] =
    [("protoc-gen-go", "protoc-gen-go v1.28.1"), ("protoc-gen-go-grpc", "protoc-gen-go-grpc 1.0")];

/// Where Debian has the sources of Go packages.
const SYSTEM: &str = "/usr/share/gocode";

/// Makes `directory` a GOPATH with a link to this repository, or removes it if Go is not to be had.
pub(super) fn prepare(directory: &Path) -> Result<String> {
    if missing().is_some() && apt::can_install() {
        apt::install("Go with its gRPC", PACKAGES)?;
    }
    if let Some(missing) = missing() {
        if directory.exists() {
            fs::remove_dir_all(directory).context(|| format!("remove {}", directory.display()))?;
        }
        return Ok(format!("SKIPPED: clients/go is neither generated nor tested: {missing}"));
    }
    let link = directory.join("src/github.com/keeptrusts/webhooks");
    let parent = link.parent().unwrap_or(directory);
    fs::create_dir_all(parent).context(|| format!("create {}", parent.display()))?;
    if fs::read_link(&link).ok().as_deref() != Some(workspace::root()) {
        if link.is_symlink() {
            fs::remove_file(&link).context(|| format!("remove {}", link.display()))?;
        }
        symlink(workspace::root(), &link)
            .context(|| format!("make the link {}", link.display()))?;
    }
    let version = shell::run_quietly(Command::new("go").arg("version"))?;
    Ok(format!("{} with what Debian packages of gRPC", version.trim()))
}

/// What the client for Go lacks here.
fn missing() -> Option<String> {
    for package in ["google.golang.org/grpc", "google.golang.org/genproto/googleapis/api"] {
        if !Path::new(SYSTEM).join("src").join(package).is_dir() {
            return Some(format!("there is no {SYSTEM}/src/{package} (a package of Debian)"));
        }
    }
    if !shell::succeeds(Command::new("go").arg("version")) {
        return Some("there is no `go` in PATH".to_owned());
    }
    for (generator, wanted) in GENERATORS {
        let said = shell::run_quietly(Command::new(generator).arg("--version"));
        if said.as_deref().map(str::trim).ok() != Some(wanted) {
            return Some(format!("there is no {wanted} in PATH"));
        }
    }
    // The older one knows nothing of google.golang.org/protobuf.
    let module = Path::new(SYSTEM).join("src/github.com/golang/protobuf/go.mod");
    let is_new =
        fs::read_to_string(module).is_ok_and(|text| text.contains("google.golang.org/protobuf"));
    (!is_new).then(|| "github.com/golang/protobuf is older than 1.5".to_owned())
}

/// The GOPATH, if Go is to be had.
pub(super) fn path(directory: &Path) -> Option<PathBuf> {
    directory.is_dir().then(|| directory.to_owned())
}

/// With Debian's packages, not with modules from a network.
pub(super) fn environment(directory: &Path) -> [(&'static str, String); 3] {
    [
        ("GO111MODULE", "off".to_owned()),
        ("GOFLAGS", String::new()),
        ("GOPATH", format!("{}:{SYSTEM}", directory.display())),
    ]
}
