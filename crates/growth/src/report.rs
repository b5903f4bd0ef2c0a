//! The figures as Markdown, JSON and a chart.

use std::fmt::Write;
use std::fs;

use serde_json::{Value, json};

use crate::chart;
use crate::error::GrowthError;
use crate::measure::{Line, Point};
use crate::options::{DatabaseKind, Options};
use crate::verdict::Problem;

/// Prints the table, and writes the three files of a database.
pub(crate) fn write(
    options: &Options,
    kind: DatabaseKind,
    lines: &[Line],
    problems: &[Problem],
) -> Result<(), GrowthError> {
    let markdown = markdown(kind, lines);
    println!("\n{markdown}");
    let is_problem = |name: &str| problems.iter().any(|problem| problem.line == name);
    let title = format!("{kind}: median time of each question by the deliveries in the log");
    let files = [
        ("md", markdown),
        ("json", format!("{:#}\n", json(options, kind, lines))),
        ("svg", chart::svg(&title, lines, options.limit(), is_problem)),
    ];
    let folder = &options.output;
    fs::create_dir_all(folder)
        .map_err(|error| format!("could not make {}: {error}", folder.display()))?;
    for (extension, content) in files {
        let path = folder.join(format!("{kind}.{extension}"));
        fs::write(&path, content)
            .map_err(|error| format!("could not write {}: {error}", path.display()))?;
        println!("kept in {}", path.display());
    }
    Ok(())
}

fn markdown(kind: DatabaseKind, lines: &[Line]) -> String {
    let sizes = lines.first().into_iter().flat_map(|line| &line.points);
    let mut table = format!("| {kind}, ms: median (worst) |");
    let mut rule = "|---|".to_owned();
    for point in sizes {
        let _ = write!(table, " {} |", point.deliveries);
        rule.push_str("---|");
    }
    let _ = writeln!(table, "\n{rule}");
    for line in lines {
        let _ = write!(table, "| {} |", line.name);
        for Point { median, worst, .. } in &line.points {
            let [median, worst] = [median, worst].map(|time| time.as_secs_f64() * 1_000.0);
            let _ = write!(table, " {median:.2} ({worst:.2}) |");
        }
        table.push('\n');
    }
    table
}

fn json(options: &Options, kind: DatabaseKind, lines: &[Line]) -> Value {
    let point = |point: &Point| {
        json!({
            "deliveries": point.deliveries,
            "rows": point.rows,
            "median_us": point.median.as_micros() as u64,
            "worst_us": point.worst.as_micros() as u64,
        })
    };
    let line = |line: &Line| json!({ "name": line.name, "points": line.points.iter().map(point).collect::<Vec<_>>() });
    json!({
        "database": kind.to_string(),
        "seed": options.seed,
        "repeat": options.repeat,
        "limit_ms": options.limit().as_millis() as u64,
        "lines": lines.iter().map(line).collect::<Vec<_>>(),
    })
}
