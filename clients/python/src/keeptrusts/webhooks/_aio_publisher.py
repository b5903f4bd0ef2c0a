"""The publisher for many events, for programs with asyncio."""

from __future__ import annotations

import asyncio
import datetime
import time
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any

import grpc

from . import _requests, v1
from ._errors import WebhooksError
from ._retries import RetryPolicy, is_temporary
from ._window import Pending, Window

# What gRPC for asyncio says, instead of UNAVAILABLE, if the connection ends while something is written.
_BROKEN_WRITE = "Internal error from Core"


class AsyncPublisher:
    """`Publisher` for asyncio: `await publisher.publish(…)` waits for room and returns a future."""

    def __init__(
        self,
        call: Callable[[AsyncIterator[v1.StreamEventsRequest]], Any],
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
        self._changed = asyncio.Condition()
        self._closing = False
        self._stream = 0  # The number of the present stream: the iterators of older ones end.
        self._resume_at = 0.0  # Until then nothing is sent, as the server asked.
        self._refusals = 0
        self._last_success = time.monotonic()
        self._task: asyncio.Task[None] | None = None

    async def publish(
        self,
        event_type: str,
        data: Mapping[str, Any] | str,
        *,
        event_time: datetime.datetime | None = None,
        idempotency_key: str | None = None,
    ) -> asyncio.Future[v1.PublishEventResponse]:
        """As `Publisher.publish`."""
        request = _requests.publish_request(self._organization_id, event_type, data, event_time, idempotency_key)
        future: asyncio.Future[v1.PublishEventResponse] = asyncio.get_running_loop().create_future()
        size = _requests.check_size(request)
        async with self._changed:
            await self._changed.wait_for(lambda: self._closing or self._window.has_room(size))
            if self._closing:
                raise RuntimeError("the publisher is closed")
            if not len(self._window):
                self._last_success = time.monotonic()
            self._window.add(Pending(request, future, size))
            self._changed.notify_all()
        if self._task is None:
            self._task = asyncio.create_task(self._run(), name="keeptrusts-webhooks-publisher")
        return future

    async def flush(self) -> None:
        """Waits until every event that was taken is acknowledged or refused."""
        async with self._changed:
            await self._changed.wait_for(lambda: not len(self._window))

    async def close(self) -> None:
        """Takes no more events, and waits until the others are acknowledged or refused."""
        async with self._changed:
            self._closing = True
            self._changed.notify_all()
        if self._task:
            await self._task

    async def __aenter__(self) -> AsyncPublisher:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def _run(self) -> None:
        failures = 0
        while True:
            async with self._changed:
                await self._changed.wait_for(lambda: self._closing or len(self._window))
                if not len(self._window):
                    return
                self._stream += 1
                items = self._items(self._stream)
            error, acknowledged = await self._send(items)
            failures = 1 if acknowledged else failures + 1
            async with self._changed:
                self._stream += 1
                self._window.send_again()
                waited = time.monotonic() - self._last_success
                gives_up = error is not None and (not is_temporary(error) or waited > self._retry_for)
                for pending in self._window.drain() if gives_up else []:
                    _finish(pending.future, None, error)
                self._changed.notify_all()
            if error:
                await asyncio.sleep(self._policy.wait(failures, error.retry_delay))

    async def _send(self, items: AsyncIterator[v1.StreamEventsRequest]) -> tuple[WebhooksError | None, bool]:
        """One stream: why it ended, and whether the server acknowledged something."""
        acknowledged = False
        stream = self._call(items)
        try:
            async for response in stream:
                acknowledged = True
                await self._acknowledge(response)
            return None, acknowledged
        except grpc.RpcError as cause:
            error = WebhooksError.of_call(cause)
            if error.code is grpc.StatusCode.INTERNAL and error.message.startswith(_BROKEN_WRITE):
                error = WebhooksError(grpc.StatusCode.UNAVAILABLE, "the connection ended")
            return error, acknowledged
        finally:
            stream.cancel()

    async def _items(self, stream: int) -> AsyncIterator[v1.StreamEventsRequest]:
        """What gRPC sends. Ends when nothing is left to be sent for a closed publisher."""
        while True:
            async with self._changed:
                if stream != self._stream or (self._closing and not len(self._window)):
                    return
                pause = self._resume_at - time.monotonic()
                item = self._window.next_item() if pause <= 0 else None
                if item is None and pause <= 0:
                    await self._changed.wait()
            if item is not None:
                yield item
            elif pause > 0:
                await asyncio.sleep(pause)

    async def _acknowledge(self, response: v1.StreamEventsResponse) -> None:
        async with self._changed:
            outcome = self._window.acknowledge(response)
            if outcome is None:
                self._refusals += 1
                delay = WebhooksError.of_status(response.status).retry_delay
                self._resume_at = time.monotonic() + self._policy.wait(self._refusals, delay)
            else:
                self._refusals = 0
                self._last_success = time.monotonic()
                _finish(outcome[0].future, response.response, outcome[1])
            self._changed.notify_all()


def _finish(future: Any, response: v1.PublishEventResponse | None, error: WebhooksError | None) -> None:
    if future.done():
        return  # Its owner has cancelled it; the event is published all the same.
    if error:
        future.set_exception(error)
    else:
        future.set_result(response)
