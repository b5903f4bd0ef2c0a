//! The lines as a chart: SVG, both axes logarithmic. Pure.
//!
//! Written by hand: it is a few polylines, for which a library would bring fonts and rasterizers.

use std::fmt::Write;
use std::time::Duration;

use crate::measure::{Line, Point};

const WIDTH: f64 = 900.0;
const HEIGHT: f64 = 560.0;
const MARGIN: f64 = 60.0;
/// Times from 10 µs to 1 s.
const DECADES_OF_TIME: (i32, i32) = (-5, 0);

/// `is_problem` says by a line's name whether it is shown in red, with its name.
pub(crate) fn svg(
    title: &str,
    lines: &[Line],
    limit: Duration,
    is_problem: impl Fn(&str) -> bool,
) -> String {
    let scale = Scale::of(lines);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" \
         font-family=\"sans-serif\" font-size=\"12\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n\
         <text x=\"{MARGIN}\" y=\"24\" font-size=\"16\">{}</text>\n",
        escaped(title)
    );
    for decade in DECADES_OF_TIME.0..=DECADES_OF_TIME.1 {
        let y = scale.y(10_f64.powi(decade));
        let label = Duration::from_secs_f64(10_f64.powi(decade));
        horizontal(&mut svg, y, "stroke=\"#ddd\"");
        let _ = writeln!(svg, "<text x=\"8\" y=\"{:.1}\">{label:?}</text>", y + 4.0);
    }
    horizontal(&mut svg, scale.y(limit.as_secs_f64()), "stroke=\"#c00\" stroke-dasharray=\"6 4\"");
    for deliveries in lines.first().into_iter().flat_map(|line| &line.points) {
        let (x, label) = (scale.x(deliveries), deliveries.deliveries);
        let y = HEIGHT - MARGIN + 20.0;
        let _ =
            writeln!(svg, "<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"middle\">{label}</text>");
    }
    for line in lines {
        let is_problem = is_problem(&line.name);
        let style = if is_problem { "#c00" } else { "#468" };
        let place = |point: &Point| {
            format!("{:.1},{:.1}", scale.x(point), scale.y(point.median.as_secs_f64()))
        };
        let places: Vec<_> = line.points.iter().map(place).collect();
        let _ = writeln!(
            svg,
            "<polyline points=\"{}\" fill=\"none\" stroke=\"{style}\"><title>{}</title></polyline>",
            places.join(" "),
            escaped(&line.name)
        );
        if let (true, Some(last)) = (is_problem, line.points.last()) {
            let (x, y) = (scale.x(last) - 4.0, scale.y(last.median.as_secs_f64()) - 4.0);
            let name = escaped(&line.name);
            let _ = writeln!(
                svg,
                "<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"end\" fill=\"#c00\">{name}</text>"
            );
        }
    }
    svg.push_str("</svg>\n");
    svg
}

fn horizontal(svg: &mut String, y: f64, style: &str) {
    let right = WIDTH - MARGIN;
    let _ =
        writeln!(svg, "<line x1=\"{MARGIN}\" x2=\"{right}\" y1=\"{y:.1}\" y2=\"{y:.1}\" {style}/>");
}

/// Where sizes and times are.
struct Scale {
    smallest: f64,
    largest: f64,
}

impl Scale {
    fn of(lines: &[Line]) -> Scale {
        let sizes = lines.iter().flat_map(|line| &line.points).map(|point| point.deliveries);
        let (smallest, largest) = (sizes.clone().min().unwrap_or(1), sizes.max().unwrap_or(1));
        // With a single size, all points are in the middle.
        match smallest == largest {
            true => Scale { smallest: smallest as f64 / 2.0, largest: largest as f64 * 2.0 },
            false => Scale { smallest: smallest as f64, largest: largest as f64 },
        }
    }

    fn x(&self, point: &Point) -> f64 {
        let share =
            (point.deliveries as f64 / self.smallest).ln() / (self.largest / self.smallest).ln();
        MARGIN + share * (WIDTH - 2.0 * MARGIN)
    }

    fn y(&self, seconds: f64) -> f64 {
        let (least, greatest) = (f64::from(DECADES_OF_TIME.0), f64::from(DECADES_OF_TIME.1));
        let share = (seconds.log10().clamp(least, greatest) - least) / (greatest - least);
        HEIGHT - MARGIN - share * (HEIGHT - 2.0 * MARGIN)
    }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chart_has_every_line_and_names_those_with_problems() {
        let point = |deliveries, millis| Point {
            deliveries,
            rows: 1,
            median: Duration::from_millis(millis),
            worst: Duration::from_millis(millis),
        };
        let line = |name: &str, millis| Line {
            name: name.to_owned(),
            points: vec![point(100, 1), point(10_000, millis)],
        };
        let lines = [line("flat", 1), line("a < b", 100)];
        let svg = svg("sqlite", &lines, Duration::from_millis(10), |name| name == "a < b");
        // A line from the left edge to the right one, at 1 ms: two of five decades above the floor.
        assert!(svg.contains("points=\"60.0,324.0 840.0,324.0\""), "{svg}");
        assert!(svg.contains("<title>flat</title>"), "{svg}");
        assert_eq!(svg.matches("a &lt; b").count(), 2, "a title and a name: {svg}");
    }
}
