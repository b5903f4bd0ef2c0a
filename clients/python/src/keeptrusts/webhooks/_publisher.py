"""The publisher for many events, for programs with threads."""

from __future__ import annotations

import datetime
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future
from typing import Any

import grpc

from . import _requests, v1
from ._credential import Credential
from ._errors import WebhooksError
from ._window import Pending, Window, aborted


class Publisher:
    """Publishes events over one stream, as fast as they are committed; safe to share between threads.

    Each event has a future of its own, which ends when the event is committed or refused. What is not
    acknowledged when the connection ends is sent again with the same idempotency key, and counts once.
    At most `max_pending` events (and 16 MiB) wait for their acknowledgements; then `publish` blocks. After
    `retry_for` seconds without a server their futures fail.

    Use it in a `with`. Its end waits for the acknowledgements, as `close` does; an exception that leaves it
    gives up what is not acknowledged, as `abort` does, and goes on at once.
    """

    def __init__(
        self, call: Callable[[Iterator[v1.StreamEventsRequest]], Any], organization_id: str, credential: Credential,
        window: Window,
    ) -> None:  # fmt: skip
        self._call = call
        self._organization_id = organization_id
        self._credential = credential
        self._window = window
        self._changed = threading.Condition()
        self._present_call: Any = None
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
            if not self._changed.wait_for(lambda: self._window.may_publish(size), timeout):
                raise TimeoutError("the server has not acknowledged enough events to make room")
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
            self._window.is_closed = True
            self._changed.notify_all()
        self._thread.join(timeout)
        if self._thread.is_alive():
            raise TimeoutError(f"{len(self._window)} events are not acknowledged yet")

    def abort(self) -> None:
        """Takes no more events, and gives up those that are not acknowledged, without waiting.

        Their futures fail with CANCELLED, and `unacknowledged` has them.
        """
        with self._changed:
            given_up = self._window.abort()
            call = self._present_call
            self._changed.notify_all()
        if call is not None:
            call.cancel()
        for pending in given_up:
            pending.finish(None, aborted())

    def unacknowledged(self) -> list[v1.PublishEventRequest]:
        """The events that are not acknowledged yet, or were given up by `abort`, in the order of their publishing.

        The server may have accepted some of them. They have their idempotency keys, so that each counts once if
        it is published again (`client.ingest.PublishEvent`).
        """
        with self._changed:
            return self._window.unacknowledged()

    def __enter__(self) -> Publisher:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            self.close()
        else:
            self.abort()

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._window.is_closed or len(self._window))
                if self._window.is_over:
                    return
                items = self._items(self._window.begin_stream())
            key = self._credential.current()
            error = self._send(items)
            has_another_key = self._window.key_refusals.ask_for_another(error) and self._credential.read_again() != key
            with self._changed:
                given_up, wait = self._window.end_stream(error, has_another_key)
                self._changed.notify_all()
            for pending in given_up:
                pending.finish(None, error)
            with self._changed:
                self._changed.wait_for(lambda: self._window.is_over, wait)

    def _send(self, items: Iterator[v1.StreamEventsRequest]) -> WebhooksError | None:
        """One stream: why it ended."""
        call = self._call(items)
        with self._changed:
            self._present_call = call
        try:
            for response in call:
                self._acknowledge(response)
            return None
        except grpc.RpcError as cause:
            return WebhooksError.of_call(cause)
        finally:
            call.cancel()

    def _items(self, stream: int) -> Iterator[v1.StreamEventsRequest]:
        """What gRPC sends, from a thread of its own. Ends when nothing is left to be sent for a closed publisher."""
        while True:
            with self._changed:
                if not self._window.is_sending(stream):
                    return
                item = self._window.next_item()
                if item is None:
                    self._changed.wait(self._window.pause() or None)
            if item is not None:
                yield item

    def _acknowledge(self, response: v1.StreamEventsResponse) -> None:
        with self._changed:
            outcome = self._window.acknowledge(response)
            self._changed.notify_all()
        if outcome is not None:
            pending, error = outcome
            pending.finish(response.response, error)
