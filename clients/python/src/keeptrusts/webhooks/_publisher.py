"""The publisher for many events, for programs with threads."""

from __future__ import annotations

import datetime
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future
from typing import Any

import grpc

from . import _requests, v1
from ._errors import WebhooksError
from ._retries import RetryPolicy, is_temporary
from ._window import Pending, Window


class Publisher:
    """Publishes events over one stream, as fast as they are committed; safe to share between threads.

    Each event has a future of its own, which ends when the event is committed or refused. What is not
    acknowledged when the connection ends is sent again with the same idempotency key, and counts once.
    At most `max_pending` events (and 16 MiB) wait for their acknowledgements; then `publish` blocks. After
    `retry_for` seconds without a server their futures fail. Use it in a `with`, or close it.
    """

    def __init__(
        self,
        call: Callable[[Iterator[v1.StreamEventsRequest]], Any],
        organization_id: str,
        policy: RetryPolicy,
        *,
        max_pending: int,
        retry_for: float,
    ) -> None:
        self._call = call
        self._organization_id = organization_id
        self._policy = policy
        self._retry_for = retry_for
        self._window = Window(max_pending)
        self._changed = threading.Condition()
        self._closing = False
        self._stream = 0  # The number of the present stream: the iterators of older ones end.
        self._resume_at = 0.0  # Until then nothing is sent, as the server asked.
        self._refusals = 0
        self._last_success = time.monotonic()
        self._thread = threading.Thread(target=self._run, name="keeptrusts-webhooks-publisher", daemon=True)
        self._thread.start()

    def publish(
        self,
        event_type: str,
        data: Mapping[str, Any] | str,
        *,
        event_time: datetime.datetime | None = None,
        idempotency_key: str | None = None,
        timeout: float | None = None,
    ) -> Future[v1.PublishEventResponse]:
        """Takes an event as `Client.publish` does. Waits for room, at most `timeout` seconds (TimeoutError).

        The future fails with WebhooksError if the event is refused. An event of more than 4 MiB is a ValueError.
        """
        request = _requests.publish_request(self._organization_id, event_type, data, event_time, idempotency_key)
        future: Future[v1.PublishEventResponse] = Future()
        future.set_running_or_notify_cancel()  # It cannot be cancelled: it may be on its way.
        size = _requests.check_size(request)
        with self._changed:
            if not self._changed.wait_for(lambda: self._closing or self._window.has_room(size), timeout):
                raise TimeoutError("the server has not acknowledged enough events to make room")
            if self._closing:
                raise RuntimeError("the publisher is closed")
            if not len(self._window):
                self._last_success = time.monotonic()
            self._window.add(Pending(request, future, size))
            self._changed.notify_all()
        return future

    def flush(self, timeout: float | None = None) -> None:
        """Waits until every event that was taken is acknowledged or refused (TimeoutError)."""
        with self._changed:
            if not self._changed.wait_for(lambda: not len(self._window), timeout):
                raise TimeoutError(f"{len(self._window)} events are not acknowledged yet")

    def close(self, timeout: float | None = None) -> None:
        """Takes no more events, and waits until the others are acknowledged or refused (TimeoutError)."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        self._thread.join(timeout)
        if self._thread.is_alive():
            raise TimeoutError(f"{len(self._window)} events are not acknowledged yet")

    def __enter__(self) -> Publisher:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _run(self) -> None:
        failures = 0
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._closing or len(self._window))
                if not len(self._window):
                    return
                self._stream += 1
                items = self._items(self._stream)
            error, acknowledged = self._send(items)
            failures = 1 if acknowledged else failures + 1
            with self._changed:
                self._stream += 1
                self._window.send_again()
                waited = time.monotonic() - self._last_success
                gives_up = error is not None and (not is_temporary(error) or waited > self._retry_for)
                given_up = self._window.drain() if gives_up else []
                self._changed.notify_all()
            for pending in given_up:
                _finish(pending.future, None, error)
            if error:
                time.sleep(self._policy.wait(failures, error.retry_delay))

    def _send(self, items: Iterator[v1.StreamEventsRequest]) -> tuple[WebhooksError | None, bool]:
        """One stream: why it ended, and whether the server acknowledged something."""
        acknowledged = False
        stream = self._call(items)
        try:
            for response in stream:
                acknowledged = True
                self._acknowledge(response)
            return None, acknowledged
        except grpc.RpcError as cause:
            return WebhooksError.of_call(cause), acknowledged
        finally:
            stream.cancel()

    def _items(self, stream: int) -> Iterator[v1.StreamEventsRequest]:
        """What gRPC sends, from a thread of its own. Ends when nothing is left to be sent for a closed publisher."""
        while True:
            with self._changed:
                if stream != self._stream or (self._closing and not len(self._window)):
                    return
                pause = self._resume_at - time.monotonic()
                item = self._window.next_item() if pause <= 0 else None
                if item is None:
                    self._changed.wait(pause if pause > 0 else None)
            if item is not None:
                yield item

    def _acknowledge(self, response: v1.StreamEventsResponse) -> None:
        with self._changed:
            outcome = self._window.acknowledge(response)
            if outcome is None:
                self._refusals += 1
                delay = WebhooksError.of_status(response.status).retry_delay
                self._resume_at = time.monotonic() + self._policy.wait(self._refusals, delay)
            else:
                self._refusals = 0
                self._last_success = time.monotonic()
            self._changed.notify_all()
        if outcome is not None:
            pending, error = outcome
            _finish(pending.future, response.response, error)


def _finish(future: Any, response: v1.PublishEventResponse | None, error: WebhooksError | None) -> None:
    if error:
        future.set_exception(error)
    else:
        future.set_result(response)
