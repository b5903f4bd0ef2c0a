//! What the machine can do at all, so that figures of different hours and machines compare: bare requests
//! to the same receiver, and bare appends to a file on the same disk.
//!
//! Both run on a thread of their own, whose CPU time the kernel counts; the receiver's is not in it.

use std::fs::File;
use std::io::Write;
use std::thread;
use std::time::{Duration, Instant};

use crate::error::LoadError;
use crate::process_usage;
use crate::receiver::Receiver;

mod posts;

/// How long each is measured with many at once, and how long one by one.
const MEASURED_FOR: Duration = Duration::from_secs(2);
/// Bodies of one append: as many as a batch of the log has under load.
const BODIES_OF_AN_APPEND: usize = 64;

/// The bare cost of what a delivery cannot do without.
#[derive(Debug, Clone, Copy)]
pub(crate) struct MachineSpeed {
    /// Signed requests over TLS.
    pub(crate) posts: Pace,
    /// Bodies that are appended to a file, which is flushed after each batch of them.
    pub(crate) appends: Pace,
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct Pace {
    pub(crate) per_second: f64,
    pub(crate) cpu_seconds_per_thousand: f64,
    /// The median of one that nothing else runs beside.
    pub(crate) latency: Duration,
}

impl MachineSpeed {
    /// The CPU time of a request and an append, in seconds for 1,000.
    pub(crate) fn cpu_seconds_per_thousand(&self) -> f64 {
        self.posts.cpu_seconds_per_thousand + self.appends.cpu_seconds_per_thousand
    }

    /// The latency of an append and then a request.
    pub(crate) fn latency(&self) -> Duration {
        self.posts.latency + self.appends.latency
    }
}

/// Measures for some seconds. The body is that of every event.
pub(crate) async fn measure(body: &str) -> Result<MachineSpeed, LoadError> {
    let receiver = Receiver::start().await?;
    let target = posts::Target::new(&receiver, body)?;
    let posts = on_a_thread(move || posts::measure(&target, MEASURED_FOR)).await?;
    let body = body.to_owned();
    let appends = on_a_thread(move || measure_appends(body.as_bytes(), MEASURED_FOR)).await?;
    Ok(MachineSpeed { posts, appends })
}

async fn on_a_thread<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, LoadError> + Send + 'static,
) -> Result<T, LoadError> {
    let (answer, answered) = tokio::sync::oneshot::channel();
    thread::Builder::new().name("machine".to_owned()).spawn(move || answer.send(work()))?;
    answered.await?
}

fn measure_appends(body: &[u8], time: Duration) -> Result<Pace, LoadError> {
    let mut file = tempfile::tempfile()?;
    let (alone, mut durations) = (Stopwatch::start(), Durations::default());
    while alone.time() < time {
        let began = Instant::now();
        append(&mut file, body, 1)?;
        durations.note(began.elapsed());
    }
    let (together, mut appended) = (Stopwatch::start(), 0);
    while together.time() < time {
        append(&mut file, body, BODIES_OF_AN_APPEND)?;
        appended += BODIES_OF_AN_APPEND;
    }
    Ok(together.pace(appended, durations.median()))
}

fn append(file: &mut File, body: &[u8], count: usize) -> Result<(), LoadError> {
    file.write_all(&body.repeat(count))?;
    Ok(file.sync_data()?)
}

/// How long something took, each time.
#[derive(Debug, Default)]
struct Durations(Vec<Duration>);

impl Durations {
    fn note(&mut self, duration: Duration) {
        self.0.push(duration);
    }

    /// Zero if there are none.
    fn median(mut self) -> Duration {
        self.0.sort_unstable();
        self.0.get(self.0.len() / 2).copied().unwrap_or_default()
    }
}

/// The time and the CPU time of this thread.
struct Stopwatch {
    started: Instant,
    cpu_before: Duration,
}

impl Stopwatch {
    fn start() -> Stopwatch {
        Stopwatch { started: Instant::now(), cpu_before: process_usage::cpu_time_of_thread() }
    }

    fn time(&self) -> Duration {
        self.started.elapsed()
    }

    fn pace(&self, count: usize, latency: Duration) -> Pace {
        let cpu = process_usage::cpu_time_of_thread().saturating_sub(self.cpu_before);
        Pace {
            per_second: count as f64 / self.time().as_secs_f64(),
            cpu_seconds_per_thousand: cpu.as_secs_f64() * 1_000.0 / count.max(1) as f64,
            latency,
        }
    }
}
