//! The body of a request, as long as it may be waited for.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Frame, SizeHint};
use keeptrusts_webhooks_contracts::status;
use keeptrusts_webhooks_domain::access::Caller;
use tonic::Status;
use tonic::body::Body;

use super::gate::Gate;

/// Who was let in by the headers of a request has not sent its body yet. It is waited for, but
/// not for ever, and only as long as its caller may be there: otherwise a request whose headers
/// came before a revocation could be made good at any time after it.
pub(super) struct AwaitedBody {
    body: Body,
    gate: Arc<dyn Gate>,
    caller: Option<Caller>,
    /// How long it is waited for, from when there is something to wait for.
    patience: Duration,
    /// Once there was something to wait for.
    end: Option<Pin<Box<dyn Future<Output = Status> + Send>>>,
}

impl AwaitedBody {
    pub(super) fn new(
        body: Body,
        gate: Arc<dyn Gate>,
        caller: Option<Caller>,
        patience: Duration,
    ) -> AwaitedBody {
        AwaitedBody { body, gate, caller, patience, end: None }
    }
}

impl http_body::Body for AwaitedBody {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        // Before what has come: it may have come too late.
        if let Some(end) = &mut self.end
            && let Poll::Ready(status) = end.as_mut().poll(context)
        {
            return Poll::Ready(Some(Err(status)));
        }
        if let Poll::Ready(frame) = Pin::new(&mut self.body).poll_frame(context) {
            return Poll::Ready(frame);
        }
        if self.end.is_none() {
            let mut end = Box::pin(end(Arc::clone(&self.gate), self.caller.clone(), self.patience));
            // So that it wakes whoever waits for the body.
            let polled = end.as_mut().poll(context);
            self.end = Some(end);
            return polled.map(|status| Some(Err(status)));
        }
        Poll::Pending
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

async fn end(gate: Arc<dyn Gate>, caller: Option<Caller>, patience: Duration) -> Status {
    let lapse = async {
        match caller {
            Some(caller) => gate.lapse(caller).await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        status = lapse => status,
        () = tokio::time::sleep(patience) => too_slow(patience),
    }
}

fn too_slow(patience: Duration) -> Status {
    status::deadline_exceeded_for(format!(
        "the request had not come after {patience:?}, and nothing was done: send all of it at once; operators can permit more with --request-body-timeout"
    ))
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::future::poll_fn;

    use http::request::Parts;
    use keeptrusts_webhooks_domain::access::{Credential, Reach, Role};
    use tokio::sync::Notify;
    use tonic::Code;

    use super::*;
    use crate::grpc_server::limits::REQUEST_BODY_TIMEOUT;

    /// Lets callers lapse when it is told to.
    #[derive(Default)]
    struct Revoking(Notify);

    #[tonic::async_trait]
    impl Gate for Revoking {
        async fn admit(&self, _: &Parts) -> Result<Option<Caller>, Status> {
            Ok(None)
        }

        async fn lapse(&self, _: Caller) -> Status {
            self.0.notified().await;
            status::unauthenticated("revoked")
        }
    }

    /// A body that never comes.
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
            reach: Reach::Everywhere,
            expire_time: None,
            credential: Credential::WebToken,
            address: None,
        }
    }

    async fn ends_with(body: &mut AwaitedBody) -> Code {
        let frame = poll_fn(|context| http_body::Body::poll_frame(Pin::new(&mut *body), context));
        frame.await.expect("it says why").expect_err("with a status").code()
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_does_not_come_is_not_waited_for_for_ever() {
        let begun = tokio::time::Instant::now();
        let mut body = AwaitedBody::new(
            Body::new(Nothing),
            Arc::<Revoking>::default(),
            None,
            REQUEST_BODY_TIMEOUT,
        );
        assert_eq!(ends_with(&mut body).await, Code::DeadlineExceeded);
        assert_eq!(begun.elapsed(), REQUEST_BODY_TIMEOUT);
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_is_not_waited_for_when_its_caller_may_not_be_there_any_more() {
        let gate = Arc::<Revoking>::default();
        let mut body = AwaitedBody::new(
            Body::new(Nothing),
            gate.clone(),
            Some(caller()),
            REQUEST_BODY_TIMEOUT,
        );
        let waited = tokio::time::timeout(REQUEST_BODY_TIMEOUT / 2, ends_with(&mut body)).await;
        assert!(waited.is_err(), "it still may be");
        gate.0.notify_one();
        assert_eq!(ends_with(&mut body).await, Code::Unauthenticated);
    }

    #[tokio::test]
    async fn a_body_that_is_there_is_passed_on() {
        let there = Body::new(http_body_util::Full::new(Bytes::from_static(b"request")));
        let mut body = AwaitedBody::new(
            there,
            Arc::<Revoking>::default(),
            Some(caller()),
            REQUEST_BODY_TIMEOUT,
        );
        let frame = poll_fn(|context| http_body::Body::poll_frame(Pin::new(&mut body), context));
        let data = frame.await.expect("a frame").expect("no error").into_data();
        assert_eq!(data.expect("data"), "request");
    }
}
