//! Standard output and standard error that never block the process.
//!
//! A pipe that nobody reads (a stuck log driver, a halted terminal) buffers 64 KiB and then blocks
//! every writer. So each of the two streams has a thread that writes, and a queue that is bounded in
//! bytes. Lines for standard error that find no room are dropped and counted, and a line reports them
//! when writing is possible again.
//!
//! tracing-appender has such a queue as well. But if the queue is full at the end of the process, it
//! reports that by `println!`, which blocks for ever.
//!
//! Decision: docs/decisions/logs-never-wait.md

use std::collections::VecDeque;
use std::fmt;
use std::fs::{self, File, Metadata};
use std::io::{self, ErrorKind, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use crate::repeated_lines;

/// Bytes in the queue, including the line that is being written: some thousand lines.
const MAX_QUEUED_BYTES: usize = 1024 * 1024;
/// Bytes that a queued line takes besides its text.
const LINE_OVERHEAD: usize = 32;
/// Between two attempts to write to a file that another process has set to `O_NONBLOCK`.
const NOT_READY_PAUSE: Duration = Duration::from_millis(10);

static STDERR: OnceLock<Output> = OnceLock::new();
static STDOUT: OnceLock<Output> = OnceLock::new();
/// Of standard error.
static LOST_LINES: AtomicU64 = AtomicU64::new(0);

/// Log lines that were lost because nobody read them, since the process began.
pub(crate) fn lost_lines() -> u64 {
    LOST_LINES.load(Ordering::Relaxed)
}

/// Prints a line to standard output, like `println!`, for the results of a command. Waits while a
/// megabyte is unread, but no longer than [`output::give_results_up_after`] permits. Never fails.
///
/// [`output::give_results_up_after`]: crate::output::give_results_up_after
#[macro_export]
macro_rules! print_stdout {
    ($($text:tt)*) => { $crate::output::result_line(format_args!($($text)*)) };
}

/// Prints a line to standard error, like `eprintln!`. Never waits and never fails.
#[macro_export]
macro_rules! print_stderr {
    ($($text:tt)*) => { $crate::output::note_line(format_args!($($text)*)) };
}

/// See [`print_stdout!`](crate::print_stdout).
pub fn result_line(text: fmt::Arguments<'_>) {
    stdout().push_waiting(format!("{text}\n").into_bytes());
}

/// Prints a line to standard output and waits until it is written, for at most `limit`. Whether
/// somebody may have read it. Blocks the thread.
pub fn result_line_within(text: fmt::Arguments<'_>, limit: Duration) -> bool {
    if own_file(io::stdout()).is_ok_and(|file| is_null_device(&file)) {
        return false;
    }
    let end = Instant::now() + limit;
    stdout().write_by(format!("{text}\n").into_bytes(), end)
}

/// Also true for a program that was started with its output closed.
fn is_null_device(file: &File) -> bool {
    let device = |metadata: Metadata| metadata.rdev();
    let null = fs::metadata("/dev/null").map(device).ok();
    null.is_some() && file.metadata().map(device).ok() == null
}

/// See [`print_stderr!`](crate::print_stderr).
pub fn note_line(text: fmt::Arguments<'_>) {
    stderr().push(format!("{text}\n").into_bytes());
}

/// Waits until everything is written, for at most `limit` in total: for the end of a process. Blocks
/// the thread.
pub fn finish(limit: Duration) {
    repeated_lines::report_all();
    let end = Instant::now() + limit;
    for output in [&STDERR, &STDOUT].into_iter().filter_map(OnceLock::get) {
        output.wait_until_written(Some(end));
    }
}

/// Like [`finish`], for a command: waits for its results as long as the reader takes, or until they
/// are given up. Whether all of them were written.
pub fn finish_results(limit: Duration) -> bool {
    let is_written = STDOUT.get().is_none_or(|output| output.wait_until_written(None));
    finish(limit);
    is_written
}

/// Stops waiting for results after `limit` from now: for a command that was asked to stop.
pub fn give_results_up_after(limit: Duration) {
    stdout().give_up_at(Instant::now() + limit);
}

/// The writer of log lines. Each call of `write` is one line.
pub(crate) struct LogLines;

impl Write for LogLines {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        stderr().push(line.to_vec());
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn stderr() -> &'static Output {
    STDERR.get_or_init(|| {
        Output::start("stderr", || own_file(io::stderr()), &LOST_LINES, repeated_lines::report_lost)
    })
}

fn stdout() -> &'static Output {
    static UNCOUNTED: AtomicU64 = AtomicU64::new(0);
    STDOUT.get_or_init(|| {
        Output::start("stdout", || own_file(io::stdout()), &UNCOUNTED, repeated_lines::report_lost)
    })
}

/// Without std's lock and buffer, which would block the end of the process.
fn own_file(stream: impl AsFd) -> io::Result<File> {
    Ok(File::from(stream.as_fd().try_clone_to_owned()?))
}

/// A queue of lines, and a thread that writes them.
struct Output {
    queue: Arc<Queue>,
}

struct Queue {
    state: Mutex<State>,
    /// Notified on every change of the state.
    changed: Condvar,
    /// Since the process began.
    total_lost: &'static AtomicU64,
}

#[derive(Default)]
struct State {
    lines: VecDeque<Vec<u8>>,
    /// Of the queued lines, and of the line that is being written.
    bytes: usize,
    /// Lost lines that are not reported yet.
    lost: u64,
    /// Failed writes.
    failed: u64,
    /// Nobody waits after this time.
    give_up_at: Option<Instant>,
}

impl Output {
    /// Starts the thread, which opens the file. If either fails, all lines are lost.
    fn start<W: Write>(
        name: &str,
        open: impl FnOnce() -> io::Result<W> + Send + 'static,
        total_lost: &'static AtomicU64,
        report_lost: impl Fn(u64) + Send + 'static,
    ) -> Output {
        let (state, changed) = (Mutex::default(), Condvar::new());
        let queue = Arc::new(Queue { state, changed, total_lost });
        let written = Arc::clone(&queue);
        let write = move || {
            let mut file = open().ok();
            let write = |line: &[u8]| match &mut file {
                Some(file) => write_line(file, line),
                None => Err(ErrorKind::NotConnected.into()),
            };
            written.write_all(write, report_lost);
        };
        // Without a thread the queue fills up, and lines are dropped.
        _ = thread::Builder::new().name(name.to_owned()).spawn(write);
        Output { queue }
    }

    /// Queues a line, or drops it if there is no room.
    fn push(&self, line: Vec<u8>) {
        let mut state = self.queue.state();
        if state.has_room_for(&line) {
            state.take(line);
            self.queue.changed.notify_all();
        } else {
            state.lost += 1;
            self.queue.total_lost.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Waits for room, then queues a line. Drops it if the waiting is given up.
    fn push_waiting(&self, line: Vec<u8>) {
        let (mut state, has_room) =
            self.wait_until(self.queue.state(), None, |state| state.has_room_for(&line));
        if has_room {
            state.take(line);
            self.queue.changed.notify_all();
        } else {
            state.lost += 1;
            self.queue.total_lost.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Queues a line if there is room. Whether it and all lines before it were written by `end`.
    fn write_by(&self, line: Vec<u8>, end: Instant) -> bool {
        let mut state = self.queue.state();
        if !state.has_room_for(&line) {
            return false;
        }
        let failed = state.failed;
        state.take(line);
        self.queue.changed.notify_all();
        let (state, is_over) = self.wait_until(state, Some(end), |state| state.bytes == 0);
        is_over && state.failed == failed
    }

    /// Waits until the queue is empty and nothing is being written, but not after `end`. Whether all
    /// lines were written.
    fn wait_until_written(&self, end: Option<Instant>) -> bool {
        let (state, is_written) =
            self.wait_until(self.queue.state(), end, |state| state.bytes == 0);
        is_written && state.give_up_at.is_none_or(|_| state.lost == 0)
    }

    /// Nobody waits after `end`.
    fn give_up_at(&self, end: Instant) {
        self.queue.state().give_up_at.get_or_insert(end);
        self.queue.changed.notify_all();
    }

    /// Waits for a condition, but not after `end` or after the waiting is given up. Whether it holds.
    fn wait_until<'a>(
        &self,
        mut state: MutexGuard<'a, State>,
        end: Option<Instant>,
        condition: impl Fn(&State) -> bool,
    ) -> (MutexGuard<'a, State>, bool) {
        let changed = &self.queue.changed;
        while !condition(&state) {
            let end = end.into_iter().chain(state.give_up_at).min();
            let left = end.map(|end| end.saturating_duration_since(Instant::now()));
            state = match left {
                Some(Duration::ZERO) => return (state, false),
                Some(left) => {
                    let waited = changed.wait_timeout(state, left);
                    waited.unwrap_or_else(PoisonError::into_inner).0
                }
                None => changed.wait(state).unwrap_or_else(PoisonError::into_inner),
            };
        }
        (state, true)
    }
}

impl Queue {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes lines for ever.
    fn write_all(&self, mut write: impl FnMut(&[u8]) -> io::Result<()>, report_lost: impl Fn(u64)) {
        loop {
            let line = self.next();
            let written = write(&line);
            let mut state = self.state();
            state.bytes -= cost(&line);
            if written.is_err() {
                state.lost += 1;
                state.failed += 1;
                self.total_lost.fetch_add(1, Ordering::Relaxed);
            }
            // Reported only when there is room again, so that the report is not lost as well.
            let flows = written.is_ok() && state.bytes < MAX_QUEUED_BYTES / 2;
            let lost = if flows { std::mem::take(&mut state.lost) } else { 0 };
            drop(state);
            self.changed.notify_all();
            if lost > 0 {
                report_lost(lost);
            }
        }
    }

    fn next(&self) -> Vec<u8> {
        let mut state = self.state();
        loop {
            if let Some(line) = state.lines.pop_front() {
                return line;
            }
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

impl State {
    /// An empty queue takes a line of any length.
    fn has_room_for(&self, line: &[u8]) -> bool {
        self.bytes == 0 || self.bytes + cost(line) <= MAX_QUEUED_BYTES
    }

    fn take(&mut self, line: Vec<u8>) {
        self.bytes += cost(&line);
        self.lines.push_back(line);
    }
}

fn cost(line: &[u8]) -> usize {
    line.len() + LINE_OVERHEAD
}

/// Like `write_all`, but waits if the file is not ready.
fn write_line(file: &mut impl Write, mut line: &[u8]) -> io::Result<()> {
    while !line.is_empty() {
        match file.write(line) {
            Ok(0) => return Err(ErrorKind::WriteZero.into()),
            Ok(count) => line = &line[count..],
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => thread::sleep(NOT_READY_PAUSE),
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    static LOST: AtomicU64 = AtomicU64::new(0);
    /// Longer than anything here takes.
    const PATIENCE: Duration = Duration::from_secs(30);

    /// A file that blocks writers until the test lets them go on.
    struct Stuck {
        flows: mpsc::Receiver<()>,
        written: mpsc::Sender<Vec<u8>>,
    }

    impl Write for Stuck {
        fn write(&mut self, line: &[u8]) -> io::Result<usize> {
            // An error means that the test has let it flow for ever.
            _ = self.flows.recv();
            _ = self.written.send(line.to_vec());
            Ok(line.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn stuck() -> (Output, mpsc::Sender<()>, mpsc::Receiver<Vec<u8>>, mpsc::Receiver<u64>) {
        let (flow, flows) = mpsc::channel();
        let (written, lines) = mpsc::channel();
        let (told, lost) = mpsc::channel();
        let open = || Ok(Stuck { flows, written });
        // An error means that the test is over.
        let report_lost = move |lines| _ = told.send(lines);
        (Output::start("stuck", open, &LOST, report_lost), flow, lines, lost)
    }

    fn soon() -> Option<Instant> {
        Some(Instant::now() + Duration::from_millis(20))
    }

    #[test]
    fn writing_never_waits_and_lines_without_room_are_counted() {
        let (output, flow, lines, told) = stuck();
        let count = 4 * MAX_QUEUED_BYTES / 1_000;
        for _ in 0..count {
            output.push(vec![b'x'; 1_000]);
        }
        output.wait_until_written(soon());
        let (waiting, lost) = {
            let state = output.queue.state();
            assert!(state.bytes <= MAX_QUEUED_BYTES, "{}", state.bytes);
            (state.bytes / cost(&[0; 1_000]), state.lost)
        };
        assert_eq!(waiting as u64 + lost, count as u64);
        assert!(LOST.load(Ordering::Relaxed) >= lost);
        drop(flow);
        output.wait_until_written(None);
        assert_eq!(lines.try_iter().count(), waiting);
        assert_eq!(output.queue.state().lost, 0, "they were told of");
        assert_eq!(told.recv_timeout(PATIENCE), Ok(lost));
    }

    #[test]
    fn finishing_waits_for_lines_that_are_written_but_not_for_a_stuck_reader() {
        let (output, flow, lines, _told) = stuck();
        output.push(b"the last line\n".to_vec());
        output.wait_until_written(soon());
        assert!(lines.try_recv().is_err(), "it is stuck, and is not waited for");
        flow.send(()).expect("the thread lives");
        output.wait_until_written(None);
        assert_eq!(lines.try_recv().as_deref(), Ok(b"the last line\n".as_slice()));
    }

    #[test]
    fn results_wait_for_room_and_none_is_lost() {
        let (output, flow, lines, _told) = stuck();
        let output = Arc::new(output);
        let count = 2 * MAX_QUEUED_BYTES / 1_000;
        let pushing = {
            let output = Arc::clone(&output);
            thread::spawn(move || (0..count).for_each(|_| output.push_waiting(vec![b'x'; 1_000])))
        };
        drop(flow);
        pushing.join().expect("it does not fail");
        output.wait_until_written(None);
        assert_eq!(lines.try_iter().count(), count);
    }

    #[test]
    fn failed_writes_are_counted_and_reported_with_the_next_line() {
        static LOST: AtomicU64 = AtomicU64::new(0);
        struct Full(bool);
        impl Write for Full {
            fn write(&mut self, line: &[u8]) -> io::Result<usize> {
                match std::mem::take(&mut self.0) {
                    true => Err(ErrorKind::StorageFull.into()),
                    false => Ok(line.len()),
                }
            }

            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let (told, lost) = mpsc::channel();
        let report_lost = move |lines| _ = told.send(lines);
        let output = Output::start("full", || Ok(Full(true)), &LOST, report_lost);
        for line in [b"lost\n", b"kept\n"] {
            output.push(line.to_vec());
            output.wait_until_written(None);
        }
        assert_eq!((lost.recv_timeout(PATIENCE), LOST.load(Ordering::Relaxed)), (Ok(1), 1));
    }

    #[test]
    fn a_line_that_is_printed_once_is_written_or_known_to_be_lost() {
        let (output, flow, lines, _told) = stuck();
        let soon = || Instant::now() + Duration::from_millis(20);
        assert!(!output.write_by(b"nobody reads\n".to_vec(), soon()));
        drop(flow);
        output.wait_until_written(None);
        let later = Instant::now() + Duration::from_secs(60);
        assert!(output.write_by(b"read\n".to_vec(), later));
        assert_eq!(lines.try_iter().last().as_deref(), Some(b"read\n".as_slice()));

        let full = || File::options().write(true).open("/dev/full");
        let full = Output::start("full", full, &LOST, |_| ());
        assert!(!full.write_by(b"no space\n".to_vec(), later));
    }

    #[test]
    fn the_null_device_is_recognized() {
        assert!(is_null_device(&File::open("/dev/null").expect("it is there")));
        assert!(!is_null_device(&File::open("/dev/zero").expect("it is there")));
    }

    #[test]
    fn unread_results_are_given_up_when_the_command_is_asked_to_stop() {
        let (output, _flow, _lines, _told) = stuck();
        let output = Arc::new(output);
        let count = 2 * MAX_QUEUED_BYTES / 1_000;
        let pushing = {
            let output = Arc::clone(&output);
            thread::spawn(move || (0..count).for_each(|_| output.push_waiting(vec![b'x'; 1_000])))
        };
        output.give_up_at(Instant::now() + Duration::from_millis(20));
        pushing.join().expect("it does not wait");
        assert!(!output.wait_until_written(None), "nor does the end, which says so");
    }

    #[test]
    fn a_non_blocking_file_gets_the_whole_line() {
        struct NotReady(Vec<u8>, bool);
        impl Write for NotReady {
            fn write(&mut self, line: &[u8]) -> io::Result<usize> {
                self.1 = !self.1;
                if self.1 {
                    return Err(ErrorKind::WouldBlock.into());
                }
                self.0.push(line[0]);
                Ok(1)
            }

            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let mut file = NotReady(Vec::new(), false);
        write_line(&mut file, b"whole\n").expect("written");
        assert_eq!(file.0, b"whole\n");
    }
}
