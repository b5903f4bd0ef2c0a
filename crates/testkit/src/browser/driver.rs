//! Starts a chromedriver and its Chromium, with a profile of their own.

use std::fs;
use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};

use rustix::process::geteuid;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::sync::{Semaphore, SemaphorePermit};

use super::session::Session;
use crate::ports::free_port;
use crate::process::{Launch, Process};
use crate::tools;
use crate::watchdog::Watchdog;

/// How many browsers a test process runs at a time. Each has half a dozen processes that are busy
/// while a page loads: more of them only make every wait longer.
const BROWSERS: usize = 2;
static ROOM: Semaphore = Semaphore::const_new(BROWSERS);

/// How long chromedriver may take to start.
const START: Duration = Duration::from_secs(60);

/// The processes and their folder. Fields are dropped in this order.
#[derive(Debug)]
pub(super) struct Driver {
    _chromedriver: Process,
    _folder: Folder,
    _room: SemaphorePermit<'static>,
}

impl Driver {
    /// Waits for its turn and starts a browser with one empty window.
    pub(super) async fn start(any_certificate: bool) -> (Self, Session) {
        let room = ROOM.acquire().await.expect("the semaphore is never closed");
        let folder = Folder::new();
        // By itself it takes a free IPv4 port, and ends if the same IPv6 port is in use, which can
        // happen with the system's ephemeral ports.
        let chromedriver = Launch::program(tools::chromedriver())
            .arg(format!("--port={}", free_port()))
            // Chromium keeps a crash database at home, whatever its profile is.
            .env("HOME", folder.path())
            .env("TMPDIR", folder.path())
            .env("LANGUAGE", "en_US")
            .start();
        let line = chromedriver.wait_for_line(|line| port(line).is_some(), START).await;
        let port = port(&line).expect("the line was chosen for its port");
        let session = Session::open(port, capabilities(folder.path(), any_certificate)).await;
        (Self { _chromedriver: chromedriver, _folder: folder, _room: room }, session)
    }
}

fn port(line: &str) -> Option<u16> {
    line.strip_prefix("ChromeDriver was started successfully on port ")?
        .trim_end_matches('.')
        .parse()
        .ok()
}

fn capabilities(folder: &Path, any_certificate: bool) -> Value {
    let profile = format!("--user-data-dir={}", folder.join("profile").display());
    let mut arguments = vec![
        "--headless=new",
        "--disable-gpu",
        // /dev/shm is small in containers.
        "--disable-dev-shm-usage",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-default-apps",
        "--disable-extensions",
        "--disable-sync",
        "--no-first-run",
        "--no-default-browser-check",
        "--password-store=basic",
        "--lang=en-US",
        // As on a telephone, where a page that is 375 px wide has all of them.
        "--hide-scrollbars",
        // Otherwise its log only says that there is no message bus.
        "--log-level=3",
        &profile,
    ];
    if geteuid().is_root() {
        // Chromium refuses to run as root with it.
        arguments.push("--no-sandbox");
    }
    json!({
        "browserName": "chrome",
        "acceptInsecureCerts": any_certificate,
        // A dialog that no test expects makes the next command fail.
        "unhandledPromptBehavior": "dismiss and notify",
        "goog:loggingPrefs": { "browser": "ALL" },
        "goog:chromeOptions": { "binary": tools::chromium(), "args": arguments },
    })
}

/// A temporary folder that is removed when it is dropped or when the test process is killed.
#[derive(Debug)]
struct Folder {
    folder: TempDir,
    _watchdog: Watchdog,
}

impl Folder {
    fn new() -> Self {
        let folder = tempfile::Builder::new()
            .prefix("keeptrusts-browser-")
            .tempdir()
            .expect("a temporary folder can be made");
        let watchdog = Watchdog::start("KILL", Some(folder.path()));
        Self { folder, _watchdog: watchdog }
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // Chromium's processes have been sent SIGKILL, but we cannot wait for grandchildren, and until
        // they end they may make another file.
        let end = Instant::now() + Duration::from_secs(5);
        while fs::remove_dir_all(self.path()).is_err() && self.path().exists() {
            if Instant::now() > end {
                return;
            }
            sleep(Duration::from_millis(10));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_port_is_found_in_what_chromedriver_says() {
        assert_eq!(port("ChromeDriver was started successfully on port 35093."), Some(35_093));
        assert_eq!(port("Starting ChromeDriver 148.0.7778.167 on port 0"), None);
    }
}
