//! The steps that hold `deploy/` to the judgement of those who will read it: Prometheus, compose,
//! the builder of images, the proxy. Nothing is started: no engine for containers is needed.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::failure::{Context, Result};
use crate::{shell, tools, workspace};

/// The configuration, and the rules that it names.
pub(crate) fn prometheus() -> Command {
    let mut command = promtool();
    command.args(["check", "config", "--lint-fatal", "prometheus.yml"]);
    command
}

/// Each alert fires when it should, and does not when it should not.
pub(crate) fn alerts() -> Result<Option<Command>> {
    let folder = folder().join("prometheus");
    let mut tests = Vec::new();
    let reading = || format!("read {}", folder.join("tests").display());
    for entry in fs::read_dir(folder.join("tests")).context(reading)? {
        tests.push(Path::new("tests").join(entry.context(reading)?.file_name()));
    }
    tests.sort();
    let mut command = promtool();
    command.args(["test", "rules"]).args(tests);
    Ok(Some(command))
}

/// The compose file, with every reference resolved, by the compose that a user has, if there is
/// one. What make-secrets.sh makes is given by hand.
pub(crate) fn compose() -> Result<Option<Command>> {
    let mut users = Command::new("docker");
    users.arg("compose");
    let mut command = match shell::succeeds(Command::new("docker").args(["compose", "version"])) {
        true => users,
        false => Command::new(tools::deployment("docker-compose")),
    };
    let secrets = scratch("compose")?;
    let first_key = secrets.join("first-key.env");
    fs::write(&first_key, "").context(|| format!("write {}", first_key.display()))?;
    // Paths in the file are relative to where it lies, so that it is read from a copy.
    let copy = secrets.parent().unwrap_or(&secrets).join("compose.yaml");
    fs::copy(folder().join("compose.yaml"), &copy)
        .context(|| format!("copy compose.yaml to {}", copy.display()))?;
    command.arg("--file").arg(copy).args(["config", "--quiet"]);
    command.env("KEEPTRUSTS_USER", "65532:65532").current_dir(workspace::root());
    Ok(Some(command))
}

/// The Dockerfile, by hadolint.
pub(crate) fn dockerfile() -> Command {
    let mut command = Command::new(tools::deployment("hadolint"));
    command.arg("deploy/Dockerfile").current_dir(workspace::root());
    command
}

/// The proxy's configuration, by the proxy. It reads the certificates that it names, so that they
/// are made as a user makes them; which also runs make-secrets.sh.
pub(crate) fn proxy() -> Result<Option<Command>> {
    let secrets = scratch("proxy")?;
    let directory = secrets.parent().unwrap_or(&secrets).to_owned();
    fs::remove_dir_all(&secrets).context(|| format!("remove {}", secrets.display()))?;
    let script = directory.join("make-secrets.sh");
    fs::copy(folder().join("make-secrets.sh"), &script)
        .context(|| format!("copy make-secrets.sh to {}", script.display()))?;
    shell::run_quietly(&mut Command::new(&script))?;

    let reading = || "read deploy/Caddyfile".to_owned();
    let text = fs::read_to_string(folder().join("Caddyfile")).context(reading)?;
    let copy = directory.join("Caddyfile");
    let here = text.replace("/run/secrets/", &format!("{}/", secrets.display()));
    fs::write(&copy, here).context(|| format!("write {}", copy.display()))?;

    let mut command = Command::new(tools::deployment("caddy"));
    command
        .args(["validate", "--adapter", "caddyfile", "--config"])
        .arg(copy)
        .env("XDG_CONFIG_HOME", &directory)
        .env("XDG_DATA_HOME", &directory)
        .current_dir(workspace::root());
    Ok(Some(command))
}

fn promtool() -> Command {
    let mut command = Command::new(tools::promtool());
    command.current_dir(folder().join("prometheus"));
    command
}

fn folder() -> PathBuf {
    workspace::root().join("deploy")
}

/// A new folder `secrets` in one of the step's own.
fn scratch(step: &str) -> Result<PathBuf> {
    let directory = workspace::root().join("target/tools/deployment-steps").join(step);
    if directory.exists() {
        fs::remove_dir_all(&directory).context(|| format!("remove {}", directory.display()))?;
    }
    let secrets = directory.join("secrets");
    fs::create_dir_all(&secrets).context(|| format!("create {}", secrets.display()))?;
    Ok(secrets)
}
