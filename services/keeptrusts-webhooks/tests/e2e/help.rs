//! The help of every program, and whether its flags are also environment variables.

mod configuration;

use std::collections::BTreeSet;
use std::fs;

use keeptrusts_webhooks_process::command_line::FLAGS_WITHOUT_VARIABLE;
use keeptrusts_webhooks_testkit::first_key::FIRST_KEY;
use keeptrusts_webhooks_testkit::process::{Launch, Signal};

use crate::platform::{Backend, Database, PATIENCE};

/// Every binary and subcommand.
const COMMANDS: &[&[&str]] = &[
    &["keeptrusts-webhooks"],
    &["keeptrusts-webhooks", "serve"],
    &["keeptrusts-webhooks", "demo"],
    &["keeptrusts-webhooks", "log"],
    &["keeptrusts-webhooks", "log", "rebuild"],
    &["keeptrusts-webhooks", "rotate-master-key"],
    &["keeptrusts-webhooks", "organization"],
    &["keeptrusts-webhooks", "organization", "erase"],
    &["endpoint-service"],
    &["ingest-service"],
    &["dispatch-service"],
    &["access-service"],
    &["notification-service"],
    &["console"],
];

async fn said_by(command: &[&str], flag: &str) -> String {
    let launch = Launch::binary(command[0]).env(WIDTH, UNWRAPPED);
    let mut process = launch.args(&command[1..]).arg(flag).start();
    let status = process.wait_exit(PATIENCE).await;
    assert!(status.success(), "{command:?} {flag}: {status}");
    process.output()
}

/// The variable that tells programs how wide a terminal is, and a width in which no text has two lines.
const WIDTH: &str = "COLUMNS";
const UNWRAPPED: &str = "10000";

fn flags_in(help: &str) -> BTreeSet<&str> {
    let words = help.lines().map(str::trim_start).filter(|line| line.starts_with('-'));
    words.flat_map(|line| line.split([' ', ','])).filter(|word| word.starts_with("--")).collect()
}

/// Whether a flag exists on the command line only.
fn is_only_written(flag: &str) -> bool {
    let name = flag.trim_start_matches("--");
    ["help", "version"].contains(&name) || FLAGS_WITHOUT_VARIABLE.contains(&name)
}

fn variable_of(flag: &str) -> String {
    let name = flag.trim_start_matches("--").replace('-', "_").to_uppercase();
    format!("KEEPTRUSTS_WEBHOOKS_{name}")
}

#[tokio::test]
async fn help_names_each_flag_with_its_environment_variable() {
    for command in COMMANDS {
        let help = said_by(command, "--help").await;
        assert!(help.contains("Usage: "), "{command:?}\n{help}");
        let flags = flags_in(&help);
        assert!(flags.contains("--help"), "{command:?}\n{help}");
        for flag in flags.into_iter().filter(|flag| !is_only_written(flag)) {
            let variable = format!("[env: {}", variable_of(flag));
            assert!(help.contains(&variable), "{command:?} {flag}\n{help}");
        }
    }
}

#[tokio::test]
async fn serve_has_the_documented_flags_and_defaults() {
    let help = said_by(&["keeptrusts-webhooks", "serve"], "--help").await;
    let flags = flags_in(&help);
    for flag in [
        "--database-url",
        "--data-dir",
        "--trust-ca",
        "--allow-network",
        "--allow-port",
        "--dns-server",
        "--outbound-proxy",
        "--tls-cert",
        "--tls-key",
        "--tls-client-ca",
        "--insecure",
    ] {
        assert!(flags.contains(flag), "{flag}\n{help}");
    }
    for (flag, default) in [
        ("--listen", "127.0.0.1:50051"),
        ("--retry-schedule", "1m,5m,30m,2h,12h"),
        ("--request-timeout", "10s"),
        ("--lease-ttl", "10s"),
        ("--database-connections", "10"),
        ("--database-timeout", "5s"),
        ("--max-request-bytes", "4194304"),
        ("--max-requests-in-flight", "4096"),
        ("--max-connections", "4096"),
    ] {
        assert!(flags.contains(flag), "{flag}\n{help}");
        assert!(help.contains(&format!("[default: {default}]")), "{flag}\n{help}");
    }
}

#[tokio::test]
async fn version_is_the_workspaces() {
    for command in COMMANDS.iter().filter(|command| command.len() == 1) {
        let version = said_by(command, "--version").await;
        assert_eq!(version.trim(), format!("{} {}", command[0], env!("CARGO_PKG_VERSION")));
    }
}

#[tokio::test]
async fn a_server_can_be_configured_by_its_environment_alone() {
    let database = Database::new(Backend::Sqlite).await;
    let variables = [
        ("LISTEN", "127.0.0.1:0"),
        ("BOOTSTRAP_ADMIN_KEY", FIRST_KEY),
        ("CONSOLE_LISTEN", "127.0.0.1:0"),
        ("RETRY_SCHEDULE", "1s,2s"),
        ("REQUEST_TIMEOUT", "3s"),
        ("ALLOW_NETWORK", "127.0.0.0/8,10.0.0.0/8"),
        ("ALLOW_PORT", "80,8000-8100"),
        ("DNS_SERVER", "192.0.2.53,[2001:db8::53]:5353"),
        ("OUTBOUND_PROXY", "http://user:password@proxy.example:3128"),
        ("ENDPOINT_CONCURRENCY", "4"),
        ("LEASE_TTL", "5s"),
        ("BODY_RETENTION", "7d"),
        ("LOG_FORMAT", "json"),
        ("LOG_LEVEL", "info"),
    ];
    let mut launch = Launch::binary("keeptrusts-webhooks")
        .arg("serve")
        .env("KEEPTRUSTS_WEBHOOKS_DATA_DIR", database.folder());
    for (name, value) in variables {
        launch = launch.env(format!("KEEPTRUSTS_WEBHOOKS_{name}"), value);
    }
    let mut process = launch.start();
    process.wait_for_listening(PATIENCE).await;
    process.signal(Signal::Term);
    assert!(process.wait_exit(PATIENCE).await.success());
    assert!(process.output().lines().all(|line| line.starts_with('{')), "the logs are JSON");
    assert!(database.folder().join("webhooks.db").is_file(), "the data folder is the given one");
}

#[tokio::test]
async fn a_wrong_value_is_refused_with_what_would_be_right() {
    for (variable, value, words) in [
        ("RETRY_SCHEDULE", "soon", "for example `1m,5m,30m,2h,12h`"),
        ("REQUEST_TIMEOUT", "10", "for example 500ms, 10s, 1h30m or 30d"),
        ("REQUEST_TIMEOUT", "0s", "must be longer than zero"),
        ("ALLOW_NETWORK", "127.0.0.1.5", "invalid value '127.0.0.1.5'"),
        ("ALLOW_PORT", "https", "a port from 1 to 65535 or a range of them"),
        ("DNS_SERVER", "dns.example", "the IP address of a DNS server"),
        ("OUTBOUND_PROXY", "proxy.example:3128", "must be http://host:port"),
        ("LISTEN", "localhost", "127.0.0.1:50051 (or localhost:50051)"),
        ("LISTEN", ":0", "cannot listen on 0.0.0.0:0 without TLS"),
        ("METRICS_LISTEN", "9464", "write an IP address and a port"),
        ("CONSOLE_LISTEN", ":0", "it speaks plain HTTP"),
        ("DATABASE_URL", "mysql://db/webhooks", "must begin with postgres:// or sqlite:"),
        ("TRUST_CA", "/does/not/exist.pem", "file /does/not/exist.pem"),
        ("BODY_RETENTION", "1h", "must be longer than the whole --retry-schedule"),
        ("LEASE_TTL", "10ms", "must be at least 1s"),
        ("TLS_CERT", "server.pem", "--tls-key <FILE>"),
        ("NO_CONSOLE", "true", "cannot be used with"),
        ("MASTER_KEY_FILE", "/dev/null", "master key"),
        ("SMTP_CA", "/does/not/exist.pem", "file /does/not/exist.pem"),
        ("MASTER_KEY_FILE", "/does/not/exist/master.key", "the folder /does/not/exist that"),
        ("DATABASE_URL", "sqlite:/does/not/exist/webhooks.db", "the folder /does/not/exist that"),
        ("DATABASE_URL", "sqlite::memory:", "in memory, which would keep nothing"),
        ("DATABASE_URL", "sqlite:webhooks.db?mode=rwc", "has parameters (? or #)"),
        ("MAX_CONNECTIONS", "0", "write a whole number, 1 or more"),
        ("MAX_CONNECTIONS", "many", "write a whole number, 1 or more"),
        ("ENDPOINT_CONCURRENCY", "65", "write a whole number from 1 to 64"),
        ("FAILED_LOGINS_PER_MINUTE", "0", "write a whole number, 1 or more"),
    ] {
        let database = Database::new(Backend::Sqlite).await;
        let data = database.folder();
        let name = format!("KEEPTRUSTS_WEBHOOKS_{variable}");
        let mut process = Launch::binary("keeptrusts-webhooks")
            .args(["serve", "--data-dir"])
            .arg(data)
            .env("KEEPTRUSTS_WEBHOOKS_LISTEN", "127.0.0.1:0")
            .env("KEEPTRUSTS_WEBHOOKS_CONSOLE_LISTEN", "127.0.0.1:0")
            .env("KEEPTRUSTS_WEBHOOKS_SMTP_SERVER", "smtp.example:587")
            .env("KEEPTRUSTS_WEBHOOKS_SMTP_FROM", "webhooks@example.com")
            .env(&name, value)
            .start();
        let status = process.wait_exit(PATIENCE).await;
        let said = process.output();
        assert!(!status.success(), "{variable}={value}");
        assert!(said.contains(words), "{variable}={value}\n{said}");
        if !without_its_name(variable) {
            assert!(said.contains(&name), "{name} is at fault\n{said}");
        }
        let flag = format!("--{} ", variable.to_lowercase().replace('_', "-"));
        let mut lines = said.lines().filter(|line| !line.starts_with("Usage:"));
        assert!(lines.all(|line| !line.contains(&flag)), "nobody has given {flag}\n{said}");
        let left = fs::read_dir(data).expect("a folder").count();
        assert_eq!(left, 0, "{variable}={value} has left something\n{said}");
    }
}

/// A file or an address is wrong, and the error names that.
fn without_its_name(variable: &str) -> bool {
    ["CONSOLE_LISTEN", "LISTEN"].contains(&variable)
}

#[tokio::test]
async fn every_number_is_refused_with_what_would_be_right() {
    let mut numbers = 0;
    for command in COMMANDS {
        let help = said_by(command, "--help").await;
        for line in help.lines().filter(|line| line.trim_start().starts_with("--")) {
            let mut words = line.split_whitespace();
            let (Some(flag), Some(value)) = (words.next(), words.next()) else { continue };
            if !["<NUMBER>", "<BYTES>"].contains(&value) {
                continue;
            }
            numbers += 1;
            for wrong in ["many", "1.5", "99999999999999999999"] {
                let mut process =
                    Launch::binary(command[0]).args(&command[1..]).args([flag, wrong]).start();
                assert_eq!(process.wait_exit(PATIENCE).await.code(), Some(2));
                let said = process.output();
                assert!(said.contains("write a whole number"), "{flag}={wrong}\n{said}");
            }
        }
    }
    assert!(numbers > 40, "{numbers}");
}

#[tokio::test]
async fn only_the_default_data_folder_is_made() {
    let folder = tempfile::tempdir().expect("a folder");
    let serve = Launch::binary("keeptrusts-webhooks")
        .args(["serve", "--no-console", "--listen", "127.0.0.1:0"])
        .after(&format!("cd '{}'", folder.path().display()));
    let mut process = serve.clone().args(["--data-dir", "keeptrusts-webhook-data"]).start();
    assert_eq!(process.wait_exit(PATIENCE).await.code(), Some(1));
    let said = process.output();
    let words = "the folder keeptrusts-webhook-data that --data-dir names does not exist";
    assert!(said.contains(words), "{said}");
    assert_eq!(fs::read_dir(folder.path()).expect("a folder").count(), 0);

    let mut process = serve.start();
    process.wait_for_listening(PATIENCE).await;
    process.signal(Signal::Term);
    assert!(process.wait_exit(PATIENCE).await.success());
    assert!(folder.path().join("keeptrusts-webhooks-data/webhooks.db").is_file());
}

#[tokio::test]
async fn variables_that_are_empty_are_not_given() {
    let database = Database::new(Backend::Sqlite).await;
    let help = said_by(&["keeptrusts-webhooks", "serve"], "--help").await;
    let mut variables: BTreeSet<_> = help.split("[env: ").skip(1).collect();
    variables = variables.iter().filter_map(|text| text.split(['=', ']']).next()).collect();
    assert!(variables.len() > 60, "{variables:?}");
    let mut launch = Launch::binary("keeptrusts-webhooks").arg("serve");
    for variable in variables.iter().chain(&["KEEPTRUSTS_WEBHOOKS_MASTER_KEY"]) {
        launch = launch.env(variable, "");
    }
    let emptied = launch.clone();
    let mut process = launch
        .env("KEEPTRUSTS_WEBHOOKS_DATA_DIR", database.folder())
        .env("KEEPTRUSTS_WEBHOOKS_LISTEN", "localhost:0")
        .arg("--no-console")
        .start();
    process.wait_for_listening(PATIENCE).await;
    process.signal(Signal::Term);
    assert!(process.wait_exit(PATIENCE).await.success());
    assert!(database.folder().join("webhooks.db").is_file());

    let mut process = emptied.env(WIDTH, UNWRAPPED).arg("--help").start();
    assert!(process.wait_exit(PATIENCE).await.success());
    let help = process.output();
    for variable in variables {
        assert!(help.contains(&format!("[env: {variable}")), "{variable}\n{help}");
    }
}

#[tokio::test]
async fn a_variable_hidden_in_help_is_hidden_in_errors() {
    let mut process = Launch::binary("keeptrusts-webhooks")
        .arg("serve")
        .env("KEEPTRUSTS_WEBHOOKS_BOOTSTRAP_ADMIN_KEY", "kt_geheim")
        .start();
    assert!(!process.wait_exit(PATIENCE).await.success());
    let said = process.output();
    assert!(said.contains("KEEPTRUSTS_WEBHOOKS_BOOTSTRAP_ADMIN_KEY"), "{said}");
    assert!(said.contains("write kt_ and 64 hex digits") && !said.contains("geheim"), "{said}");
}

#[tokio::test]
async fn the_proxys_password_is_shown_neither_by_help_nor_by_an_error() {
    for arguments in [&["--help"][..], &["--listen", "127.0.0.1:0"]] {
        let database = Database::new(Backend::Sqlite).await;
        let mut process = Launch::binary("keeptrusts-webhooks")
            .args(["serve", "--data-dir"])
            .arg(database.folder())
            .args(arguments)
            .env("KEEPTRUSTS_WEBHOOKS_CONSOLE_LISTEN", "127.0.0.1:0")
            .env("KEEPTRUSTS_WEBHOOKS_OUTBOUND_PROXY", "socks5://user:geheim@proxy.example:1080")
            .start();
        process.wait_exit(PATIENCE).await;
        let output = process.output();
        assert!(output.contains("OUTBOUND_PROXY") && !output.contains("geheim"), "{output}");
    }
}
