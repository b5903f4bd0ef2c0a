//! `ktw publish` and `ktw trigger`.

use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::path::PathBuf;

use clap::Args;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use indicatif::{ProgressBar, ProgressStyle};
use keeptrusts_webhooks_client::{Error, Event, v1};
use serde_json::Value;
use v1::publish_event_request::Payload;

use crate::descriptors::{from_json, to_json};
use crate::failure::Failure;
use crate::files::{read_text, time_to_proto};
use crate::output::{Column, Kind, View, message};
use crate::session::Session;
use crate::times::TypedTime;

const VIEW: View = View {
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

/// Publishes an event, or with --ndjson many. It returns when they are durable.
#[derive(Args)]
#[command(after_help = "\
Examples:
  ktw publish policy.violation --data '{\"policy\": \"pii-outbound\"}'
  ktw publish policy.violation --data @violation.json
  jq -c '.violations[]' report.json | ktw publish policy.violation --ndjson -
  ktw publish --ndjson events.ndjson     # each line: {\"event_type\": …, \"data\": …, \"idempotency_key\": …}")]
pub(crate) struct Publish {
    /// The event's type; `ktw events types` lists them. With --ndjson it may be in each line instead.
    #[arg(value_name = "TYPE", required_unless_present = "ndjson")]
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

/// Publishes the sample event of a type, which every endpoint that subscribes to it gets.
#[derive(Args)]
pub(crate) struct Trigger {
    /// The event's type; `ktw events types` lists them.
    #[arg(value_name = "TYPE")]
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
    session.output.one(&VIEW, &to_json("PublishEventResponse", &response))
}

/// How many lines had which outcome.
#[derive(Default)]
struct Summary {
    accepted: u64,
    duplicates: u64,
    refused: u64,
}

/// Publishes a line after the other over one stream, which slows the reading down. A line that is wrong
/// does not stop the others.
async fn publish_lines(
    session: &Session,
    file: &PathBuf,
    event_type: Option<&str>,
) -> Result<(), Failure> {
    let doing = || format!("read {}", file.display());
    let mut reader: Box<dyn BufRead + Send> = match file.as_os_str() == "-" {
        true => Box::new(BufReader::new(io::stdin())),
        false => {
            let opened = File::open(file).map_err(|error| Failure::local(doing(), error))?;
            Box::new(BufReader::new(opened))
        }
    };
    let publisher = session.client.event_publisher(session.organization().await?);
    // Without progress for so long, the server is not there.
    let publisher = publisher.give_up_after(session.timeout).start();
    let progress = progress();
    let mut summary = Summary::default();
    let mut waiting = FuturesUnordered::new();
    let mut number = 0_u64;
    // What makes all that follows fail, too.
    let mut fatal = None;
    loop {
        // Reading a line blocks, which stops nothing but this command; the publisher's task is driven
        // while it waits for room and for acknowledgements.
        let (returned, line) =
            next_line(reader).await.map_err(|error| Failure::local(doing(), error))?;
        reader = returned;
        let Some(line) = line else { break };
        number += 1;
        let event = match String::from_utf8(line) {
            Ok(line) if line.trim().is_empty() => continue,
            Ok(line) => event_of(&line, event_type),
            Err(_) => Err("is not UTF-8".to_owned()),
        };
        let published = match event {
            Ok(request) => publisher.publish(request).await.map_err(Failure::Call),
            Err(wrong) => {
                summary.refuse(&progress, number, &wrong);
                continue;
            }
        };
        match published {
            Ok(acknowledgement) => {
                let place = number;
                waiting.push(async move { (place, acknowledgement.await) });
            }
            Err(failure) if failure.is_about_the_value() => {
                summary.refuse(&progress, number, &failure.text());
            }
            Err(failure) => {
                fatal = Some(failure);
                break;
            }
        }
        while let Some(Some((place, outcome))) =
            futures_util::FutureExt::now_or_never(waiting.next())
        {
            fatal = fatal.or(summary.count(&progress, place, outcome));
        }
        if fatal.is_some() {
            break;
        }
    }
    if fatal.is_none() {
        while let Some((place, outcome)) = waiting.next().await {
            fatal = fatal.or(summary.count(&progress, place, outcome));
        }
    }
    progress.finish_and_clear();
    let Summary { accepted, duplicates, refused } = summary;
    message(&format!("{accepted} accepted, {duplicates} known before, {refused} refused"));
    if let Some(failure) = fatal {
        message(
            "Not everything was read or acknowledged: with an idempotency_key in each line it is safe to publish all of it again.",
        );
        return Err(failure);
    }
    publisher.close().await?;
    match refused {
        0 => Ok(()),
        _ => Err(Failure::Check(format!(
            "{refused} of {} events were not accepted",
            accepted + duplicates + refused
        ))),
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

/// The event of a line: its data, if the type is known; otherwise a whole request, whose data may be an
/// object.
fn event_of(line: &str, event_type: Option<&str>) -> Result<v1::PublishEventRequest, String> {
    if let Some(event_type) = event_type {
        let payload = Some(Payload::DataJson(line.trim().to_owned()));
        let event_type = event_type.to_owned();
        return Ok(v1::PublishEventRequest { event_type, payload, ..Default::default() });
    }
    let mut json: Value = serde_json::from_str(line).map_err(|error| error.to_string())?;
    // As a Struct it would lose the order of its fields, and large numbers.
    let data = json.as_object_mut().and_then(|fields| fields.remove("data"));
    let mut request: v1::PublishEventRequest =
        from_json("PublishEventRequest", &json).map_err(|error| error.to_string())?;
    if let Some(data) = data {
        request.payload = Some(Payload::DataJson(data.to_string()));
    }
    Ok(request)
}

impl Summary {
    fn count(
        &mut self,
        progress: &ProgressBar,
        line: u64,
        outcome: Result<v1::PublishEventResponse, Error>,
    ) -> Option<Failure> {
        match outcome.map_err(Failure::Call) {
            Ok(response) if response.duplicate => self.duplicates += 1,
            Ok(_) => self.accepted += 1,
            Err(failure) if failure.is_about_the_value() => {
                self.refuse(progress, line, &failure.text());
                return None;
            }
            Err(failure) => return Some(failure),
        }
        progress.inc(1);
        None
    }

    fn refuse(&mut self, progress: &ProgressBar, line: u64, why: &str) {
        self.refused += 1;
        progress.inc(1);
        let why = why.trim_start_matches("error: ");
        match self.refused {
            refused if refused <= NAMED_FAILURES => {
                progress.suspend(|| message(&format!("line {line}: {why}")))
            }
            refused if refused == NAMED_FAILURES + 1 => {
                progress.suspend(|| message("further lines are only counted"))
            }
            _ => {}
        }
    }
}

fn progress() -> ProgressBar {
    let style = ProgressStyle::with_template("{spinner} {pos} events, {per_sec}");
    let style = style.unwrap_or_else(|_| ProgressStyle::default_spinner());
    let progress = ProgressBar::new_spinner().with_style(style);
    progress.enable_steady_tick(std::time::Duration::from_millis(200));
    progress
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
        assert!(event_of("not JSON", None).is_err());
    }
}
