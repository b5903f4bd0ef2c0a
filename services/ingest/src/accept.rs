//! From a publishing to an operation on the log: the body is rendered here, once.

use keeptrusts_webhooks_contracts::api::Publish;
use keeptrusts_webhooks_contracts::log_codec::Metadata;
use keeptrusts_webhooks_contracts::status;
use keeptrusts_webhooks_contracts::v1;
use keeptrusts_webhooks_domain::Timestamp;
use keeptrusts_webhooks_domain::access::Caller;
use keeptrusts_webhooks_domain::body;
use keeptrusts_webhooks_domain::event::{ContentDigest, Idempotency, request_sha256};
use keeptrusts_webhooks_domain::fact::{EventAccepted, Fact};
use keeptrusts_webhooks_domain::ids::{EventId, OperationId};
use keeptrusts_webhooks_domain::log::Stream;
use keeptrusts_webhooks_domain::trace::TraceContext;
use keeptrusts_webhooks_process::answer;
use keeptrusts_webhooks_store::{
    AppendError, Appended, BodyId, Expected, NewBody, NewRecord, Operation, Refusal, new_trace,
    new_ulid,
};
use tonic::Status;

use crate::IngestApi;

impl IngestApi {
    /// The operation that accepts an event, and the id that the event will have.
    pub(crate) fn accept(
        &self,
        publish: Publish,
        publisher: &Caller,
        trace: Option<TraceContext>,
    ) -> (EventId, Operation) {
        let now = (self.clock)();
        let Publish { organization_id, event_type, data, event_time, idempotency_key } = publish;
        let idempotency = idempotency_key.map(|key| Idempotency {
            key,
            request_sha256: request_sha256(event_type, event_time, &data),
        });
        let event_id = EventId::new(new_ulid(now));
        let event_time = event_time.unwrap_or_else(|| to_milliseconds(now));
        let content = body::render(event_type, event_time, &data);
        let accepted = EventAccepted {
            event_type,
            event_time,
            body: ContentDigest::of(&content),
            idempotency,
        };
        let operation = Operation {
            id: OperationId::new(new_ulid(now)),
            organization_id,
            records: vec![NewRecord {
                stream: Stream::Event(event_id),
                expected: Expected::New,
                fact: Fact::EventAccepted(accepted),
            }],
            metadata: Metadata {
                actor: publisher.actor.as_ref().to_owned(),
                correlation_id: event_id.to_string(),
                trace: Some(trace.unwrap_or_else(new_trace)),
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
        (event_id, operation)
    }
}

/// What the publisher is told.
pub(crate) fn answer(
    event_id: EventId,
    appended: Result<Appended, Refusal>,
) -> Result<v1::PublishEventResponse, Status> {
    let (event_id, duplicate) = match appended {
        Ok(Appended::New { .. }) => (event_id, false),
        Ok(Appended::Duplicate { event_id }) => (event_id, true),
        Err(Refusal::IdempotencyKeyReused { .. }) => {
            return Err(status::already_exists_idempotency_key());
        }
        Err(refusal) => return Err(answer::append_failed(AppendError::Refused(refusal))),
    };
    Ok(v1::PublishEventResponse { event_id: event_id.to_string(), duplicate })
}

pub(crate) fn refused_or_failed(
    appended: Result<Appended, AppendError>,
) -> Result<Result<Appended, Refusal>, Status> {
    match appended {
        Ok(appended) => Ok(Ok(appended)),
        Err(AppendError::Refused(refusal)) => Ok(Err(refusal)),
        Err(error) => Err(answer::append_failed(error)),
    }
}

/// Clocks are not better than that, and shorter bodies are easier to read.
fn to_milliseconds(time: Timestamp) -> Timestamp {
    Timestamp::from_millisecond(time.as_millisecond()).unwrap_or(time)
}
