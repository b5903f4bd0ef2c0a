//! Which lines are too high, and which bend. Pure.

use std::fmt;
use std::time::Duration;

use crate::measure::{Line, Point};
use crate::options::DatabaseKind;

/// A question may take so many times as long in the largest log as in the one before it: an index gets
/// deeper, and less of it is in memory. Smaller logs do not count: where a list examines a limited number
/// of rows, it takes longer until there are as many.
const MAX_GROWTH: u32 = 3;
/// Times below this are noise, not growth.
const NOISE: Duration = Duration::from_millis(2);

/// A line that is not as it should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Problem {
    database: DatabaseKind,
    pub(crate) line: String,
    what: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}: {}: {}", self.database, self.line, self.what)
    }
}

/// At most one problem for each line. The medians count: a single run may have waited for the machine.
pub(crate) fn problems(database: DatabaseKind, lines: &[Line], limit: Duration) -> Vec<Problem> {
    let problem = |line: &Line| {
        let what = too_slow(&line.points, limit).or_else(|| bends(&line.points))?;
        Some(Problem { database, line: line.name.clone(), what })
    };
    lines.iter().filter_map(problem).collect()
}

fn too_slow(points: &[Point], limit: Duration) -> Option<String> {
    let point = points.iter().find(|point| point.median > limit)?;
    let Point { median, deliveries, .. } = point;
    Some(format!("takes {median:.1?} at {deliveries} deliveries, more than {limit:?}"))
}

fn bends(points: &[Point]) -> Option<String> {
    let [.., previous, largest] = points else { return None };
    let allowed = (previous.median * MAX_GROWTH).max(NOISE);
    (largest.median > allowed).then(|| {
        format!(
            "grows from {:.1?} at {} to {:.1?} at {} deliveries",
            previous.median, previous.deliveries, largest.median, largest.deliveries
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(micros: &[u64]) -> Vec<String> {
        let point = |(index, micros): (usize, &u64)| Point {
            deliveries: 10_u64.pow(index as u32 + 4),
            rows: 1,
            median: Duration::from_micros(*micros),
            worst: Duration::from_secs(9),
        };
        let points = micros.iter().enumerate().map(point).collect();
        let line = Line { name: "events".to_owned(), points };
        let found = problems(DatabaseKind::Sqlite, &[line], Duration::from_millis(10));
        found.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_line_below_the_limit_that_does_not_grow_is_no_problem() {
        assert_eq!(said(&[1_000, 2_000, 4_000]), [""; 0]);
    }

    #[test]
    fn a_line_that_grows_up_to_a_bound_is_no_problem() {
        assert_eq!(said(&[100, 3_000, 3_100]), [""; 0]);
    }

    #[test]
    fn growth_within_the_noise_is_no_problem() {
        assert_eq!(said(&[10, 100, 2_000]), [""; 0]);
    }

    #[test]
    fn a_line_above_the_limit_at_any_size_is_a_problem() {
        assert_eq!(
            said(&[9_000, 10_500, 9_000]),
            ["sqlite: events: takes 10.5ms at 100000 deliveries, more than 10ms"]
        );
    }

    #[test]
    fn a_line_that_grows_is_a_problem() {
        assert_eq!(
            said(&[900, 1_000, 4_000]),
            ["sqlite: events: grows from 1.0ms at 100000 to 4.0ms at 1000000 deliveries"]
        );
    }
}
