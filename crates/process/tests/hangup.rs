//! SIGHUP to a child process, which is this test binary running only the ignored test.
#![allow(clippy::print_stderr, clippy::print_stdout, reason = "a test is read by whoever runs it")]

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use keeptrusts_webhooks_process::hangup;
use rustix::process::{Pid, Signal, kill_process};

#[tokio::test]
#[ignore = "is the process that the other test sends signals to"]
async fn process_under_test() {
    let mut first = hangup::on_hangup().expect("a handler");
    let mut second = first.clone();
    println!("\nready");
    for _ in 0..2 {
        first.changed().await.expect("signals are heard");
        second.changed().await.expect("by everybody");
        println!("asked {} times", *first.borrow());
    }
}

#[test]
fn every_receiver_gets_each_hangup_and_the_process_goes_on() {
    let mut command = Command::new(std::env::current_exe().expect("this program"));
    command.args(["--exact", "process_under_test", "--ignored", "--nocapture"]);
    let mut child = command.stdout(Stdio::piped()).spawn().expect("a process");
    let output = BufReader::new(child.stdout.take().expect("piped"));
    let mut lines = output.lines().map_while(Result::ok);
    let mut says = |line: &str| assert!(lines.any(|said| said == line), "not {line:?}");
    says("ready");
    for line in ["asked 1 times", "asked 2 times"] {
        kill_process(Pid::from_child(&child), Signal::HUP).expect("the process is there");
        says(line);
    }
    assert!(child.wait().expect("it ends").success());
}
