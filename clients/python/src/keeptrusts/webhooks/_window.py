"""What a publisher decides: which events are sent when, and when they are given up. Without threads and calls."""

from __future__ import annotations

import time
from collections import deque
from dataclasses import dataclass
from typing import Any

import grpc

from . import v1
from ._errors import WebhooksError
from ._retries import KeyRefusals, RetryPolicy

# How many bytes of events may be waiting for their acknowledgements.
MAX_PENDING_BYTES = 16 * 1024 * 1024
CLOSED = "the publisher is closed"


@dataclass
class Pending:
    """An event, and the future that its publisher waits for."""

    request: v1.PublishEventRequest
    future: Any
    size: int

    def finish(self, response: v1.PublishEventResponse | None, error: WebhooksError | None) -> None:
        if self.future.done():
            return  # Its owner has cancelled it; the event is published all the same.
        if error:
            self.future.set_exception(error)
        else:
            self.future.set_result(response)


class Window:
    """What waits to be sent, in order, and what was sent on the present stream, by sequence number."""

    def __init__(self, policy: RetryPolicy, max_pending: int, retry_for: float) -> None:
        if max_pending < 1:
            raise ValueError("max_pending must be at least 1")
        self.is_closed = False
        """No more events are taken."""
        self.stream = 0
        """The number of the present stream: what sends on older ones ends."""
        self._policy = policy
        self._max_pending = max_pending
        self._retry_for = retry_for
        self._unsent: deque[Pending] = deque()
        self._sent: dict[int, Pending] = {}
        self._given_up: list[Pending] = []
        self._bytes = 0
        self._sequence_number = 0
        self._resume_at = 0.0  # Until then nothing is sent, as the server asked.
        self._refusals = 0
        self._failures = 0  # Streams since the last acknowledgement.
        self._last_success = time.monotonic()
        self.key_refusals = KeyRefusals()

    def __len__(self) -> int:
        return len(self._unsent) + len(self._sent)

    @property
    def is_over(self) -> bool:
        """Nothing is left to be done."""
        return self.is_closed and not len(self)

    def may_publish(self, size: int) -> bool:
        """Whether an event need not wait: there is room, or there never will be."""
        has_room = len(self) < self._max_pending and self._bytes + size <= MAX_PENDING_BYTES
        return self.is_closed or not len(self) or has_room

    def add(self, pending: Pending) -> None:
        if self.is_closed:
            raise RuntimeError(CLOSED)
        if not len(self):
            self._last_success = time.monotonic()
        self._unsent.append(pending)
        self._bytes += pending.size

    def unacknowledged(self) -> list[v1.PublishEventRequest]:
        return [pending.request for pending in [*self._given_up, *self._sent.values(), *self._unsent]]

    def begin_stream(self) -> int:
        self.stream += 1
        return self.stream

    def is_sending(self, stream: int) -> bool:
        return stream == self.stream and not self.is_over

    def pause(self) -> float:
        """How long to send nothing."""
        return max(0.0, self._resume_at - time.monotonic())

    def next_item(self) -> v1.StreamEventsRequest | None:
        """The next item to send now. Sequence numbers rise for ever, over all streams."""
        if not self._unsent or self.pause():
            return None
        self._sequence_number += 1
        pending = self._sent[self._sequence_number] = self._unsent.popleft()
        return v1.StreamEventsRequest(sequence_number=self._sequence_number, request=pending.request)

    def acknowledge(self, item: v1.StreamEventsResponse) -> tuple[Pending, WebhooksError | None] | None:
        """Whose event it is, and why it was refused. None: it waits to be sent again, or is not ours."""
        self._failures = 0
        self.key_refusals.accepted()
        pending = self._sent.pop(item.sequence_number, None)
        if pending is None:
            return None
        error = WebhooksError.of_status(item.status) if item.HasField("status") else None
        if error and error.is_temporary:
            self._unsent.append(pending)
            self._refusals += 1
            self._resume_at = time.monotonic() + self._policy.wait(self._refusals, error.retry_delay)
            return None
        self._refusals = 0
        self._last_success = time.monotonic()
        self._bytes -= pending.size
        return pending, error

    def end_stream(self, error: WebhooksError | None, has_another_key: bool) -> tuple[list[Pending], float]:
        """After the end of a stream: what is given up because of the error, and how long to wait before the next one.
        The rest of what was not acknowledged is sent again, in the same order."""
        self.stream += 1
        self._failures += 1
        self._send_again()
        if error is None or has_another_key:
            return [], 0.0
        waited = time.monotonic() - self._last_success
        wait = self._policy.wait(self._failures, error.retry_delay)
        if error.is_temporary and waited <= self._retry_for:
            return [], wait
        error._after(self._failures, waited)
        return self._drain(), wait

    def abort(self) -> list[Pending]:
        """Takes no more events, and gives all up that wait."""
        self.is_closed = True
        self.stream += 1
        self._send_again()
        self._given_up += self._drain()
        return self._given_up

    def _send_again(self) -> None:
        self._unsent.extendleft(reversed(list(self._sent.values())))
        self._sent.clear()

    def _drain(self) -> list[Pending]:
        drained = list(self._unsent)
        self._unsent.clear()
        self._bytes = 0
        return drained


def aborted() -> WebhooksError:
    """The error of an event that was given up by `abort`."""
    text = "the publisher was stopped before the event was acknowledged; it is not known whether it was accepted"
    return WebhooksError(grpc.StatusCode.CANCELLED, text)
