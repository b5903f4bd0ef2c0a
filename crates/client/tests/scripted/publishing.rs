//! The publisher over a stream, with a server that loses connections.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use keeptrusts_webhooks_client::publisher::EventPublisher;
use keeptrusts_webhooks_client::{Code, Event, v1};
use prost::Message as _;
use tokio::sync::{Semaphore, mpsc};
use tokio::time::timeout;
use tonic::{Status, Streaming};

use crate::server::{OnStream, Raw, Scripted};

type Responses = mpsc::Sender<Result<Raw, Status>>;

/// What a server of events remembers: how often each key was accepted, and the streams' items.
#[derive(Default)]
struct Memory {
    accepted: BTreeMap<String, usize>,
    streams: Vec<Vec<(i64, String)>>,
}

/// A server that takes a decision for each item: of the stream's number, of the item's number in it, and
/// of its key.
fn server(
    memory: &Arc<Mutex<Memory>>,
    decide: impl Fn(usize, usize, &str) -> Decision + Send + Sync + 'static,
) -> OnStream {
    let (memory, decide) = (Arc::clone(memory), Arc::new(decide));
    Arc::new(move |items, responses, _| {
        let (memory, decide) = (Arc::clone(&memory), Arc::clone(&decide));
        Box::pin(async move {
            serve(&memory, &*decide, items, responses).await;
            Ok(())
        })
    })
}

enum Decision {
    /// Accepted and acknowledged.
    Accept,
    /// Accepted, and the stream is lost before its acknowledgement.
    AcceptAndLose,
    /// Lost before it was accepted.
    Lose,
    Refuse(Status),
    /// The stream ends so.
    End(Status),
}

async fn serve(
    memory: &Mutex<Memory>,
    decide: &(dyn Fn(usize, usize, &str) -> Decision + Send + Sync),
    mut items: Streaming<Raw>,
    responses: Responses,
) {
    let stream = {
        let mut memory = memory.lock().expect("no panic");
        memory.streams.push(Vec::new());
        memory.streams.len() - 1
    };
    let mut number = 0;
    while let Ok(Some(Raw(item))) = items.message().await {
        let item = v1::StreamEventsRequest::decode(&*item).expect("an item");
        let event = item.request.expect("an event");
        assert_eq!(event.organization_id, "acme");
        let key = event.idempotency_key;
        let decision = decide(stream, number, &key);
        number += 1;
        let is_duplicate = {
            let mut memory = memory.lock().expect("no panic");
            memory.streams[stream].push((item.sequence_number, key.clone()));
            match decision {
                Decision::Accept | Decision::AcceptAndLose => {
                    let times = memory.accepted.entry(key.clone()).or_default();
                    *times += 1;
                    *times > 1
                }
                _ => false,
            }
        };
        let result = match decision {
            Decision::Accept => {
                v1::stream_events_response::Result::Response(v1::PublishEventResponse {
                    event_id: key,
                    duplicate: is_duplicate,
                })
            }
            Decision::Refuse(status) => {
                let status = tonic_types::pb::Status {
                    code: status.code().into(),
                    message: status.message().to_owned(),
                    details: Vec::new(),
                };
                v1::stream_events_response::Result::Status(status)
            }
            Decision::AcceptAndLose | Decision::Lose => {
                let _ = responses.send(Err(Status::unavailable("shutting down"))).await;
                return;
            }
            Decision::End(status) => {
                let _ = responses.send(Err(status)).await;
                return;
            }
        };
        let response = v1::StreamEventsResponse {
            sequence_number: item.sequence_number,
            result: Some(result),
        };
        if responses.send(Ok(Raw(response.encode_to_vec()))).await.is_err() {
            return;
        }
    }
}

fn event(key: usize) -> Event {
    Event::new("acme", "policy.violation", "{}").idempotency_key(key.to_string())
}

fn key(response: &v1::PublishEventResponse) -> usize {
    response.event_id.parse().expect("the key")
}

/// Fails a test that would hang.
async fn soon<T>(what: impl Future<Output = T>) -> T {
    timeout(Duration::from_secs(20), what).await.expect("it takes no 20 seconds")
}

#[tokio::test]
async fn each_event_is_acknowledged_and_closing_waits_for_all() {
    let memory = Arc::default();
    let server = Scripted::with_streams([], server(&memory, |_, _, _| Decision::Accept)).await;
    let publisher = server.client().event_publisher("acme").start();
    let mut acknowledgements = Vec::new();
    for number in 0..500 {
        acknowledgements.push(publisher.publish(event(number)).await.expect("taken"));
    }
    soon(publisher.close()).await.expect("closed");
    assert_eq!(memory.lock().expect("no panic").accepted.len(), 500);
    for (number, acknowledgement) in acknowledgements.into_iter().enumerate() {
        assert_eq!(key(&acknowledgement.await.expect("accepted")), number);
    }
    let numbers: Vec<_> =
        memory.lock().expect("no panic").streams[0].iter().map(|(number, _)| *number).collect();
    assert!(numbers.is_sorted_by(|one, next| 0 < *one && one < next), "strictly rising");
    let error = publisher.publish(event(1)).await.expect_err("closed");
    assert_eq!(error.code(), Code::FailedPrecondition, "{error}");
    assert!(soon(publisher.flush()).await.is_err());
}

#[tokio::test]
async fn what_a_lost_stream_did_not_acknowledge_is_sent_again_with_the_same_keys() {
    let memory = Arc::default();
    // Every stream ends with its 20th item, which is accepted on every other one.
    let on_stream = server(&memory, |stream, number, _| match number {
        19 if stream % 2 == 0 => Decision::AcceptAndLose,
        19 => Decision::Lose,
        _ => Decision::Accept,
    });
    let server = Scripted::with_streams([], on_stream).await;
    let publisher = server.client().event_publisher("acme").max_events(50).start();
    let mut acknowledgements = Vec::new();
    for number in 0..300 {
        acknowledgements.push(soon(publisher.publish(event(number))).await.expect("taken"));
    }
    soon(publisher.flush()).await.expect("flushed");
    for (number, acknowledgement) in acknowledgements.into_iter().enumerate() {
        assert_eq!(key(&soon(acknowledgement).await.expect("accepted")), number);
    }
    let memory = memory.lock().expect("no panic");
    assert_eq!(memory.accepted.len(), 300, "nothing is lost");
    assert!(memory.streams.len() >= 300 / 20, "{} streams", memory.streams.len());
    for stream in &memory.streams {
        assert!(stream.is_sorted_by(|(one, _), (next, _)| one < next), "numbers rise");
    }
}

#[tokio::test]
async fn a_refused_item_ends_neither_the_stream_nor_the_others() {
    let memory = Arc::default();
    let on_stream = server(&memory, |_, _, key| match key {
        "1" => Decision::Refuse(Status::invalid_argument("no such type")),
        _ => Decision::Accept,
    });
    let server = Scripted::with_streams([], on_stream).await;
    let publisher = server.client().event_publisher("acme").start();
    let mut outcomes = Vec::new();
    for number in 0..3 {
        let acknowledgement = publisher.publish(event(number)).await.expect("taken");
        outcomes.push(soon(acknowledgement).await.map_err(|error| error.code()).is_ok());
    }
    assert_eq!(outcomes, [true, false, true]);
    assert_eq!(memory.lock().expect("no panic").streams.len(), 1);
}

#[tokio::test]
async fn an_item_that_is_refused_for_the_moment_is_sent_again() {
    let memory = Arc::default();
    let tries = Arc::new(Mutex::new(0));
    let on_stream = server(&memory, move |_, _, _| {
        let mut tries = tries.lock().expect("no panic");
        *tries += 1;
        match *tries {
            1..=3 => Decision::Refuse(Status::unavailable("the database is away")),
            _ => Decision::Accept,
        }
    });
    let server = Scripted::with_streams([], on_stream).await;
    let publisher = server.client().event_publisher("acme").start();
    let acknowledgement = publisher.publish(event(7)).await.expect("taken");
    assert_eq!(key(&soon(acknowledgement).await.expect("accepted")), 7);
    let streams = &memory.lock().expect("no panic").streams;
    assert_eq!(streams.iter().map(Vec::len).sum::<usize>(), 4);
}

#[tokio::test]
async fn publishing_waits_while_too_much_is_under_way() {
    let memory = Arc::default();
    let gate = Arc::new(Semaphore::new(0));
    let open = Arc::clone(&gate);
    let inner = server(&memory, |_, _, _| Decision::Accept);
    // The server reads nothing before the gate is open.
    let on_stream: OnStream = Arc::new(move |items, responses, metadata| {
        let (gate, inner) = (Arc::clone(&gate), Arc::clone(&inner));
        Box::pin(async move {
            let _open = gate.acquire().await;
            inner(items, responses, metadata).await
        })
    });
    let server = Scripted::with_streams([], on_stream).await;
    let start = |events: usize, bytes: usize| {
        let builder = server.client().event_publisher("acme");
        builder.max_events(events).max_bytes(bytes).start()
    };
    let by_number = start(3, usize::MAX);
    let by_size = start(1000, 3 * 1100);
    let large = |number| {
        let data = format!(r#"{{"text":"{}"}}"#, "x".repeat(1000));
        Event::new("acme", "policy.violation", data).idempotency_key(format!("large {number}"))
    };
    let mut acknowledgements = Vec::new();
    for number in 0..3 {
        acknowledgements.push(soon(by_number.publish(event(number))).await.expect("room"));
        acknowledgements.push(soon(by_size.publish(large(number))).await.expect("room"));
    }
    let shortly = Duration::from_millis(100);
    assert!(timeout(shortly, by_number.publish(event(3))).await.is_err(), "it waits");
    assert!(timeout(shortly, by_size.publish(large(3))).await.is_err(), "it waits");
    open.add_permits(2);
    soon(by_number.publish(event(4))).await.expect("there is room again").await.expect("accepted");
    soon(by_size.publish(large(4))).await.expect("there is room again").await.expect("accepted");
    for acknowledgement in acknowledgements {
        soon(acknowledgement).await.expect("accepted");
    }
}

#[tokio::test]
async fn an_event_larger_than_all_room_is_sent_alone_and_one_that_no_server_reads_is_refused() {
    let memory = Arc::default();
    let server = Scripted::with_streams([], server(&memory, |_, _, _| Decision::Accept)).await;
    let publisher = server.client().event_publisher("acme").max_bytes(100).start();
    let sized =
        |size| Event::new("acme", "policy.violation", "x".repeat(size)).idempotency_key("1");
    soon(publisher.publish(sized(5_000))).await.expect("taken").await.expect("accepted");
    let error = publisher.publish(sized(5 << 20)).await.expect_err("too large");
    assert_eq!(error.code(), Code::InvalidArgument);
    let other = Event::new("other", "policy.violation", "{}");
    let error = publisher.publish(other).await.expect_err("of another organization");
    assert_eq!(error.code(), Code::InvalidArgument);
}

#[tokio::test]
async fn an_error_that_does_not_pass_ends_the_publisher_and_everybody_hears_it() {
    let memory = Arc::default();
    let on_stream = server(&memory, |_, _, _| Decision::End(Status::permission_denied("a viewer")));
    let server = Scripted::with_streams([], on_stream).await;
    let publisher = server.client().event_publisher("acme").max_events(1).start();
    let acknowledgement = publisher.publish(event(1)).await.expect("taken");
    // Another one waits for room meanwhile.
    let waiting = soon(publisher.publish(event(2))).await;
    let code = |error: keeptrusts_webhooks_client::Error| error.code();
    assert_eq!(soon(acknowledgement).await.map_err(code), Err(Code::PermissionDenied));
    let waiting = match waiting {
        Ok(acknowledgement) => soon(acknowledgement).await.map(drop),
        Err(error) => Err(error),
    };
    assert_eq!(waiting.map_err(code), Err(Code::PermissionDenied));
    assert_eq!(soon(publisher.close()).await.map_err(code), Err(Code::PermissionDenied));
}

#[tokio::test]
async fn an_event_is_given_up_after_its_time() {
    let memory = Arc::default();
    let on_stream = server(&memory, |_, _, _| Decision::Lose);
    let server = Scripted::with_streams([], on_stream).await;
    let publisher: EventPublisher =
        server.client().event_publisher("acme").give_up_after(Duration::from_millis(100)).start();
    let acknowledgement = publisher.publish(event(1)).await.expect("taken");
    let error = soon(acknowledgement).await.expect_err("never accepted");
    assert_eq!(error.code(), Code::DeadlineExceeded);
    soon(publisher.close()).await.expect("nothing is left");
}

#[tokio::test]
async fn what_was_published_is_sent_after_the_last_handle_is_dropped() {
    let memory = Arc::default();
    let server = Scripted::with_streams([], server(&memory, |_, _, _| Decision::Accept)).await;
    let publisher = server.client().event_publisher("acme").start();
    let acknowledgement = publisher.publish(event(1)).await.expect("taken");
    drop(publisher);
    soon(acknowledgement).await.expect("accepted");
}
