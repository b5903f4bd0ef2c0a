//! Backpressure for streaming answers: the next frame waits until the one before has been written.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use futures_util::task::AtomicWaker;
use http_body::Frame;
use tonic::Status;
use tonic::body::Body;

/// Gives the transport one frame at a time. Otherwise the transport would buffer some hundred
/// kilobytes for each stream whose client reads slowly.
pub(super) struct BackpressureBody {
    body: Body,
    write: Arc<WriteState>,
}

#[derive(Default)]
struct WriteState {
    is_writing: AtomicBool,
    /// The task that waits for the write to finish.
    waker: AtomicWaker,
}

/// The bytes of a frame. The transport drops them when the last one is written.
struct TrackedBytes {
    bytes: Bytes,
    write: Arc<WriteState>,
}

impl BackpressureBody {
    pub(super) fn new(body: Body) -> BackpressureBody {
        BackpressureBody { body, write: Arc::default() }
    }

    /// Whether the transport has not written the last frame yet.
    pub(super) fn is_writing(&self) -> bool {
        self.write.is_writing.load(Ordering::Acquire)
    }
}

impl AsRef<[u8]> for TrackedBytes {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for TrackedBytes {
    fn drop(&mut self) {
        self.write.is_writing.store(false, Ordering::Release);
        self.write.waker.wake();
    }
}

impl http_body::Body for BackpressureBody {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        // Registered before the check, so that a write that finishes in between is not missed.
        self.write.waker.register(context.waker());
        if self.is_writing() {
            return Poll::Pending;
        }
        let frame = ready!(Pin::new(&mut self.body).poll_frame(context));
        Poll::Ready(frame.map(|frame| {
            frame.map(|frame| {
                frame.map_data(|bytes| {
                    self.write.is_writing.store(true, Ordering::Release);
                    Bytes::from_owner(TrackedBytes { bytes, write: Arc::clone(&self.write) })
                })
            })
        }))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;
    use futures_util::task::{ArcWake, waker};
    use http_body_util::{BodyExt, StreamBody};

    use super::*;

    #[derive(Default)]
    struct Woken(AtomicBool);

    impl ArcWake for Woken {
        fn wake_by_ref(woken: &Arc<Woken>) {
            woken.0.store(true, Ordering::Release);
        }
    }

    #[test]
    fn a_frame_waits_until_the_one_before_is_written() {
        let frames = ["first", "second"].map(|it| Ok::<_, Status>(Frame::data(Bytes::from(it))));
        let stream = StreamBody::new(futures_util::stream::iter(frames));
        let mut body = BackpressureBody::new(Body::new(stream));
        let first =
            body.frame().now_or_never().expect("nothing is being written").expect("a frame");
        let first = first.expect("no error").into_data().expect("data");
        let rest = first.slice(1..);
        drop(first);

        let woken = Arc::new(Woken::default());
        let waker = waker(Arc::clone(&woken));
        let mut context = Context::from_waker(&waker);
        let polled = http_body::Body::poll_frame(Pin::new(&mut body), &mut context);
        assert!(
            polled.is_pending() && !woken.0.load(Ordering::Acquire),
            "a part of it is not written"
        );
        drop(rest);
        assert!(woken.0.load(Ordering::Acquire));
        let second =
            body.frame().now_or_never().expect("nothing is being written").expect("a frame");
        assert_eq!(second.expect("no error").into_data().expect("data"), "second");
        assert!(body.frame().now_or_never().expect("nothing is being written").is_none());
    }
}
