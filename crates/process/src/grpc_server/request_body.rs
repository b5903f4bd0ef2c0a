//! The body of a gRPC request, with a time limit.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use keeptrusts_webhooks_contracts::status;
use keeptrusts_webhooks_domain::access::Caller;
use tonic::Status;
use tonic::body::Body;

use super::gate::Gate;
use crate::timeout_body::{TimeLimit, TimeoutBody};

/// The gate admits a request by its headers, before the body has arrived. The body must arrive in
/// time and while its caller has access: otherwise a request whose headers were sent before a
/// revocation could be completed at any time after it.
pub(super) type RequestBody = TimeoutBody<Body, CallerTimeLimit>;

pub(super) struct CallerTimeLimit {
    gate: Arc<dyn Gate>,
    caller: Option<Caller>,
    timeout: Duration,
}

/// Limits the body of a request that `gate` has admitted. `timeout` counts from when the server
/// first has to wait for the body.
pub(super) fn request_body(
    body: Body,
    gate: Arc<dyn Gate>,
    caller: Option<Caller>,
    timeout: Duration,
) -> RequestBody {
    TimeoutBody::new(body, CallerTimeLimit { gate, caller, timeout })
}

impl TimeLimit for CallerTimeLimit {
    type Error = Status;

    fn expired(&self) -> BoxFuture<'static, Status> {
        Box::pin(expired(Arc::clone(&self.gate), self.caller.clone(), self.timeout))
    }
}

async fn expired(gate: Arc<dyn Gate>, caller: Option<Caller>, timeout: Duration) -> Status {
    let access_ended = async {
        match caller {
            Some(caller) => gate.access_ended(caller).await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        status = access_ended => status,
        () = tokio::time::sleep(timeout) => too_slow(timeout),
    }
}

pub(super) fn too_slow(timeout: Duration) -> Status {
    status::deadline_exceeded_for(format!(
        "the request had not come after {timeout:?}, and nothing was done: send all of it at once; operators can permit more with --request-body-timeout"
    ))
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::future::poll_fn;
    use std::pin::Pin;
    use std::task::{Context, Poll};

    use bytes::Bytes;
    use http::request::Parts;
    use http_body::Frame;
    use keeptrusts_webhooks_domain::access::{Credential, OrganizationScope, Role};
    use tokio::sync::Notify;
    use tonic::Code;

    use super::*;
    use crate::grpc_server::limits::REQUEST_BODY_TIMEOUT;

    /// Revokes the caller's key when it is notified.
    #[derive(Default)]
    struct Revoking(Notify);

    #[tonic::async_trait]
    impl Gate for Revoking {
        async fn admit(&self, _: &Parts) -> Result<Option<Caller>, Status> {
            Ok(None)
        }

        async fn access_ended(&self, _: Caller) -> Status {
            self.0.notified().await;
            status::unauthenticated("revoked")
        }
    }

    /// A body that never arrives.
    struct Nothing;

    impl http_body::Body for Nothing {
        type Data = Bytes;
        type Error = Infallible;

        fn poll_frame(
            self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
            Poll::Pending
        }
    }

    fn caller() -> Caller {
        Caller {
            actor: "key_1".into(),
            name: "key".into(),
            role: Role::Admin,
            organizations: OrganizationScope::All,
            expire_time: None,
            credential: Credential::WebToken,
            address: None,
        }
    }

    async fn ends_with(body: &mut RequestBody) -> Code {
        let frame = poll_fn(|context| http_body::Body::poll_frame(Pin::new(&mut *body), context));
        frame.await.expect("it says why").expect_err("with a status").code()
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_does_not_arrive_times_out() {
        let begun = tokio::time::Instant::now();
        let mut body = request_body(
            Body::new(Nothing),
            Arc::<Revoking>::default(),
            None,
            REQUEST_BODY_TIMEOUT,
        );
        assert_eq!(ends_with(&mut body).await, Code::DeadlineExceeded);
        assert_eq!(begun.elapsed(), REQUEST_BODY_TIMEOUT);
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_fails_when_its_caller_loses_access() {
        let gate = Arc::<Revoking>::default();
        let mut body =
            request_body(Body::new(Nothing), gate.clone(), Some(caller()), REQUEST_BODY_TIMEOUT);
        let waited = tokio::time::timeout(REQUEST_BODY_TIMEOUT / 2, ends_with(&mut body)).await;
        assert!(waited.is_err(), "it still may be");
        gate.0.notify_one();
        assert_eq!(ends_with(&mut body).await, Code::Unauthenticated);
    }

    #[tokio::test]
    async fn a_body_that_is_ready_is_passed_on() {
        let there = Body::new(http_body_util::Full::new(Bytes::from_static(b"request")));
        let mut body =
            request_body(there, Arc::<Revoking>::default(), Some(caller()), REQUEST_BODY_TIMEOUT);
        let frame = poll_fn(|context| http_body::Body::poll_frame(Pin::new(&mut body), context));
        let data = frame.await.expect("a frame").expect("no error").into_data();
        assert_eq!(data.expect("data"), "request");
    }
}
