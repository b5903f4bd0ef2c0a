//! The steps that check `deploy/` with the programs that will read it: Prometheus, compose, the linter
//! of Dockerfiles, the proxy. Nothing is started, and no container engine is needed.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::failure::{Context, Result};
use crate::{shell, tools, workspace};

/// Checks the configuration, and the rules that it names.
pub(crate) fn prometheus() -> Command {
    let mut command = promtool();
    command.args(["check", "config", "--lint-fatal", "prometheus.yml"]);
    command
}

/// Runs the tests of the alerts.
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

/// Checks the compose file with every reference resolved, with the machine's own compose if there is
/// one. Empty files replace what make-secrets.sh would make.
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
    // Paths in the file are relative to its folder, so a copy is checked.
    let copy = secrets.parent().unwrap_or(&secrets).join("compose.yaml");
    fs::copy(folder().join("compose.yaml"), &copy)
        .context(|| format!("copy compose.yaml to {}", copy.display()))?;
    command.arg("--file").arg(copy).args(["config", "--quiet"]);
    command.env("KEEPTRUSTS_USER", "65532:65532").current_dir(workspace::root());
    Ok(Some(command))
}

/// Lints the Dockerfile.
pub(crate) fn dockerfile() -> Command {
    let mut command = Command::new(tools::deployment("hadolint"));
    command.arg("deploy/Dockerfile").current_dir(workspace::root());
    command
}

/// Checks the proxy's configuration with the proxy. The proxy reads the certificates, so they are made
/// with make-secrets.sh, as a user does.
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

/// An empty folder `secrets` in a folder of the step.
fn scratch(step: &str) -> Result<PathBuf> {
    let directory = workspace::root().join("target/tools/deployment-steps").join(step);
    if directory.exists() {
        fs::remove_dir_all(&directory).context(|| format!("remove {}", directory.display()))?;
    }
    let secrets = directory.join("secrets");
    fs::create_dir_all(&secrets).context(|| format!("create {}", secrets.display()))?;
    Ok(secrets)
}
