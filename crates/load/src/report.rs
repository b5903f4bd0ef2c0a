//! Reports the figures as a table and as JSON.

use std::fmt::Write;
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};

use crate::machine::Pace;
use crate::options::{BenchmarkCase, Database, Options};
use crate::process_usage;
use crate::run::Measurement;

/// The most problems that are printed for each database; the first ones say most.
const MAX_PROBLEMS: usize = 10;

/// What will be measured, and on what machine.
pub(crate) fn conditions(options: &Options) -> String {
    let rate = match options.rate {
        Some(rate) => format!("at {rate} events/s"),
        None => "as fast as it goes".to_owned(),
    };
    let publishers = match options.streams {
        Some(streams) => format!("{streams} streams"),
        None => format!("{} publishers", options.publishers),
    };
    let label = match options.label.as_str() {
        "" => String::new(),
        label => format!("{label}\n"),
    };
    format!(
        "{label}{publishers}, {rate}, for {} s; data of {} bytes; endpoints: {}\n\
         on {} cores, load average {:.1}: other work on this machine lowers the figures",
        options.publish_time().as_secs(),
        options.data().len(),
        options.endpoints,
        cores(),
        process_usage::load_average().unwrap_or_default(),
    )
}

/// In Markdown, with a column for each run. What the machine could do comes first; what the platform did
/// is told as a share of that as well.
pub(crate) fn table(measured: &[Measurement]) -> String {
    let mut lines = String::new();
    let mut line = |name: &str, value: &dyn Fn(&Measurement) -> String| {
        _ = write!(lines, "| {name:<52} |");
        for measured in measured {
            _ = write!(lines, " {:>16} |", value(measured));
        }
        lines.push('\n');
    };
    line("", &|m| m.case.to_string());
    line(&"-".repeat(52), &|_| "---------------:".to_owned());
    line("bare signed POSTs/s, one connection", &|m| whole(m.machine.posts.per_second));
    line("  CPU s per 1,000, the sender's", &|m| {
        format!("{:.3}", m.machine.posts.cpu_seconds_per_thousand)
    });
    line("  one alone, median, ms", &|m| format!("{:.2}", in_ms(m.machine.posts.latency)));
    line("bare appends/s, in batches with a flush each", &|m| whole(m.machine.appends.per_second));
    line("  CPU s per 1,000", &|m| format!("{:.3}", m.machine.appends.cpu_seconds_per_thousand));
    line("  one alone, median, ms", &|m| format!("{:.2}", in_ms(m.machine.appends.latency)));
    line("events acknowledged", &|m| m.events.to_string());
    line("deliveries", &|m| m.deliveries.to_string());
    line("events accepted/s", &|m| whole(m.events_per_second()));
    line("deliveries/s", &|m| whole(m.deliveries_per_second()));
    line("  share of bare POSTs/s, %", &|m| whole(m.share_of_posts() * 100.0));
    line("CPU s per 1,000 deliveries, server", &|m| format!("{:.3}", m.per_thousand(m.cpu.server)));
    line("CPU s per 1,000 deliveries, with database", &|m| {
        format!("{:.3}", m.per_thousand(m.cpu.server + m.cpu.database))
    });
    line("  times a bare POST and append", &|m| format!("{:.1}", m.times_bare_cpu()));
    line("  publishers and receiver, beside that", &|m| {
        format!("{:.3}", m.per_thousand(m.load_cpu))
    });
    line("CPU of the machine that nobody used, %", &|m| whole(m.unused_cpu * 100.0));
    line("publish to receiver, p50, ms", &|m| format!("{:.1}", m.latency_ms(0.5)));
    line("  times a bare append and POST", &|m| format!("{:.1}", m.times_bare_latency(0.5)));
    line("publish to receiver, p99, ms", &|m| format!("{:.1}", m.latency_ms(0.99)));
    line("  times a bare append and POST", &|m| format!("{:.1}", m.times_bare_latency(0.99)));
    line("peak memory of the server, MiB", &|m| whole(m.peak_memory_mib()));
    if measured.iter().any(|measured| measured.spans.is_some()) {
        line("spans collected", &|m| m.spans.map_or("-".to_owned(), |spans| spans.to_string()));
    }
    if measured.iter().any(|measured| measured.idle.is_some()) {
        line("idle, % of a core, server", &|m| {
            in_percent(m.idle_share().map(|(server, _)| server))
        });
        line("idle, % of a core, database", &|m| {
            in_percent(m.idle_share().map(|(_, database)| database))
        });
    }
    line("delivered exactly once", &|m| {
        if m.problems.is_empty() { "all".to_owned() } else { "no".to_owned() }
    });
    lines
}

/// What traces cost on each database, by the medians of all runs. Empty without traced runs.
pub(crate) fn cost_of_traces(measured: &[Measurement]) -> String {
    let mut lines = String::new();
    for database in [Database::Sqlite, Database::Postgres] {
        let median = |traced: bool, figure: &dyn Fn(&Measurement) -> f64| {
            let runs = measured.iter().filter(|measured| {
                measured.case.database == database && measured.case.traces.is_some() == traced
            });
            let mut figures: Vec<f64> = runs.map(figure).collect();
            figures.sort_by(f64::total_cmp);
            figures.get(figures.len() / 2).copied()
        };
        let change = |figure: &dyn Fn(&Measurement) -> f64| {
            Some((median(true, figure)? / median(false, figure)? - 1.0) * 100.0)
        };
        let cpu = |m: &Measurement| m.per_thousand(m.cpu.server + m.cpu.database);
        if let (Some(rate), Some(cpu)) = (change(&Measurement::deliveries_per_second), change(&cpu))
        {
            _ = writeln!(
                lines,
                "\ntraces on {database}: {rate:+.1} % deliveries/s, {cpu:+.1} % CPU for each"
            );
        }
    }
    lines
}

/// The problems, with the run of each.
pub(crate) fn problems(measured: &[Measurement]) -> Vec<(BenchmarkCase, String)> {
    let mut problems = Vec::new();
    for measured in measured {
        let shown = measured.problems.iter().take(MAX_PROBLEMS);
        problems.extend(shown.map(|problem| (measured.case, problem.clone())));
        let hidden = measured.problems.len().saturating_sub(MAX_PROBLEMS);
        if hidden > 0 {
            problems.push((measured.case, format!("… and {hidden} more")));
        }
    }
    problems
}

/// All figures of the table.
pub(crate) fn json(options: &Options, measured: &[Measurement]) -> Value {
    let runs: Vec<Value> = measured.iter().map(run_json).collect();
    json!({
        "label": options.label,
        "publishers": options.publishers,
        "seconds": options.publish_time().as_secs(),
        "rate": options.rate,
        "endpoints": options.endpoints,
        "payload_bytes": options.data().len(),
        "cores": cores(),
        "runs": runs,
    })
}

fn run_json(measured: &Measurement) -> Value {
    json!({
        "database": measured.case.to_string(),
        "bare_posts": pace_json(&measured.machine.posts),
        "bare_appends": pace_json(&measured.machine.appends),
        "share_of_bare_posts": measured.share_of_posts(),
        "times_bare_cpu": measured.times_bare_cpu(),
        "times_bare_latency_p50": measured.times_bare_latency(0.5),
        "times_bare_latency_p99": measured.times_bare_latency(0.99),
        "unused_cpu_share": measured.unused_cpu,
        "events": measured.events,
        "deliveries": measured.deliveries,
        "events_per_second": measured.events_per_second(),
        "deliveries_per_second": measured.deliveries_per_second(),
        "server_cpu_seconds_per_1000": measured.per_thousand(measured.cpu.server),
        "database_cpu_seconds_per_1000": measured.per_thousand(measured.cpu.database),
        "load_cpu_seconds_per_1000": measured.per_thousand(measured.load_cpu),
        "latency_p50_ms": measured.latency_ms(0.5),
        "latency_p99_ms": measured.latency_ms(0.99),
        "peak_memory_mib": measured.peak_memory_mib(),
        "idle_server_share": measured.idle_share().map(|(server, _)| server),
        "idle_database_share": measured.idle_share().map(|(_, database)| database),
        "complaints": measured.problems,
    })
}

fn pace_json(pace: &Pace) -> Value {
    json!({
        "per_second": pace.per_second,
        "cpu_seconds_per_1000": pace.cpu_seconds_per_thousand,
        "latency_p50_ms": in_ms(pace.latency),
    })
}

fn whole(figure: f64) -> String {
    format!("{figure:.0}")
}

fn in_ms(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1_000.0
}

fn cores() -> usize {
    thread::available_parallelism().map_or(1, usize::from)
}

fn in_percent(share: Option<f64>) -> String {
    share.map_or_else(|| "-".to_owned(), |share| format!("{:.2}", share * 100.0))
}

fn per_second(count: usize, time: Duration) -> f64 {
    if time.is_zero() { 0.0 } else { count as f64 / time.as_secs_f64() }
}

impl Measurement {
    fn events_per_second(&self) -> f64 {
        per_second(self.events, self.publish_time)
    }

    fn deliveries_per_second(&self) -> f64 {
        per_second(self.deliveries, self.delivery_time)
    }

    /// In seconds for 1,000 deliveries.
    fn per_thousand(&self, cpu_time: Duration) -> f64 {
        cpu_time.as_secs_f64() * 1_000.0 / self.deliveries.max(1) as f64
    }

    /// The quantile of the latency, in milliseconds.
    fn latency_ms(&self, share: f64) -> f64 {
        let rank = (self.latencies.len() as f64 * share).ceil() as usize;
        let latency = self.latencies.get(rank.saturating_sub(1));
        in_ms(latency.copied().unwrap_or_default())
    }

    fn share_of_posts(&self) -> f64 {
        self.deliveries_per_second() / self.machine.posts.per_second
    }

    /// The CPU time of a delivery, as a multiple of that of a bare request and append.
    fn times_bare_cpu(&self) -> f64 {
        let cpu = self.per_thousand(self.cpu.server + self.cpu.database);
        cpu / self.machine.cpu_seconds_per_thousand()
    }

    fn times_bare_latency(&self, share: f64) -> f64 {
        self.latency_ms(share) / in_ms(self.machine.latency())
    }

    fn peak_memory_mib(&self) -> f64 {
        self.peak_memory as f64 / (1_024.0 * 1_024.0)
    }

    /// The shares of a core while idle: the server's and its database's.
    fn idle_share(&self) -> Option<(f64, f64)> {
        let (cpu, time) = self.idle?;
        let share = |used: Duration| used.as_secs_f64() / time.as_secs_f64();
        Some((share(cpu.server), share(cpu.database)))
    }
}
