//! The output of a process, line by line.

use std::io::{BufRead, BufReader, PipeReader};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};

use tokio::sync::watch;

/// A thread reads the pipe, so that a busy test does not block a process whose pipe is full.
#[derive(Debug)]
pub(super) struct Output {
    lines: Arc<Mutex<Vec<String>>>,
    /// Changes with every line, and is closed at the output's end.
    progress: watch::Receiver<()>,
    reader: Option<JoinHandle<()>>,
}

impl Output {
    pub(super) fn read(pipe: PipeReader) -> Self {
        let lines = Arc::new(Mutex::new(Vec::new()));
        let (changed, progress) = watch::channel(());
        let reader = thread::spawn({
            let lines = Arc::clone(&lines);
            move || {
                let mut pipe = BufReader::new(pipe);
                let mut line = Vec::new();
                while pipe.read_until(b'\n', &mut line).is_ok_and(|length| length > 0) {
                    let text = String::from_utf8_lossy(&line);
                    lock(&lines).push(text.trim_end_matches('\n').to_owned());
                    changed.send_replace(());
                    line.clear();
                }
            }
        });
        Self { lines, progress, reader: Some(reader) }
    }

    pub(super) fn text(&self) -> String {
        lock(&self.lines).iter().flat_map(|line| [line.as_str(), "\n"]).collect()
    }

    /// Waits for the first line that matches. `None` at the output's end.
    pub(super) async fn find(&self, matches: impl Fn(&str) -> bool) -> Option<String> {
        let mut progress = self.progress.clone();
        let mut seen = 0;
        loop {
            // Checked before the lines are searched, so that the last ones are not missed.
            let ended = progress.has_changed().is_err();
            progress.mark_unchanged();
            {
                let lines = lock(&self.lines);
                if let Some(line) = lines[seen..].iter().find(|line| matches(line)) {
                    return Some(line.clone());
                }
                seen = lines.len();
            }
            if ended {
                return None;
            }
            // An error means the end, which the next iteration notices.
            let _ = progress.changed().await;
        }
    }

    /// Waits for the output's end.
    pub(super) async fn end(&self) {
        let mut progress = self.progress.clone();
        while progress.changed().await.is_ok() {}
    }

    /// Blocks until the output's end.
    pub(super) fn join(&mut self) {
        if let Some(reader) = self.reader.take() {
            // A panic there has been printed by its thread.
            let _ = reader.join();
        }
    }
}

fn lock(lines: &Mutex<Vec<String>>) -> MutexGuard<'_, Vec<String>> {
    lines.lock().unwrap_or_else(PoisonError::into_inner)
}
