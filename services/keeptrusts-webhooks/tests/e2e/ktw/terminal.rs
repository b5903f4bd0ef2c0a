//! A terminal, and scripts, that use `ktw`.

use std::fs;

use keeptrusts_webhooks_testkit::first_key::FIRST_KEY;
use keeptrusts_webhooks_testkit::process::{Launch, Process};
use serde_json::Value;
use tempfile::TempDir;

use crate::platform::{PATIENCE, Server};

/// A terminal: a server's address, a key in a file, and no profiles of anybody else.
pub(super) struct Terminal {
    pub(super) home: TempDir,
    address: String,
}

impl Terminal {
    pub(super) fn of(server: &Server) -> Self {
        let home = TempDir::new().expect("a folder");
        fs::write(home.path().join("key"), format!("{FIRST_KEY}\n")).expect("written");
        Self { home, address: format!("http://{}", server.address()) }
    }

    pub(super) fn file(&self, name: &str, content: &str) -> String {
        let path = self.home.path().join(name);
        fs::write(&path, content).expect("written");
        path.display().to_string()
    }

    pub(super) fn start(&self, arguments: &[&str]) -> Process {
        let home = self.home.path();
        Launch::binary("ktw")
            .env("KTW_PROFILES", home.join("profiles.toml"))
            .env("KEEPTRUSTS_WEBHOOKS_ADDRESS", &self.address)
            .env("KEEPTRUSTS_WEBHOOKS_API_KEY_FILE", home.join("key"))
            .env("KEEPTRUSTS_WEBHOOKS_ORGANIZATION", "acme")
            .args(arguments)
            .start()
    }

    pub(super) async fn run(&self, arguments: &[&str]) -> (i32, String) {
        let mut process = self.start(arguments);
        let status = process.wait_exit(PATIENCE).await;
        (status.code().unwrap_or(-1), process.output())
    }

    pub(super) async fn succeed(&self, arguments: &[&str]) -> String {
        let (status, output) = self.run(arguments).await;
        assert_eq!(status, 0, "ktw {arguments:?}: {output}");
        output
    }

    pub(super) async fn json(&self, arguments: &[&str]) -> Value {
        let output = self.succeed(&[arguments, &["--output", "json"]].concat()).await;
        // What is said on stderr is around it.
        let begin = output.find(['[', '{']).expect("JSON");
        let mut values = serde_json::Deserializer::from_str(&output[begin..]).into_iter();
        let first = values.next().expect("a value");
        first.unwrap_or_else(|error| panic!("{error}: {output}"))
    }
}
