//! `ktw publish` and `ktw trigger`.

use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::pin::pin;

use clap::Args;
use futures_util::StreamExt;
use futures_util::stream::FuturesOrdered;
use indicatif::ProgressBar;
use keeptrusts_webhooks_client::{Code, Error, Event, v1};
use serde_json::{Value, json};
use v1::publish_event_request::Payload;

use crate::completion;
use crate::descriptors::{from_json, to_json};
use crate::failure::Failure;
use crate::files::{read_text, stdin, time_to_proto};
use crate::names::Names;
use crate::output::{Column, Kind, Output, View, message};
use crate::progress;
use crate::session::Session;
use crate::times::TypedTime;
use crate::wording::Wording;

pub(super) const VIEW: View = View {
    message: "PublishEventResponse",
    plural: "events",
    id: "event_id",
    columns: &[
        Column::new("EVENT", "event_id", Kind::Text),
        Column::new("DUPLICATE", "duplicate", Kind::Flag),
    ],
};

/// Lines of NDJSON that are wrong are named up to this number; the summary has all.
const NAMED_FAILURES: u64 = 20;

/// Publishes an event, or many.
///
/// It returns when they are durable.
///
/// Of --ndjson, the forms for programs have an item for each line that is not empty, in the order of the
/// lines, as soon as its outcome is known: the number of the line, and the event's id or the error.
#[derive(Args)]
#[command(after_help = "\
Examples:
  ktw publish policy.violation --data '{\"policy\": \"pii-outbound\"}'
  ktw publish policy.violation --data @violation.json
  jq -c '.violations[]' report.json | ktw publish policy.violation --ndjson -
  ktw publish --ndjson events.ndjson     # each line: {\"event_type\": …, \"data\": …, \"idempotency_key\": …}")]
pub(crate) struct Publish {
    /// The event's type; `ktw events types` lists them. With --ndjson it may be in each line instead.
    #[arg(value_name = "TYPE", required_unless_present = "ndjson", add = completion::event_types())]
    event_type: Option<String>,
    /// The data, a JSON object: the text itself, `@FILE`, or `@-` for stdin.
    #[arg(long, short, value_name = "JSON", required_unless_present = "ndjson")]
    data: Option<String>,
    /// A file with an event in each line; `-` for stdin. With TYPE each line is the data of one.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["data", "idempotency_key", "event_time"])]
    ndjson: Option<PathBuf>,
    /// Makes it safe to publish the same event again, also from elsewhere.
    #[arg(long, value_name = "KEY")]
    idempotency_key: Option<String>,
    /// When it happened; by default now.
    #[arg(long, value_name = "TIME", value_parser = TypedTime::parse)]
    event_time: Option<TypedTime>,
}

/// Publishes a sample event of a type.
///
/// Every endpoint that subscribes to the type gets it.
#[derive(Args)]
pub(crate) struct Trigger {
    /// The event's type; `ktw events types` lists them.
    #[arg(value_name = "TYPE", add = completion::event_types())]
    event_type: String,
}

impl Publish {
    pub(crate) async fn run(self, session: &Session) -> Result<(), Failure> {
        if let Some(file) = self.ndjson {
            return publish_lines(session, &file, self.event_type.as_deref()).await;
        }
        let data = self.data.unwrap_or_default();
        let data = match data.strip_prefix('@') {
            Some(file) => read_text(file.as_ref())?,
            None => data,
        };
        let organization = session.organization().await?;
        let event = Event::new(organization, self.event_type.unwrap_or_default(), data);
        let mut request = v1::PublishEventRequest::from(event);
        request.idempotency_key = self.idempotency_key.unwrap_or_default();
        request.event_time = match self.event_time {
            Some(time) => {
                let now = jiff::Timestamp::now();
                let time = time.resolve(now, &session.output.zone).map_err(Failure::Usage)?;
                Some(time_to_proto(time))
            }
            None => None,
        };
        publish_one(session, request).await
    }
}

impl Trigger {
    pub(crate) async fn run(self, session: &Session) -> Result<(), Failure> {
        let types = session.event_types().await?;
        let Some(sample) = types.iter().find(|known| known.id == self.event_type) else {
            let names: Vec<_> = types.iter().map(|known| known.id.as_str()).collect();
            return Err(Failure::Usage(format!(
                "there is no type {:?}; there are: {}",
                self.event_type,
                names.join(", ")
            )));
        };
        let organization = session.organization().await?;
        let event = Event::new(organization, sample.id.clone(), sample.sample_data_json.clone());
        publish_one(session, event.into()).await
    }
}

async fn publish_one(session: &Session, request: v1::PublishEventRequest) -> Result<(), Failure> {
    let response = session.client.publish(request).await?;
    session.print(&VIEW, &to_json("PublishEventResponse", &response)).await
}

/// Publishes a line after the other over one stream, which slows the reading down. A line that is wrong
/// does not stop the others. Ctrl+C stops the reading; what is under way is still acknowledged.
async fn publish_lines(
    session: &Session,
    file: &Path,
    event_type: Option<&str>,
) -> Result<(), Failure> {
    let doing = || format!("read {}", file.display());
    let reader: Lines = match file.as_os_str() == "-" {
        true => Box::new(BufReader::new(stdin()?)),
        false => {
            let opened = File::open(file).map_err(|error| Failure::local(doing(), error))?;
            Box::new(BufReader::new(opened))
        }
    };
    let publisher = session.client.event_publisher(session.organization().await?);
    // Without progress for so long, the server is not there.
    let publisher = publisher.give_up_after(session.timeout).start();
    let mut report = Report::new(&session.output);
    // Outcomes are told in the order of the lines.
    let mut waiting = FuturesOrdered::new();
    let mut number = 0_u64;
    // Reading a line blocks a thread, and nothing else: meanwhile outcomes are told.
    let mut reading = Box::pin(next_line(reader));
    let mut interrupt = pin!(tokio::signal::ctrl_c());
    // Why no more lines are read.
    let mut end = None;
    while end.is_none() {
        let read = tokio::select! {
            // Wrong lines need no room of the publisher's: they wait for those before them all the same.
            read = &mut reading, if waiting.len() < MOST_WAITING => read,
            Some((place, outcome)) = waiting.next() => {
                end = report.add(place, outcome)?;
                continue;
            }
            _ = &mut interrupt => {
                end = Some(interrupted(number));
                continue;
            }
        };
        let (reader, line) = read.map_err(|error| Failure::local(doing(), error))?;
        let Some(line) = line else { break };
        reading = Box::pin(next_line(reader));
        number += 1;
        let place = number;
        let event = match String::from_utf8(line) {
            Ok(line) if line.trim().is_empty() => continue,
            Ok(line) => event_of(&line, event_type),
            Err(_) => Err("it is not UTF-8".to_owned()),
        };
        let published = match event {
            Ok(request) => tokio::select! {
                published = publisher.publish(request) => published.map_err(Refusal::of),
                _ = &mut interrupt => {
                    number -= 1;
                    end = Some(interrupted(number));
                    continue;
                }
            },
            Err(wrong) => Err(Refusal::here(wrong)),
        };
        waiting.push_back(async move {
            let outcome = match published {
                Ok(acknowledgement) => acknowledgement.await.map_err(Refusal::of),
                Err(refusal) => Err(refusal),
            };
            (place, outcome)
        });
    }
    loop {
        let outcome = tokio::select! {
            outcome = waiting.next() => outcome,
            // Not even what is under way is waited for.
            _ = tokio::signal::ctrl_c() => {
                end = end.or(Some(interrupted(number)));
                None
            }
        };
        let Some((place, outcome)) = outcome else { break };
        end = end.or(report.add(place, outcome)?);
    }
    report.unacknowledged += waiting.len() as u64;
    report.finish(number, end)?;
    Ok(publisher.close().await?)
}

fn interrupted(last_line: u64) -> Failure {
    Failure::Interrupted(format!("after line {last_line}"))
}

/// The most lines whose outcomes are not told yet.
const MOST_WAITING: usize = 10_000;

/// Why a line was not published.
struct Refusal {
    code: Code,
    /// The reason for programs, if the server has said one.
    reason: Option<String>,
    /// What is said of the line, in one line.
    text: String,
    /// Of what makes all the other lines fail, too.
    fatal: Option<Failure>,
}

impl Refusal {
    /// The line was found wrong here.
    fn here(text: String) -> Refusal {
        Refusal { code: Code::InvalidArgument, reason: None, text, fatal: None }
    }

    fn of(error: Error) -> Refusal {
        let (code, reason) = (error.code(), error.reason().map(ToOwned::to_owned));
        // A file has the API's fields, and no options.
        let wording = Wording::default();
        let wrong = error.field_violations().iter().map(|wrong| {
            // The data of a line is a structure here, and text in the API.
            let field = if wrong.field == "data_json" { "data" } else { &wrong.field };
            format!("{field}: {}", wording.text(&wrong.description))
        });
        let text = match wrong.collect::<Vec<_>>() {
            wrong if wrong.is_empty() => wording.text(error.message()),
            wrong => wrong.join("; "),
        };
        let failure = Failure::Call(error);
        let fatal = (!failure.is_about_the_value()).then_some(failure);
        Refusal { code, reason, text, fatal }
    }
}

/// What is told of a line to programs. It is no message of the API.
const RESULTS: View = View {
    message: "",
    plural: "lines",
    id: "event_id",
    columns: &[
        Column::new("LINE", "line", Kind::Number),
        Column::new("EVENT", "event_id", Kind::Text),
        Column::new("DUPLICATE", "duplicate", Kind::Flag),
        Column::new("CODE", "error.code", Kind::Text),
        Column::new("REASON", "error.reason", Kind::Text),
        Column::new("ERROR", "error.message", Kind::Text),
    ],
};

/// The name of a code in the gRPC specification: INVALID_ARGUMENT of `InvalidArgument`.
fn name(code: Code) -> String {
    let mut name = String::new();
    for char in format!("{code:?}").chars() {
        if char.is_ascii_uppercase() && !name.is_empty() {
            name.push('_');
        }
        name.push(char.to_ascii_uppercase());
    }
    name
}

/// Counts the outcomes of lines and tells each of them to programs, on stdout, and people of the wrong ones.
struct Report<'a> {
    output: &'a Output,
    progress: ProgressBar,
    accepted: u64,
    duplicates: u64,
    refused: u64,
    /// Lines that have failed for a reason that is not theirs.
    unacknowledged: u64,
    is_first: bool,
    is_read: bool,
}

impl Report<'_> {
    fn new(output: &Output) -> Report<'_> {
        Report {
            output,
            progress: progress::counter("events"),
            accepted: 0,
            duplicates: 0,
            refused: 0,
            unacknowledged: 0,
            is_first: true,
            is_read: true,
        }
    }

    /// The failure that makes all the other lines fail, too.
    fn add(
        &mut self,
        line: u64,
        outcome: Result<v1::PublishEventResponse, Refusal>,
    ) -> Result<Option<Failure>, Failure> {
        self.progress.inc(1);
        let (item, fatal) = match outcome {
            Ok(response) => {
                match response.duplicate {
                    true => self.duplicates += 1,
                    false => self.accepted += 1,
                }
                let (id, duplicate) = (response.event_id, response.duplicate);
                (json!({"line": line, "event_id": id, "duplicate": duplicate}), None)
            }
            Err(Refusal { code, reason, text, fatal }) => {
                match fatal {
                    Some(_) => self.unacknowledged += 1,
                    None => self.refuse(line, &text),
                }
                let error = json!({"code": name(code), "reason": reason, "message": text});
                (json!({"line": line, "error": error}), fatal)
            }
        };
        if self.is_read && !self.output.is_for_people() {
            match self.output.item(&RESULTS, &item, self.is_first, &Names::default()) {
                // Nobody reads the outcomes any more. The lines are published all the same.
                Err(Failure::OutputClosed) => self.is_read = false,
                told => told?,
            }
            self.is_first = false;
        }
        Ok(fatal)
    }

    fn refuse(&mut self, line: u64, why: &str) {
        self.refused += 1;
        match self.refused {
            refused if refused <= NAMED_FAILURES => {
                self.progress.suspend(|| message(&format!("line {line}: {why}")));
            }
            refused if refused == NAMED_FAILURES + 1 => {
                self.progress.suspend(|| message("further lines are only counted"));
            }
            _ => {}
        }
    }

    /// Says the sums, and fails if not all went well.
    fn finish(self, lines: u64, end: Option<Failure>) -> Result<(), Failure> {
        self.progress.finish_and_clear();
        let Report { accepted, duplicates, refused, unacknowledged, .. } = self;
        let mut sums = format!("{accepted} accepted, {duplicates} known before, {refused} refused");
        if unacknowledged > 0 {
            sums.push_str(&format!(", {unacknowledged} not acknowledged"));
        }
        message(&sums);
        if let Some(failure) = end {
            message(&format!(
                "Nothing was published after line {lines}. With an idempotency_key in each line it is safe to publish all of it again."
            ));
            return Err(failure);
        }
        match refused {
            0 => Ok(()),
            _ => Err(Failure::Check(format!(
                "{refused} of {} events were not accepted",
                accepted + duplicates + refused
            ))),
        }
    }
}

type Lines = Box<dyn BufRead + Send>;

async fn next_line(mut reader: Lines) -> io::Result<(Lines, Option<Vec<u8>>)> {
    let read = tokio::task::spawn_blocking(move || {
        let mut line = Vec::new();
        let bytes = reader.read_until(b'\n', &mut line)?;
        Ok((reader, (bytes > 0).then_some(line)))
    });
    read.await.unwrap_or_else(|error| Err(io::Error::other(error)))
}

/// Without the number of the line, which is always 1.
fn not_json(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let what = text.split(" at line ").next().unwrap_or(&text);
    format!("it is not JSON: {what} at column {}", error.column())
}

/// The event of a line: its data, if the type is known; otherwise a whole request, whose data may be an
/// object.
fn event_of(line: &str, event_type: Option<&str>) -> Result<v1::PublishEventRequest, String> {
    if let Some(event_type) = event_type {
        let payload = Some(Payload::DataJson(line.trim().to_owned()));
        let event_type = event_type.to_owned();
        return Ok(v1::PublishEventRequest { event_type, payload, ..Default::default() });
    }
    let mut json: Value = serde_json::from_str(line.trim()).map_err(|error| not_json(&error))?;
    // As a Struct it would lose the order of its fields, and large numbers.
    let data = json.as_object_mut().and_then(|fields| fields.remove("data"));
    let mut request: v1::PublishEventRequest =
        from_json("PublishEventRequest", &json).map_err(|error| error.to_string())?;
    if let Some(data) = data {
        request.payload = Some(Payload::DataJson(data.to_string()));
    }
    Ok(request)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_data_or_a_whole_event() {
        let of_type = event_of("{\"a\": 1.0}\n", Some("policy.violation")).expect("an event");
        assert_eq!(of_type.payload, Some(Payload::DataJson("{\"a\": 1.0}".to_owned())));
        let line = r#"{"event_type": "policy.flagged", "data": {"n": 9007199254740993}, "idempotency_key": "k"}"#;
        let whole = event_of(line, None).expect("an event");
        assert_eq!(
            (whole.event_type.as_str(), whole.idempotency_key.as_str()),
            ("policy.flagged", "k")
        );
        assert_eq!(whole.payload, Some(Payload::DataJson("{\"n\":9007199254740993}".to_owned())));
        assert!(
            event_of("{\"event_typ\": \"x\"}", None).expect_err("refused").contains("event_typ")
        );
        assert_eq!(
            event_of("{\n", None).expect_err("refused"),
            "it is not JSON: EOF while parsing an object at column 1"
        );
    }

    #[test]
    fn codes_have_the_names_of_the_specification() {
        assert_eq!(name(Code::InvalidArgument), "INVALID_ARGUMENT");
        assert_eq!(name(Code::Internal), "INTERNAL");
    }
}
