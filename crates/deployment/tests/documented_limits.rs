//! docs/limits.md has the limits of the code. Each figure there is compared with the constant in the
//! source, or with the default of its flag in docs/configuration.md, which is generated.

use std::fs;
use std::path::{Path, PathBuf};

/// Where a figure comes from.
#[derive(Debug, Clone, Copy)]
enum Source {
    /// A constant in a folder: `("crates/domain", "MAX_NAME_CHARS")`.
    Constant(&'static str, &'static str),
    /// A field of a struct's default in a file.
    Field(&'static str, &'static str),
    /// The default of a flag.
    Flag(&'static str),
    /// The number of entries in the default of a flag.
    FlagCount(&'static str),
    /// The sum of the entries in the default of a flag.
    FlagSum(&'static str),
}
use Source::{Constant, Field, Flag, FlagCount, FlagSum};

const DOMAIN: &str = "crates/domain";
const PROCESS: &str = "crates/process/src/grpc_server";
const STORE: &str = "crates/store";
const OUTBOUND: &str = "crates/outbound";
const SCHEDULER: &str = "services/dispatch/src/pipeline/scheduler/limits.rs";

/// The row, by its first words; the figure as it is written in the row; its source.
#[rustfmt::skip]
const FIGURES: &[(&str, &str, Source)] = &[
    ("an event's `data`", "256 KiB", Constant(DOMAIN, "MAX_DATA_BYTES")),
    ("an event's `data`", "60 levels", Constant(DOMAIN, "MAX_DATA_DEPTH")),
    ("an event's `data`", "131,072 values", Constant(DOMAIN, "MAX_DATA_VALUES")),
    ("events of one BatchPublishEvents call", "1,000", Constant(DOMAIN, "MAX_EVENTS_PER_BATCH")),
    ("an idempotency key", "256 bytes", Constant(DOMAIN, "MAX_IDEMPOTENCY_KEY_BYTES")),
    ("a `request_id`", "128 characters", Constant(DOMAIN, "MAX_REQUEST_ID_CHARS")),
    ("a `request_id`", "24 h", Constant(DOMAIN, "REQUEST_ID_LIFETIME")),
    ("an organization's id", "64 characters", Constant(DOMAIN, "MAX_ORGANIZATION_ID_CHARS")),
    ("a name; a description;", "100;", Constant(DOMAIN, "MAX_NAME_CHARS")),
    ("a name; a description;", "1,000;", Constant(DOMAIN, "MAX_DESCRIPTION_CHARS")),
    ("a name; a description;", "500 characters", Constant(DOMAIN, "MAX_REASON_CHARS")),
    ("an endpoint's URL", "2,048 bytes", Constant(DOMAIN, "MAX_URL_BYTES")),
    ("a secret", "16 to", Constant(DOMAIN, "MIN_SECRET_BYTES")),
    ("a secret", "256 bytes", Constant(DOMAIN, "MAX_SECRET_BYTES")),
    ("the overlap of a rotated secret", "24 h", Constant(DOMAIN, "DEFAULT_ROTATION_OVERLAP")),
    ("the overlap of a rotated secret", "30 days", Constant(DOMAIN, "MAX_ROTATION_OVERLAP")),
    ("a payload template", "16 KiB", Constant(DOMAIN, "MAX_TEMPLATE_BYTES")),
    ("event types, subscriptions, paths", "100 each", Constant(DOMAIN, "MAX_EVENT_TYPES")),
    ("event types, subscriptions, paths", "100 each", Constant(DOMAIN, "MAX_SUBSCRIPTIONS")),
    ("event types, subscriptions, paths", "100 each", Constant(DOMAIN, "MAX_MASK_PATHS")),
    ("event types, subscriptions, paths", "100 each", Constant(DOMAIN, "MAX_FILTER_VALUES")),
    ("endpoints of an organization", "1,000", Flag("max-endpoints-per-organization")),
    ("notification channels", "50", Constant(DOMAIN, "MAX_CHANNELS")),
    ("endpoints that a channel", "100;", Constant(DOMAIN, "MAX_CHANNEL_ENDPOINTS")),
    ("endpoints that a channel", "20", Constant(DOMAIN, "MAX_RECIPIENTS")),
    ("running replays", "10;", Constant(DOMAIN, "MAX_RUNNING_REPLAYS")),
    ("running replays", "5,000", Constant(DOMAIN, "MAX_REPLAY_RATE")),
    ("a key's life", "1 min to 10 years", Constant(DOMAIN, "MIN_KEY_LIFE")),
    ("a key's life", "10 years", Constant(DOMAIN, "MAX_KEY_LIFE")),
    ("a key's life", "1 min to 30 days", Constant(DOMAIN, "MIN_SESSION_LIFE")),
    ("a key's life", "30 days", Constant(DOMAIN, "MAX_SESSION_LIFE")),
    ("a key's life", "12 h", Constant(DOMAIN, "DEFAULT_SESSION_LIFE")),
    ("a request's message", "4 MiB", Flag("max-request-bytes")),
    ("a request's headers", "100", Flag("max-headers")),
    ("a request's headers", "16 KiB", Flag("max-header-bytes")),

    ("events a second", "20,000", Flag("publish-quota")),
    ("events of one organization that wait", "512", Constant("services/ingest", "MAX_WAITING_EVENTS")),
    ("events of one organization that wait", "2 s", Constant("services/ingest", "ACQUIRE_TIMEOUT")),
    ("calls of one organization", "32", Constant(PROCESS, "MAX_CONCURRENT_CALLS")),
    ("requests in flight", "4,096", Flag("max-requests-in-flight")),
    ("memory of requests", "512 MiB", Flag("max-request-memory")),
    ("streams of events", "1,024", Flag("max-publish-streams")),
    ("streams of events", "64", Flag("max-publish-streams-per-key")),
    ("items of a stream", "512", Constant("services/ingest", "MAX_UNACKNOWLEDGED_ITEMS")),
    ("items of a stream", "60 s", Constant(PROCESS, "ANSWER_TIMEOUT")),
    ("an answer, or what a stream", "60 s", Constant(PROCESS, "ANSWER_TIMEOUT")),
    ("an answer, or what a stream", "16 KiB", Constant(PROCESS, "FREE_ANSWER_BYTES")),
    ("bytes of its items", "4 MiB", Constant("services/ingest", "MAX_UNCOMMITTED_BYTES")),
    ("watches", "2,048", Flag("max-watches")),
    ("watches", "256", Flag("max-watches-per-key")),
    ("gRPC connections", "4,096", Flag("max-connections")),
    ("gRPC connections", "512", Flag("max-connections-per-peer")),
    ("long reads", "2 in a process", Constant(STORE, "LONG_READS")),
    ("long reads", "1 of an organization", Constant(STORE, "LONG_READS_PER_ORGANIZATION")),
    ("long reads", "16 more", Constant(STORE, "MAX_WAITING_LONG_READS")),
    ("long reads", "30 s", Constant(STORE, "MAX_LONG_READ_WAIT")),
    ("templates that are previewed", "16", Constant("services/endpoint", "MAX_WAITING")),
    ("mail of one organization", "20 messages", Flag("mail-messages-per-minute")),
    ("mail of one organization", "100 recipients", Flag("mail-recipients-per-minute")),
    ("mail of one organization", "500 and", Flag("mail-messages-per-day")),
    ("mail of one organization", "2,000 in 24 h", Flag("mail-recipients-per-day")),
    ("wrong tokens of one address", "600", Flag("failed-logins-per-minute")),
    ("keys and sessions", "120", Constant("services/access", "PER_MINUTE")),

    ("requests under way to one endpoint", "64", Flag("endpoint-concurrency")),
    ("requests under way to one endpoint", "down to 4", Field(SCHEDULER, "requests_per_failing_endpoint")),
    ("one request", "10 s", Flag("request-timeout")),
    ("connections to receivers", "4,096", Constant(OUTBOUND, "MAX_CONNECTIONS")),
    ("an answer's headers", "64 KiB are read;", Constant(OUTBOUND, "MAX_READ_HEAD")),
    ("an answer's headers", "64 KiB are read and", Constant(OUTBOUND, "MAX_READ_BODY")),
    ("an answer's headers", "16 KiB kept", Constant(OUTBOUND, "MAX_KEPT_BODY")),
    ("an active endpoint is shown", "2 min", Constant(DOMAIN, "FAILING_AFTER")),
    ("an active endpoint is shown", "3 failed", Constant(DOMAIN, "FAILING_AFTER_FAILURES")),
    ("automatic retries", "5,", FlagCount("retry-schedule")),
    ("automatic retries", "14 h 36 min", FlagSum("retry-schedule")),
    ("bodies of events", "30 days", Flag("body-retention")),
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn text(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The rows of a document's tables, each as its cells.
fn rows(document: &str) -> Vec<Vec<String>> {
    let rows = document.lines().filter_map(|line| line.strip_prefix("| ")?.strip_suffix(" |"));
    rows.map(|row| row.split(" | ").map(str::to_owned).collect()).collect()
}

const MINUTE: u64 = 60;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;

fn unit(name: &str) -> Option<u64> {
    Some(match name {
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "s" => 1,
        "m" | "min" => MINUTE,
        "h" => HOUR,
        "d" | "days" => DAY,
        "years" => 365 * DAY,
        _ => return None,
    })
}

/// The first quantity of a figure, in bytes, seconds or pieces: of `down to 4`, `256 KiB` or
/// `14 h 36 min`.
fn quantity(figure: &str) -> u64 {
    let number =
        |word: &str| word.trim_end_matches([',', ';']).replace(',', "").parse::<u64>().ok();
    let mut words = figure.split(' ').skip_while(|word| number(word).is_none()).peekable();
    let mut total = 0;
    while let Some(count) = words.next().and_then(number) {
        match words.next().and_then(unit) {
            Some(unit) => total += count * unit,
            None => return total + count,
        }
    }
    total
}

/// The value of a flag, such as `4096`, `10s` or `30d`, in the same units.
fn flag_value(value: &str) -> u64 {
    let (number, name) = value.split_at(value.trim_end_matches(char::is_alphabetic).len());
    let number: u64 = number.parse().unwrap_or_else(|error| panic!("{value}: {error}"));
    match name {
        "" => number,
        name => number * unit(name).unwrap_or_else(|| panic!("{value} has the unit {name}")),
    }
}

fn flag_default(name: &str) -> String {
    let page = text(&root().join("docs/configuration.md"));
    let start = format!("`--{name} ");
    let row = rows(&page).into_iter().find(|row| row[0].starts_with(&start));
    let row = row.unwrap_or_else(|| panic!("docs/configuration.md has no flag --{name}"));
    row[1].trim_matches('`').to_owned()
}

/// The texts of the Rust files below a folder, without tests.
fn sources(folder: &Path) -> Vec<String> {
    let mut texts = Vec::new();
    for entry in fs::read_dir(folder).unwrap_or_else(|error| panic!("{folder:?}: {error}")) {
        let path = entry.expect("an entry").path();
        if path.is_dir() && !path.ends_with("tests") {
            texts.extend(sources(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            texts.push(text(&path));
        }
    }
    texts
}

/// What is between `before` and the next `end` in a text.
fn between<'a>(text: &'a str, before: &str, end: char) -> Option<&'a str> {
    let (_, after) = text.split_once(before)?;
    after.split_once(end).map(|(value, _)| value)
}

/// The value of a constant that is defined in a folder, once.
fn constant(folder: &str, name: &str) -> u64 {
    let start = format!("const {name}: ");
    let texts = sources(&root().join(folder));
    let definitions: Vec<&str> =
        texts.iter().filter_map(|text| between(text, &start, ';')).collect();
    let [definition] = definitions[..] else {
        panic!("{folder} has {} constants {name}", definitions.len())
    };
    let (_, expression) = definition.split_once(" = ").expect("a constant has a value");
    evaluate(folder, expression)
}

/// A number, or numbers and constants with operators, which all have one precedence.
fn evaluate(folder: &str, expression: &str) -> u64 {
    let inner = ["Duration::from_secs(", "NonZeroU32::new("]
        .iter()
        .find_map(|call| between(expression, call, ')'))
        .unwrap_or(expression);
    let operand = |word: &str| {
        let digits = word.replace('_', "");
        digits.parse().unwrap_or_else(|_| match word {
            // Of another crate.
            "MAX_BATCH_OPERATIONS" => constant(STORE, word),
            _ => constant(folder, word),
        })
    };
    let words: Vec<&str> = inner.split_whitespace().collect();
    let (first, rest) = words.split_first().expect("an expression");
    rest.chunks(2).fold(operand(first), |total, pair| match pair {
        ["*", word] => total * operand(word),
        ["/", word] => total / operand(word),
        ["-", word] => total - operand(word),
        ["as", _] => total,
        _ => panic!("{expression} cannot be evaluated here"),
    })
}

impl Source {
    fn value(self) -> u64 {
        match self {
            Constant(folder, name) => constant(folder, name),
            Field(file, name) => {
                let (text, start) = (text(&root().join(file)), format!("{name}: "));
                let values = text.split(&start).skip(1);
                let mut numbers = values.filter_map(|rest| rest.split_once(',')?.0.parse().ok());
                numbers.next().unwrap_or_else(|| panic!("{file} has no number for {name}"))
            }
            Flag(name) => flag_value(&flag_default(name)),
            FlagCount(name) => flag_default(name).split(',').count() as u64,
            FlagSum(name) => flag_default(name).split(',').map(flag_value).sum(),
        }
    }
}

#[test]
fn every_figure_on_the_page_of_limits_is_the_one_in_the_code() {
    let rows = rows(&text(&root().join("docs/limits.md")));
    for (start, figure, source) in FIGURES {
        let row = rows.iter().find(|row| row[0].starts_with(start));
        let row = row.unwrap_or_else(|| panic!("docs/limits.md has no row {start}"));
        let limits = row[1..].join(" | ");
        assert!(limits.contains(figure), "the row {start} does not say {figure}: {limits}");
        assert_eq!(quantity(figure), source.value(), "{start}: {figure} by {source:?}");
    }
}

#[test]
fn no_figure_on_the_page_of_limits_is_without_a_source() {
    // An alphabet, an encoding, and the period in which mail is counted.
    let no_limits = ["a-z, 0-9", "UTF-8", "in 24 h"];
    for row in rows(&text(&root().join("docs/limits.md"))) {
        // What is between backquotes is a name.
        let mut rest: String = row[1..].join(" | ").split('`').step_by(2).collect();
        let known = FIGURES.iter().filter(|(start, ..)| row[0].starts_with(start));
        let mut figures: Vec<&str> = known.map(|(_, figure, _)| *figure).chain(no_limits).collect();
        figures.sort_by_key(|figure| std::cmp::Reverse(figure.len()));
        for figure in figures {
            rest = rest.replace(figure, "");
        }
        assert!(!rest.contains(|c: char| c.is_ascii_digit()), "{}: no source for {rest}", row[0]);
    }
}
