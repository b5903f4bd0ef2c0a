//! Turns a published event into an operation on the log. The event's body is rendered here, once.

use std::sync::Arc;

use keeptrusts_webhooks_contracts::api::Publish;
use keeptrusts_webhooks_contracts::log_codec::Metadata;
use keeptrusts_webhooks_contracts::status;
use keeptrusts_webhooks_contracts::v1;
use keeptrusts_webhooks_domain::Timestamp;
use keeptrusts_webhooks_domain::access::Caller;
use keeptrusts_webhooks_domain::body;
use keeptrusts_webhooks_domain::event::{ContentDigest, Idempotency, request_sha256};
use keeptrusts_webhooks_domain::event_type::EventType;
use keeptrusts_webhooks_domain::fact::{EventAccepted, Fact};
use keeptrusts_webhooks_domain::ids::EventId;
use keeptrusts_webhooks_domain::log::Stream;
use keeptrusts_webhooks_domain::trace::TraceContext;
use keeptrusts_webhooks_process::database_errors;
use keeptrusts_webhooks_store::{
    AppendError, AppendOutcome, BodyId, ExpectedVersion, NewBody, NewRecord, Operation, Refusal,
    new_ulid,
};
use keeptrusts_webhooks_telemetry::{is_recorded, new_trace};
use tonic::Status;

use crate::api::IngestApi;
use crate::metrics;
use crate::spans::{self, PublishSpans};

/// An event whose append is not finished. It is counted and traced in any case. If the caller has
/// gone, the event may be committed all the same, and later spans hang below its span.
pub(crate) struct PendingEvent {
    pub(crate) event_id: EventId,
    event_type: EventType,
    /// None: the trace is not recorded.
    spans: Option<PublishSpans>,
    is_finished: bool,
}

/// The value of the label `reason` if the caller has gone.
const CALLER_GONE: &str = "CALLER_GONE";

impl PendingEvent {
    /// Counts and traces the result.
    pub(crate) fn finish(mut self, answer: &Result<v1::PublishEventResponse, Status>) {
        self.is_finished = true;
        match answer {
            Ok(answer) if answer.duplicate => {}
            Ok(_) => metrics::accepted(self.event_type),
            Err(status) => metrics::not_accepted(status),
        }
        if let Some(spans) = self.spans.take() {
            match answer {
                Ok(answer) if answer.duplicate => spans.export_duplicate(&answer.event_id),
                Ok(_) => spans.export(None),
                Err(status) => spans.export(Some(status.message())),
            }
        }
    }
}

impl Drop for PendingEvent {
    fn drop(&mut self) {
        if self.is_finished {
            return;
        }
        metrics::not_accepted_because(CALLER_GONE);
        if let Some(spans) = self.spans.take() {
            spans.export(Some("nobody waits for the answer any more; it may be accepted"));
        }
    }
}

impl IngestApi {
    /// The operation that accepts an event.
    pub(crate) fn accept(
        &self,
        publish: Publish,
        publisher: &Caller,
        trace: Option<TraceContext>,
    ) -> (PendingEvent, Operation) {
        let now = (self.clock)();
        let Publish { organization_id, event_type, data, event_time, idempotency_key } = publish;
        let idempotency = idempotency_key.map(|key| Idempotency {
            key,
            request_sha256: request_sha256(event_type, event_time, &data),
        });
        let event_id = EventId::new(new_ulid(now));
        let event_time = event_time.unwrap_or(now);
        let content = body::render(event_type, event_time, &data);
        let accepted = EventAccepted {
            event_type,
            event_time,
            body: ContentDigest::of(&content),
            idempotency,
            is_routed: false,
        };
        let call = trace.unwrap_or_else(new_trace);
        let trace = spans::event_context(&call);
        let spans = is_recorded(Some(&trace)).then(|| PublishSpans {
            parent: call,
            context: trace.clone(),
            event_id,
            event_type,
            organization_id: organization_id.clone(),
            start: now,
            clock: Arc::clone(&self.clock),
        });
        let record = NewRecord {
            stream: Stream::Event(event_id),
            expected: ExpectedVersion::New,
            fact: Fact::EventAccepted(accepted),
        };
        let metadata = Metadata {
            actor: publisher.actor.as_ref().to_owned(),
            correlation_id: event_id.to_string(),
            trace: Some(trace),
            ..Metadata::default()
        };
        let body = NewBody {
            id: BodyId::Event(event_id),
            content: content.into(),
            expire_time: now.checked_add(self.body_retention).unwrap_or(Timestamp::MAX),
        };
        let operation = Operation {
            bodies: vec![body],
            ..Operation::recording(&organization_id, vec![record], metadata, now)
        };
        (PendingEvent { event_id, event_type, spans, is_finished: false }, operation)
    }
}

/// The answer to the publisher of one event.
pub(crate) fn answer(
    event_id: EventId,
    appended: Result<AppendOutcome, AppendError>,
) -> Result<v1::PublishEventResponse, Status> {
    let (event_id, duplicate) = match appended {
        Ok(AppendOutcome::Appended { .. }) => (event_id, false),
        Ok(AppendOutcome::Duplicate { event_id }) => (event_id, true),
        // Never: it is of no request with an id, and not validated only.
        Ok(AppendOutcome::Repeated { .. } | AppendOutcome::Valid { .. }) => {
            return Err(status::internal());
        }
        Err(AppendError::Refused(Refusal::IdempotencyKeyReused { .. })) => {
            return Err(status::already_exists_idempotency_key());
        }
        Err(error) => return Err(database_errors::append_failed(error)),
    };
    Ok(v1::PublishEventResponse { event_id: event_id.to_string(), duplicate })
}
