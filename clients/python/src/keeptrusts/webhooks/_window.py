"""The events of a publisher that are not acknowledged yet. Without threads, calls and clocks."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Any

from . import v1
from ._errors import WebhooksError
from ._retries import is_temporary

# How many bytes of events may be waiting for their acknowledgements.
MAX_PENDING_BYTES = 16 * 1024 * 1024


@dataclass
class Pending:
    """An event, and the future that its publisher waits for."""

    request: v1.PublishEventRequest
    future: Any
    size: int


class Window:
    """What waits to be sent, in order, and what was sent on the present stream, by sequence number."""

    def __init__(self, max_pending: int) -> None:
        if max_pending < 1:
            raise ValueError("max_pending must be at least 1")
        self._max_pending = max_pending
        self._unsent: deque[Pending] = deque()
        self._sent: dict[int, Pending] = {}
        self._bytes = 0
        self._sequence_number = 0

    def __len__(self) -> int:
        return len(self._unsent) + len(self._sent)

    def has_room(self, size: int) -> bool:
        return len(self) == 0 or (len(self) < self._max_pending and self._bytes + size <= MAX_PENDING_BYTES)

    def add(self, pending: Pending) -> None:
        self._unsent.append(pending)
        self._bytes += pending.size

    def next_item(self) -> v1.StreamEventsRequest | None:
        """The next item to send. Sequence numbers rise for ever, over all streams."""
        if not self._unsent:
            return None
        self._sequence_number += 1
        pending = self._sent[self._sequence_number] = self._unsent.popleft()
        return v1.StreamEventsRequest(sequence_number=self._sequence_number, request=pending.request)

    def acknowledge(self, item: v1.StreamEventsResponse) -> tuple[Pending, WebhooksError | None] | None:
        """Whose event it is, and why it was refused. None: it waits to be sent again, or is not ours."""
        pending = self._sent.pop(item.sequence_number, None)
        if pending is None:
            return None
        error = WebhooksError.of_status(item.status) if item.HasField("status") else None
        if error and is_temporary(error):
            self._unsent.append(pending)
            return None
        self._bytes -= pending.size
        return pending, error

    def send_again(self) -> None:
        """After the end of a stream: what was not acknowledged is sent again, in the same order."""
        self._unsent.extendleft(reversed(list(self._sent.values())))
        self._sent.clear()

    def drain(self) -> list[Pending]:
        """Gives everything up."""
        self.send_again()
        drained = list(self._unsent)
        self._unsent.clear()
        self._bytes = 0
        return drained
