//! Ends what a test started when the test process ends, however that ends.
//!
//! Statics are not dropped, and nothing is dropped in a process that is killed. But the
//! kernel closes its pipes. So a shell waits for the end of a pipe that only we can write
//! to, and then kills what it was last told to guard and removes its directory.

use std::io::Write;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};

use rustix::process::Pid;

/// `$1`: the signal to send first; `$2`: the directory to remove, or nothing.
/// Each line read is the process group to guard from now on, or empty for none. Its leader
/// counts as ended when it is a zombie: in a container nobody may reap it.
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
            // Whoever reads our output waits until all its writers are gone.
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            // Ctrl-C in a terminal goes to our whole group; the watchdog must outlive it.
            .process_group(0)
            .spawn()
            .expect("sh can be started");
        let orders = shell.stdin.take();
        Self { shell, orders }
    }

    /// Guards a child that leads a process group of its own, and nothing else any more.
    pub(crate) fn guard(&mut self, leader: Pid) {
        self.order(&leader.as_raw_nonzero().to_string());
    }

    /// Guards nothing: once the child has been waited for, its id may become somebody
    /// else's.
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
        // Nothing can be done about a failure here, and the shell is gone in any case.
        let _ = self.shell.wait();
    }
}
