//! Attempts over time: counts, and a bar for each part of the window.

use std::time::Duration;

use jiff::Timestamp;
use keeptrusts_webhooks_contracts::v1;

use super::time::{Moment, duration_of};

const HOUR: i64 = 3_600;

/// How far back statistics go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Window {
    Day,
    Week,
    Month,
}

impl Window {
    pub(crate) const ALL: [Window; 3] = [Window::Day, Window::Week, Window::Month];

    /// As in an address.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Window::Day => "24h",
            Window::Week => "7d",
            Window::Month => "30d",
        }
    }

    /// The link's text.
    pub(crate) fn label(self) -> &'static str {
        match self {
            Window::Day => "24 hours",
            Window::Week => "7 days",
            Window::Month => "30 days",
        }
    }

    /// The default is a day.
    pub(crate) fn named(name: &str) -> Window {
        Window::ALL.into_iter().find(|window| window.name() == name).unwrap_or(Window::Day)
    }

    pub(crate) fn duration(self) -> Duration {
        Duration::from_secs(self.hours().unsigned_abs() * 3_600)
    }

    fn hours(self) -> i64 {
        match self {
            Window::Day => 24,
            Window::Week => 7 * 24,
            Window::Month => 30 * 24,
        }
    }

    fn hours_per_bar(self) -> i64 {
        match self {
            Window::Day => 1,
            Window::Week => 6,
            Window::Month => 24,
        }
    }
}

/// An endpoint's statistics over a window.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Statistics {
    pub(crate) window: Window,
    pub(crate) delivered: i64,
    pub(crate) failed: i64,
    pub(crate) retrying: i64,
    /// None: there were no attempts.
    pub(crate) success_rate: Option<String>,
    pub(crate) median_duration: Option<String>,
    pub(crate) chart: Chart,
}

impl Statistics {
    pub(crate) fn new(
        window: Window,
        stats: &v1::GetEndpointStatsResponse,
        now: Timestamp,
        size: ChartSize,
    ) -> Statistics {
        let total = stats.total.unwrap_or_default();
        let attempts = total.delivered_count + total.failed_count + total.retrying_count;
        Statistics {
            window,
            delivered: total.delivered_count,
            failed: total.failed_count,
            retrying: total.retrying_count,
            success_rate: (attempts > 0).then(|| percent(total.success_rate)),
            median_duration: duration_of(total.median_duration.as_ref()),
            chart: Chart::new(window, &stats.hours, now, size),
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.delivered + self.failed + self.retrying == 0
    }

    /// The chart, in words.
    pub(crate) fn summary(&self) -> String {
        format!(
            "Attempts in the last {}: {} delivered, {} failed, {} retrying",
            self.window.label(),
            self.delivered,
            self.failed,
            self.retrying
        )
    }
}

/// Never 100 % when something failed, never 0 % when something succeeded.
pub(crate) fn percent(rate: f64) -> String {
    let percent = rate * 100.0;
    let rounded = (percent * 10.0).round() / 10.0;
    let honest = match rate {
        all if all >= 1.0 => 100.0,
        none if none <= 0.0 => 0.0,
        _ => rounded.clamp(0.1, 99.9),
    };
    format!("{honest:.1} %").replace(".0 %", " %")
}

/// A chart's size, in the units of its `viewBox`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ChartSize {
    width: i64,
    height: i64,
}

impl ChartSize {
    /// In a row of a table.
    pub(crate) const SMALL: ChartSize = ChartSize { width: 120, height: 28 };
    /// On a page of its own.
    pub(crate) const LARGE: ChartSize = ChartSize { width: 720, height: 120 };
}

/// All bars of one class as one shape.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Shape {
    pub(crate) class: &'static str,
    /// The `d` of an SVG path.
    pub(crate) path: String,
}

/// Bars of stacked counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Chart {
    pub(crate) width: i64,
    pub(crate) height: i64,
    pub(crate) bars: Vec<Bar>,
    pub(crate) from: Moment,
    pub(crate) to: Moment,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Bar {
    pub(crate) x: i64,
    pub(crate) width: i64,
    pub(crate) parts: Vec<BarSegment>,
    pub(crate) from: Moment,
    pub(crate) counts: AttemptCounts,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct BarSegment {
    pub(crate) class: &'static str,
    pub(crate) y: i64,
    pub(crate) height: i64,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct AttemptCounts {
    pub(crate) delivered: i64,
    pub(crate) retrying: i64,
    pub(crate) failed: i64,
}

impl AttemptCounts {
    fn total(self) -> i64 {
        self.delivered + self.retrying + self.failed
    }
}

impl Chart {
    /// All bars without their texts, a shape for each class: fewer bytes.
    pub(crate) fn shapes(&self) -> Vec<Shape> {
        let mut shapes: Vec<Shape> = Vec::new();
        for bar in &self.bars {
            let baseline = [BarSegment { class: "none", y: self.height - 1, height: 1 }];
            let parts = if bar.parts.is_empty() { &baseline[..] } else { &bar.parts[..] };
            for BarSegment { class, y, height } in parts {
                let rectangle = format!("M{} {y}h{w}v{height}h-{w}z", bar.x, w = bar.width);
                match shapes.iter_mut().find(|shape| shape.class == *class) {
                    Some(shape) => shape.path.push_str(&rectangle),
                    None => shapes.push(Shape { class, path: rectangle }),
                }
            }
        }
        shapes
    }

    fn new(
        window: Window,
        hours: &[v1::HourlyAttemptStats],
        now: Timestamp,
        size: ChartSize,
    ) -> Chart {
        let bar_seconds = window.hours_per_bar() * HOUR;
        let end = (now.as_second().div_euclid(HOUR) + 1) * HOUR;
        let start = end - window.hours() * HOUR;
        let count = window.hours() / window.hours_per_bar();
        let mut counts = vec![AttemptCounts::default(); usize::try_from(count).unwrap_or(0)];
        for hour in hours {
            let begins = hour.start_time.as_ref().map_or(0, |time| time.seconds);
            let index = usize::try_from((begins - start).div_euclid(bar_seconds));
            let stats = hour.stats.unwrap_or_default();
            if let Some(bar) = index.ok().and_then(|index| counts.get_mut(index)) {
                bar.delivered += stats.delivered_count;
                bar.retrying += stats.retrying_count;
                bar.failed += stats.failed_count;
            }
        }
        let most = counts.iter().map(|counts| counts.total()).max().unwrap_or(0);
        let step = size.width / count.max(1);
        let bars = counts.into_iter().zip(0_i64..).map(|(counts, index)| Bar {
            x: index * step,
            width: (step - (step / 4).max(1)).max(1),
            parts: parts(counts, most, size.height),
            from: moment(start + index * bar_seconds),
            counts,
        });
        Chart {
            width: size.width,
            height: size.height,
            bars: bars.collect(),
            from: moment(start),
            to: moment(end),
        }
    }
}

fn moment(second: i64) -> Moment {
    // Out of range only if the machine's clock is.
    Moment(Timestamp::from_second(second).unwrap_or(Timestamp::UNIX_EPOCH))
}

/// From the bottom up: delivered, retrying, failed. A count that is not 0 is always visible.
fn parts(counts: AttemptCounts, most: i64, height: i64) -> Vec<BarSegment> {
    let stacked = [("good", counts.delivered), ("wait", counts.retrying), ("bad", counts.failed)];
    let mut bottom = height;
    let mut parts = Vec::new();
    for (class, count) in stacked.into_iter().filter(|(_, count)| *count > 0) {
        let part = (count * height / most.max(1)).clamp(2, bottom.max(2));
        bottom = (bottom - part).max(0);
        parts.push(BarSegment { class, y: bottom, height: part });
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hour(
        start: &str,
        delivered_count: i64,
        retrying_count: i64,
        failed_count: i64,
    ) -> v1::HourlyAttemptStats {
        let start: Timestamp = start.parse().expect("a time");
        v1::HourlyAttemptStats {
            start_time: Some(keeptrusts_webhooks_contracts::time::timestamp_to_proto(start)),
            stats: Some(v1::AttemptStats {
                delivered_count,
                retrying_count,
                failed_count,
                ..Default::default()
            }),
        }
    }

    fn chart(window: Window, hours: &[v1::HourlyAttemptStats]) -> Chart {
        let now = "2026-04-23T10:30:00Z".parse().expect("a time");
        Chart::new(window, hours, now, ChartSize::SMALL)
    }

    /// The attempts of the highest bar.
    fn highest(chart: &Chart) -> i64 {
        chart.bars.iter().map(|bar| bar.counts.total()).max().expect("there are bars")
    }

    #[test]
    fn the_current_hour_is_the_last_bar_of_a_day() {
        let chart = chart(
            Window::Day,
            &[hour("2026-04-22T11:00:00Z", 1, 0, 0), hour("2026-04-23T10:00:00Z", 3, 0, 1)],
        );
        assert_eq!(chart.bars.len(), 24);
        assert_eq!(chart.bars[0].counts.delivered, 1);
        assert_eq!(chart.bars[23].counts, AttemptCounts { delivered: 3, retrying: 0, failed: 1 });
        assert_eq!(highest(&chart), 4);
    }

    #[test]
    fn longer_windows_have_a_bar_for_more_hours() {
        let hours = [hour("2026-04-23T05:00:00Z", 1, 0, 0), hour("2026-04-23T10:00:00Z", 1, 0, 0)];
        let week = chart(Window::Week, &hours);
        assert_eq!((week.bars.len(), week.bars[27].counts.delivered), (28, 2));
        let month = chart(Window::Month, &hours);
        assert_eq!((month.bars.len(), month.bars[29].counts.delivered), (30, 2));
    }

    #[test]
    fn a_chart_in_a_row_is_a_shape_for_each_class() {
        let chart = chart(Window::Day, &[hour("2026-04-23T10:00:00Z", 1, 0, 1)]);
        let shapes = chart.shapes();
        let classes: Vec<_> = shapes.iter().map(|shape| shape.class).collect();
        assert_eq!(classes, ["none", "good", "bad"]);
        assert_eq!(shapes[1].path, "M115 14h4v14h-4z");
    }

    #[test]
    fn what_is_outside_of_the_window_is_left_out() {
        let chart = chart(Window::Day, &[hour("2026-04-22T10:00:00Z", 1, 0, 0)]);
        assert_eq!(highest(&chart), 0);
    }

    #[test]
    fn one_failure_among_many_successes_can_be_seen() {
        let parts = parts(AttemptCounts { delivered: 10_000, retrying: 0, failed: 1 }, 10_001, 28);
        assert_eq!(parts.len(), 2);
        assert!(parts.iter().all(|part| part.height >= 2 && part.y >= 0), "{parts:?}");
    }

    #[test]
    fn a_rate_is_perfect_only_if_it_is() {
        assert_eq!(percent(1.0), "100 %");
        assert_eq!(percent(0.99999), "99.9 %");
        assert_eq!(percent(0.00001), "0.1 %");
        assert_eq!(percent(0.5), "50 %");
    }
}
