//! Ends the children of a test process when that ends, even if it is killed.
//!
//! Statics are not dropped, and a killed process drops nothing. But the kernel closes its pipes. So a
//! shell waits for the end of a pipe that only we can write to. Then it kills the guarded process
//! group and removes its directory.

use std::io::Write;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};

use rustix::process::Pid;

/// `$1`: the signal to send first; `$2`: the directory to remove, or nothing. Each line that it reads
/// is the process group to guard from now on; an empty line is none. A zombie leader counts as ended,
/// because in a container it may never be reaped.
const SCRIPT: &str = r#"
trap '' HUP INT TERM
leader_runs() {
    read -r _ _ state _ <"/proc/$group/stat" && [ "$state" != Z ]
}
group=
while read -r line; do group=$line; done
if [ -n "$group" ]; then
    kill -s "$1" -- "-$group"
    tries=0
    while leader_runs && [ "$tries" -lt 100 ]; do
        sleep 0.1
        tries=$((tries + 1))
    done
    kill -s KILL -- "-$group"
fi
[ -z "$2" ] || rm -rf -- "$2"
"#;

#[derive(Debug)]
pub(crate) struct Watchdog {
    shell: Child,
    orders: Option<ChildStdin>,
}

impl Watchdog {
    /// Starts a watchdog that will send `signal` (by name), KILL if that does not help
    /// within 10 s, and then remove `directory`.
    pub(crate) fn start(signal: &str, directory: Option<&Path>) -> Self {
        let mut shell = Command::new("sh")
            .args(["-c", SCRIPT, "watchdog", signal])
            .arg(directory.unwrap_or(Path::new("")))
            .stdin(Stdio::piped())
            // A reader of our output waits until all its writers are gone.
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            // Ctrl-C in a terminal is sent to our whole process group; the watchdog must survive it.
            .process_group(0)
            .spawn()
            .expect("sh can be started");
        let orders = shell.stdin.take();
        Self { shell, orders }
    }

    /// Guards the process group of a child, in place of the previous one.
    pub(crate) fn guard(&mut self, leader: Pid) {
        self.order(&leader.as_raw_nonzero().to_string());
    }

    /// Guards nothing. Call it once the child has been waited for: its id may then be reused.
    pub(crate) fn release(&mut self) {
        self.order("");
    }

    fn order(&mut self, line: &str) {
        let orders = self.orders.as_mut().expect("orders are open until drop");
        writeln!(orders, "{line}").expect("the watchdog reads until its pipe is closed");
    }
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        drop(self.orders.take());
        // A failure here does not matter: the shell is gone in any case.
        let _ = self.shell.wait();
    }
}
