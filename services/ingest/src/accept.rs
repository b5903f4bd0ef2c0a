//! From a publishing to an operation on the log: the body is rendered here, once.

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
use keeptrusts_webhooks_domain::ids::{EventId, OperationId};
use keeptrusts_webhooks_domain::log::Stream;
use keeptrusts_webhooks_domain::trace::TraceContext;
use keeptrusts_webhooks_process::answer;
use keeptrusts_webhooks_store::{
    AppendError, AppendOutcome, BodyId, ExpectedVersion, NewBody, NewRecord, Operation, Refusal,
    new_ulid,
};
use keeptrusts_webhooks_telemetry::{is_recorded, new_trace};
use tonic::Status;

use crate::spans::{self, Publishing};
use crate::{IngestApi, metrics};

/// An event that is about to be accepted. It is counted and traced in any case, also when nobody
/// waits for the answer any more: then it may be committed all the same, and what follows from it
/// hangs below its span.
pub(crate) struct Accepting {
    pub(crate) event_id: EventId,
    event_type: EventType,
    /// The spans to export when it is over.
    publishing: Option<Publishing>,
    is_over: bool,
}

/// The reason by which those are counted whose caller has gone.
const CALLER_GONE: &str = "CALLER_GONE";

impl Accepting {
    /// It was accepted, or not.
    pub(crate) fn over(mut self, answer: &Result<v1::PublishEventResponse, Status>) {
        self.is_over = true;
        match answer {
            Ok(answer) if answer.duplicate => {}
            Ok(_) => metrics::accepted(self.event_type),
            Err(status) => metrics::not_accepted(status),
        }
        if let Some(publishing) = self.publishing.take() {
            match answer {
                Ok(answer) if answer.duplicate => publishing.was_there(&answer.event_id),
                Ok(_) => publishing.over(None),
                Err(status) => publishing.over(Some(status.message())),
            }
        }
    }
}

impl Drop for Accepting {
    fn drop(&mut self) {
        if self.is_over {
            return;
        }
        metrics::not_accepted_because(CALLER_GONE);
        if let Some(publishing) = self.publishing.take() {
            publishing.over(Some("nobody waits for the answer any more; it may be accepted"));
        }
    }
}

impl IngestApi {
    /// The event, and the operation that accepts it.
    pub(crate) fn accept(
        &self,
        publish: Publish,
        publisher: &Caller,
        trace: Option<TraceContext>,
    ) -> (Accepting, Operation) {
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
        };
        let call = trace.unwrap_or_else(new_trace);
        let trace = spans::place(&call);
        let publishing = is_recorded(Some(&trace)).then(|| Publishing {
            parent: call,
            context: trace.clone(),
            event_id,
            event_type,
            organization_id: organization_id.clone(),
            start: now,
            clock: Arc::clone(&self.clock),
        });
        let operation = Operation {
            id: OperationId::new(new_ulid(now)),
            organization_id,
            records: vec![NewRecord {
                stream: Stream::Event(event_id),
                expected: ExpectedVersion::New,
                fact: Fact::EventAccepted(accepted),
            }],
            metadata: Metadata {
                actor: publisher.actor.as_ref().to_owned(),
                correlation_id: event_id.to_string(),
                trace: Some(trace),
                ..Metadata::default()
            },
            bodies: vec![NewBody {
                id: BodyId::Event(event_id),
                content: content.into(),
                expire_time: now.checked_add(self.body_retention).unwrap_or(Timestamp::MAX),
            }],
            fence: None,
            checkpoint: None,
        };
        (Accepting { event_id, event_type, publishing, is_over: false }, operation)
    }
}

/// What the publisher is told.
pub(crate) fn answer(
    event_id: EventId,
    appended: Result<AppendOutcome, Refusal>,
) -> Result<v1::PublishEventResponse, Status> {
    let (event_id, duplicate) = match appended {
        Ok(AppendOutcome::Appended { .. }) => (event_id, false),
        Ok(AppendOutcome::Duplicate { event_id }) => (event_id, true),
        Err(Refusal::IdempotencyKeyReused { .. }) => {
            return Err(status::already_exists_idempotency_key());
        }
        Err(refusal) => return Err(answer::append_failed(AppendError::Refused(refusal))),
    };
    Ok(v1::PublishEventResponse { event_id: event_id.to_string(), duplicate })
}

/// The same for one of a batch.
pub(crate) fn answered(
    event_id: EventId,
    appended: Result<AppendOutcome, AppendError>,
) -> Result<v1::PublishEventResponse, Status> {
    match appended {
        Ok(appended) => answer(event_id, Ok(appended)),
        Err(AppendError::Refused(refusal)) => answer(event_id, Err(refusal)),
        Err(error) => Err(answer::append_failed(error)),
    }
}
