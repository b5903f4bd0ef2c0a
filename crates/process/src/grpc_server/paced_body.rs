//! A stream whose next message waits until the one before has been written.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use futures_util::task::AtomicWaker;
use http_body::Frame;
use tonic::Status;
use tonic::body::Body;

/// A stream's body, of which the transport has no more than one piece. It would take some hundred
/// kilobytes of each stream whose client reads slowly.
pub(super) struct PacedBody {
    body: Body,
    written: Arc<Written>,
}

/// Whether there is a piece that is not written yet, and who waits for that.
#[derive(Default)]
struct Written {
    is_under_way: AtomicBool,
    waker: AtomicWaker,
}

/// A piece of a stream, until the last of it is written or dropped.
struct Piece {
    bytes: Bytes,
    written: Arc<Written>,
}

impl PacedBody {
    pub(super) fn new(body: Body) -> PacedBody {
        PacedBody { body, written: Arc::default() }
    }
}

impl AsRef<[u8]> for Piece {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for Piece {
    fn drop(&mut self) {
        self.written.is_under_way.store(false, Ordering::Release);
        self.written.waker.wake();
    }
}

impl http_body::Body for PacedBody {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        // Before it is looked at, so that what is written meanwhile wakes.
        self.written.waker.register(context.waker());
        if self.written.is_under_way.load(Ordering::Acquire) {
            return Poll::Pending;
        }
        let frame = ready!(Pin::new(&mut self.body).poll_frame(context));
        Poll::Ready(frame.map(|frame| {
            frame.map(|frame| {
                frame.map_data(|bytes| {
                    self.written.is_under_way.store(true, Ordering::Release);
                    Bytes::from_owner(Piece { bytes, written: Arc::clone(&self.written) })
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
    fn a_piece_waits_until_the_one_before_is_written() {
        let pieces = ["first", "second"].map(|it| Ok::<_, Status>(Frame::data(Bytes::from(it))));
        let stream = StreamBody::new(futures_util::stream::iter(pieces));
        let mut body = PacedBody::new(Body::new(stream));
        let first = body.frame().now_or_never().expect("nothing is under way").expect("a piece");
        let first = first.expect("no error").into_data().expect("data");
        let rest = first.slice(1..);
        drop(first);

        let woken = Arc::new(Woken::default());
        let waker = waker(Arc::clone(&woken));
        let mut context = Context::from_waker(&waker);
        let polled = http_body::Body::poll_frame(Pin::new(&mut body), &mut context);
        assert!(polled.is_pending() && !woken.0.load(Ordering::Acquire), "a part of it is left");
        drop(rest);
        assert!(woken.0.load(Ordering::Acquire));
        let second = body.frame().now_or_never().expect("nothing is under way").expect("a piece");
        assert_eq!(second.expect("no error").into_data().expect("data"), "second");
        assert!(body.frame().now_or_never().expect("nothing is under way").is_none());
    }
}
