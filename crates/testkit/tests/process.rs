//! Child processes: output, signals, exit.
#![allow(clippy::print_stdout, reason = "a test is read by whoever runs it")]

use std::fs;
use std::time::Duration;

use keeptrusts_webhooks_testkit::process::{Launch, Process, Signal};

const SOON: Duration = Duration::from_secs(10);

fn shell(script: &str) -> Process {
    Launch::program("sh").args(["-c", script]).start()
}

/// The kernel's letter for what a process is doing; none if there is no such process.
fn state(id: i32) -> Option<char> {
    let stat = fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
    let (_, after_name) = stat.rsplit_once(')')?;
    after_name.trim_start().chars().next()
}

/// Whether a process runs: one that ended and was not waited for yet (a zombie) does not.
fn runs(id: i32) -> bool {
    !matches!(state(id), None | Some('Z'))
}

/// Waits for what nobody notifies us of.
async fn until(condition: impl Fn() -> bool) {
    let holds = async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(SOON, holds).await.expect("it happens soon");
}

#[tokio::test]
async fn lines_of_both_outputs_are_in_order() {
    let mut process = shell("echo one; echo two >&2; echo three; exit 3");
    let line = process.wait_for_line(|line| line.contains("tw"), SOON).await;
    assert_eq!(line, "two");
    let status = process.wait_exit(SOON).await;
    assert_eq!(status.code(), Some(3));
    assert_eq!(process.output(), "one\ntwo\nthree\n");
}

#[tokio::test]
#[should_panic(expected = "sh ended without the line waited for")]
async fn waiting_for_a_line_ends_with_the_process() {
    shell("echo something else").wait_for_line(|line| line == "ready", SOON).await;
}

#[tokio::test]
#[should_panic(expected = "sh did not write the line waited for in 50ms")]
async fn waiting_for_a_line_has_a_limit() {
    shell("read forever </dev/zero").wait_for_line(|_| true, Duration::from_millis(50)).await;
}

#[tokio::test]
async fn the_address_listened_on_is_returned() {
    let process = shell("echo starting; echo 'INFO listening address=127.0.0.1:50051'; sleep 100");
    let address = process.wait_for_listening(SOON).await;
    assert_eq!(address.to_string(), "127.0.0.1:50051");
}

#[tokio::test]
async fn configuration_of_our_binaries_comes_from_the_launch_only() {
    let mut process = Launch::program("sh")
        .args(["-c", "echo \"$KEEPTRUSTS_WEBHOOKS_LISTEN $GREETING\""])
        .env("GREETING", "hello")
        .start();
    process.wait_exit(SOON).await;
    assert_eq!(process.output(), " hello\n");
}

#[tokio::test]
async fn signals_reach_the_process() {
    let mut process =
        shell("trap 'echo stopping; exit 0' TERM; echo ready; while :; do sleep 0.01; done");
    process.wait_for_line(|line| line == "ready", SOON).await;
    process.signal(Signal::Term);
    assert!(process.wait_exit(SOON).await.success());
    assert!(process.output().ends_with("stopping\n"));
}

#[tokio::test]
async fn a_suspended_process_can_be_resumed() {
    let process = shell("echo ready; read -r line </dev/zero; echo never");
    process.wait_for_line(|line| line == "ready", SOON).await;
    process.signal(Signal::Stop);
    until(|| state(process.id()) == Some('T')).await;
    process.signal(Signal::Continue);
    until(|| state(process.id()) == Some('R')).await;
}

#[tokio::test]
async fn killing_waits_for_the_end() {
    use std::os::unix::process::ExitStatusExt;

    let mut process = Launch::program("sleep").arg("100").start();
    assert_eq!(process.kill().await.signal(), Some(9));
    assert!(!runs(process.id()));
}

#[tokio::test]
async fn dropping_ends_the_process_even_when_it_is_suspended() {
    let process = Launch::program("sleep").arg("100").start();
    let id = process.id();
    process.signal(Signal::Stop);
    drop(process);
    assert!(!runs(id));
}

#[test]
#[should_panic(expected = "run `cargo build --workspace --bins` first")]
fn a_binary_that_is_not_built_is_named() {
    Launch::binary("no-such-binary");
}

/// Not a test of its own: what the next one kills.
#[tokio::test]
#[ignore = "run by a_child_dies_with_a_test_that_is_killed"]
async fn a_test_that_is_going_to_be_killed() {
    let child = Launch::program("sleep").arg("100").start();
    println!("\nchild {}", child.id());
    std::future::pending::<()>().await;
}

#[tokio::test]
async fn a_child_dies_with_a_test_that_is_killed() {
    let mut test = Launch::program(std::env::current_exe().expect("the running test has a path"))
        .args(["--ignored", "--nocapture", "--exact", "a_test_that_is_going_to_be_killed"])
        .start();
    let line = test.wait_for_line(|line| line.starts_with("child "), SOON).await;
    let child = line.trim_start_matches("child ").parse().expect("it is a process id");
    assert!(runs(child));

    test.kill().await;
    until(|| !runs(child)).await;
}
