//! Signals to a child process, which is this test binary running only the ignored test.
#![allow(clippy::print_stdout, reason = "a test is read by whoever runs it")]

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use keeptrusts_webhooks_process::shutdown::{self, ShutdownFlags};
use rustix::process::{Pid, Signal, kill_process};

/// Whether the process stays after the first signal.
const STAYS: &str = "TEST_STAYS_AFTER_THE_FIRST_SIGNAL";
/// Its time limit for the shutdown, in milliseconds.
const LIMIT: &str = "TEST_SHUTDOWN_LIMIT";

#[tokio::test]
#[ignore = "is the process that the other tests send signals to"]
async fn process_under_test() {
    let limit = std::env::var(LIMIT).map_or(60_000, |text| text.parse().expect("milliseconds"));
    let flags = ShutdownFlags { shutdown_timeout: Duration::from_millis(limit) };
    let shutdown = shutdown::on_signals(&flags).expect("handlers");
    println!("\nready");
    shutdown.requested().cancelled().await;
    println!("asked to stop");
    if std::env::var_os(STAYS).is_some() {
        std::future::pending::<()>().await;
    }
}

/// How long the test waits for the process to end.
const PATIENCE: Duration = Duration::from_secs(20);

struct Process {
    child: Child,
    lines: Box<dyn Iterator<Item = String>>,
}

impl Process {
    fn start(stays: bool) -> Process {
        Process::ending_within(stays, 60_000)
    }

    fn ending_within(stays: bool, limit: u32) -> Process {
        let mut command = Command::new(std::env::current_exe().expect("this program"));
        command.args(["--exact", "process_under_test", "--ignored", "--nocapture"]);
        command.env(LIMIT, limit.to_string());
        if stays {
            command.env(STAYS, "yes");
        }
        let mut child = command.stdout(Stdio::piped()).spawn().expect("a process");
        let output = BufReader::new(child.stdout.take().expect("piped"));
        let lines = Box::new(output.lines().map_while(Result::ok));
        let mut process = Process { child, lines };
        process.says("ready");
        process
    }

    fn says(&mut self, line: &str) {
        assert!(self.lines.any(|said| said == line), "it ends without saying {line:?}");
    }

    fn send(&self, signal: Signal) {
        let pid = Pid::from_child(&self.child);
        kill_process(pid, signal).expect("the process is there");
    }

    /// Sends the signal until the process ends. Signals within a second of the first one are the same
    /// request.
    fn exit_status_on(mut self, signal: Signal) -> Option<i32> {
        let end = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.child.try_wait().expect("it is our child") {
                return status.code();
            }
            assert!(Instant::now() < end, "it goes on");
            self.send(signal);
            std::thread::yield_now();
        }
    }

    fn exit_status(mut self) -> Option<i32> {
        self.child.wait().expect("it ends").code()
    }
}

#[test]
fn the_first_signal_asks_the_process_to_stop() {
    for signal in [Signal::TERM, Signal::INT] {
        let mut process = Process::start(false);
        process.send(signal);
        process.says("asked to stop");
        assert_eq!(process.exit_status(), Some(0));
    }
}

#[test]
fn the_second_signal_ends_it_at_once() {
    for (first, second, status) in [
        (Signal::TERM, Signal::TERM, 143),
        (Signal::INT, Signal::INT, 130),
        (Signal::TERM, Signal::INT, 130),
    ] {
        let mut process = Process::start(true);
        process.send(first);
        process.says("asked to stop");
        assert_eq!(process.exit_status_on(second), Some(status));
    }
}

#[test]
fn a_signal_that_comes_with_the_first_is_the_same_request() {
    let mut process = Process::ending_within(true, 100);
    process.send(Signal::TERM);
    process.says("asked to stop");
    process.send(Signal::TERM);
    assert_eq!(process.exit_status(), Some(1), "it has had its time");
}

#[test]
fn a_process_that_does_not_end_by_itself_is_ended_at_the_limit() {
    let mut process = Process::ending_within(true, 100);
    process.send(Signal::TERM);
    process.says("asked to stop");
    assert_eq!(process.exit_status(), Some(1));
}
