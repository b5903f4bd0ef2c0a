//! Asking every question, several times.

use std::time::{Duration, Instant};

use crate::database::Database;
use crate::error::GrowthError;
use crate::questions::{Page, ask, questions};

/// A question's times as the log grew.
#[derive(Debug)]
pub(crate) struct Line {
    pub(crate) name: String,
    pub(crate) points: Vec<Point>,
}

/// A question's times at one size.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Point {
    pub(crate) deliveries: u64,
    /// In the answer.
    pub(crate) rows: usize,
    pub(crate) median: Duration,
    pub(crate) worst: Duration,
}

/// Adds a point to each line.
pub(crate) async fn measure(
    database: &Database,
    deliveries: u64,
    repeat: u32,
    lines: &mut Vec<Line>,
) -> Result<(), GrowthError> {
    for (name, question) in questions(deliveries) {
        for page in question.pages() {
            // Not measured: it reads pages from the disk, and has statements prepared.
            let mut rows = ask(database, &question, *page, deliveries).await?;
            let mut times = Vec::new();
            for _ in 0..repeat {
                let begin = Instant::now();
                rows = ask(database, &question, *page, deliveries).await?;
                times.push(begin.elapsed());
            }
            times.sort_unstable();
            let (Some(median), Some(worst)) = (times.get(times.len() / 2), times.last()) else {
                continue;
            };
            let point = Point { deliveries, rows, median: *median, worst: *worst };
            let name = match page {
                Page::First => name.to_owned(),
                Page::Deep => format!("{name}, deep"),
            };
            match lines.iter_mut().find(|line| line.name == name) {
                Some(line) => line.points.push(point),
                None => lines.push(Line { name, points: vec![point] }),
            }
        }
    }
    Ok(())
}
