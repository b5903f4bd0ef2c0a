//! WatchEvents: events as they are committed, rendered as an endpoint would get them. It only reads.

use std::collections::{HashMap, VecDeque};
use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::stream::try_unfold;
use keeptrusts_webhooks_contracts::api::{ResumePoint, WatchEvents, rows_of_one_read};
use keeptrusts_webhooks_contracts::status::{self, Reason};
use keeptrusts_webhooks_contracts::v1;
use keeptrusts_webhooks_domain::event::Event;
use keeptrusts_webhooks_domain::event_type::EventType;
use keeptrusts_webhooks_domain::ids::OrganizationId;
use keeptrusts_webhooks_domain::log::{RecordName, Shard};
use keeptrusts_webhooks_domain::payload_format::{PayloadFields, PayloadFormat, RoutingKey};
use keeptrusts_webhooks_domain::violation::Violation;
use keeptrusts_webhooks_formats::{Formatter, Interrupt, Payload, PayloadEvent, check};
use keeptrusts_webhooks_process::database_errors;
use keeptrusts_webhooks_rendering::{Renderer, RenderingError};
use keeptrusts_webhooks_store::{BodyId, Log, StoreError};
use tokio_stream::Stream;
use tonic::Status;

use super::dispatch_api::DispatchApi;
use super::resuming::WatchedRecords;

/// The content type of our own format.
const JSON: &str = "application/json";

pub(super) type EventStream =
    Pin<Box<dyn Stream<Item = Result<v1::WatchEventsResponse, Status>> + Send>>;

struct EventWatcher {
    log: Arc<Log>,
    shard: Shard,
    records: WatchedRecords,
    /// Empty: all types.
    event_types: Vec<EventType>,
    formatter: Arc<Formatter>,
    renderer: Renderer,
    /// The events that are still to be sent, of the records that were read last.
    pending: VecDeque<(RecordName, Event)>,
    /// The bodies of the first of them.
    bodies: HashMap<BodyId, Bytes>,
    /// How many of the first ones have been looked for.
    with_body: usize,
}

impl DispatchApi {
    /// INVALID_ARGUMENT: the template fails for a sample of one of the types, or the organization has
    /// nothing to resume at.
    pub(super) async fn watch_events(&self, request: WatchEvents) -> Result<EventStream, Status> {
        let WatchEvents { organization_id: organization, event_types, payload_format, resume } =
            request;
        let formatter = self.formatter(&organization, payload_format, &event_types).await?;
        let watcher = EventWatcher {
            log: Arc::clone(&self.log),
            shard: self.log.shard_of(&organization),
            records: self.watched_records(&organization, resume).await?,
            event_types,
            formatter: Arc::new(formatter),
            renderer: self.renderer.clone(),
            pending: VecDeque::new(),
            bodies: HashMap::new(),
            with_body: 0,
        };
        // As in WatchDeliveries, the server ends the stream.
        let answers = try_unfold(watcher, |mut watcher| async move {
            let answer = watcher.next().await.map_err(database_errors::query_failed)?;
            Ok(Some((answer, watcher)))
        });
        Ok(Box::pin(answers))
    }

    /// The format, ready for use. A template has been tried with samples of the types.
    async fn formatter(
        &self,
        organization: &OrganizationId,
        format: PayloadFormat<()>,
        event_types: &[EventType],
    ) -> Result<Formatter, Status> {
        let PayloadFormat::Custom { .. } = format else {
            return Formatter::compile(&format).map_err(wrong_template);
        };
        let owner = organization.clone();
        let event_types = match event_types {
            [] => EventType::ALL.to_vec(),
            some => some.to_vec(),
        };
        let compile = move |interrupt: &Interrupt| {
            check(&format, &owner, &event_types, interrupt)?;
            Formatter::compile(&format).map_err(|error| error.to_string())
        };
        match self.renderer.run(organization, compile).await {
            Ok(compiled) => compiled.map_err(wrong_template),
            Err(RenderingError::Failed) => Err(status::internal()),
            Err(error @ RenderingError::TooSlow) => Err(wrong_template(error)),
            Err(error @ RenderingError::Busy) => {
                let delay = std::time::Duration::from_secs(1);
                Err(status::resource_exhausted_for(delay, Reason::Overloaded, error.to_string()))
            }
        }
    }
}

fn wrong_template(problem: impl ToString) -> Status {
    status::invalid_argument(vec![Violation::invalid_format(
        PayloadFields::TOP.template,
        problem.to_string(),
    )])
}

impl EventWatcher {
    /// The next event, in the log's order; or only a token.
    async fn next(&mut self) -> Result<v1::WatchEventsResponse, StoreError> {
        loop {
            if self.with_body == 0 {
                self.read_bodies().await?;
            }
            if let Some((record, event)) = self.pending.pop_front() {
                self.with_body -= 1;
                return Ok(self.response(record, event).await);
            }
            if let Some(resume_token) = self.records.due_token() {
                return Ok(v1::WatchEventsResponse { resume_token, ..Default::default() });
            }
            let own = self.records.next().await?;
            let events = own.records.iter().filter_map(|record| {
                let event = record.accepted_event()?;
                let is_wanted =
                    self.event_types.is_empty() || self.event_types.contains(&event.event_type);
                is_wanted.then(|| (record.name(), event))
            });
            self.pending.extend(events);
            if !self.pending.is_empty() {
                self.records.show();
            }
        }
    }

    /// Reads the bodies of the next events, as many as may be in memory.
    async fn read_bodies(&mut self) -> Result<(), StoreError> {
        let size = |(_, event): &(RecordName, Event)| event.body.size as usize;
        let next = rows_of_one_read(self.pending.make_contiguous(), size);
        let ids: Vec<_> = next.iter().map(|(_, event)| BodyId::Event(event.id)).collect();
        if !ids.is_empty() {
            self.bodies = self.log.bodies(self.shard, &ids).await?;
            self.with_body = ids.len();
        }
        Ok(())
    }

    async fn response(&mut self, record: RecordName, event: Event) -> v1::WatchEventsResponse {
        let body = self.bodies.remove(&BodyId::Event(event.id));
        let shown = v1::Event::from(&event);
        let resume_token = ResumePoint::After(record).token();
        let rendered = match body {
            Some(body) => self.render(event, body).await,
            None => Err("the event's body is no longer kept".to_owned()),
        };
        let (content_type, body, error) = match rendered {
            Ok((content_type, body)) => (content_type.to_owned(), body, String::new()),
            Err(error) => (String::new(), String::new(), error),
        };
        v1::WatchEventsResponse { event: Some(shown), content_type, body, error, resume_token }
    }

    /// The content type and the body. Only a template waits for its turn at the renderer.
    async fn render(&self, event: Event, body: Bytes) -> Result<(&'static str, String), String> {
        let payload = match &*self.formatter {
            Formatter::Keeptrusts => return Ok((JSON, text(body.to_vec())?)),
            Formatter::Custom(_) => {
                let (formatter, organization) =
                    (Arc::clone(&self.formatter), event.organization_id.clone());
                let render =
                    move |interrupt: &Interrupt| render(&formatter, &event, &body, interrupt);
                let rendered = self.renderer.run(&organization, render).await;
                rendered.map_err(|error| error.to_string())??
            }
            formatter => render(formatter, &event, &body, &Interrupt::default())?,
        };
        Ok((payload.content_type, text(payload.masked())?))
    }
}

fn render(
    formatter: &Formatter,
    event: &Event,
    body: &[u8],
    interrupt: &Interrupt,
) -> Result<Payload, String> {
    let Event { id, organization_id, event_type, event_time, .. } = event;
    let event = PayloadEvent::from_body(*id, organization_id, *event_type, Some(*event_time), body);
    // What is shown contains no routing key, and needs none.
    let masked = RoutingKey::placeholder();
    let rendered = event.and_then(|event| formatter.render(&event, Some(&masked), interrupt));
    rendered.map_err(|error| error.to_string())
}

fn text(bytes: Vec<u8>) -> Result<String, String> {
    String::from_utf8(bytes).map_err(|_| "the payload is not UTF-8".to_owned())
}
