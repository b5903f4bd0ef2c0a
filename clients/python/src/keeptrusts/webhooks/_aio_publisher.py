"""The publisher for many events, for programs with asyncio."""

from __future__ import annotations

import asyncio
import datetime
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any

import grpc

from . import _requests, v1
from ._aio_credential import current_key, key_read_again
from ._credential import Credential
from ._errors import WebhooksError
from ._window import Pending, Window, aborted

# What gRPC for asyncio says, instead of UNAVAILABLE, if the connection ends while something is written.
_BROKEN_WRITE = "Internal error from Core"


class AsyncPublisher:
    """`Publisher` for asyncio: `await publisher.publish(…)` waits for room and returns a future."""

    def __init__(
        self, call: Callable[[AsyncIterator[v1.StreamEventsRequest]], Any], organization_id: str,
        credential: Credential, window: Window,
    ) -> None:  # fmt: skip
        self._call = call
        self._organization_id = organization_id
        self._credential = credential
        self._window = window
        self._changed = asyncio.Condition()
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
            await self._changed.wait_for(lambda: self._window.may_publish(size))
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
            self._window.is_closed = True
            self._changed.notify_all()
        if self._task:
            await self._task

    async def abort(self) -> None:
        """As `Publisher.abort`."""
        given_up = self._window.abort()
        if self._task:
            self._task.cancel()
        for pending in given_up:
            pending.finish(None, aborted())
            if not pending.future.cancelled():
                pending.future.exception()  # asyncio need not log that nobody waits for it.
        async with self._changed:
            self._changed.notify_all()

    def unacknowledged(self) -> list[v1.PublishEventRequest]:
        """As `Publisher.unacknowledged`."""
        return self._window.unacknowledged()

    async def __aenter__(self) -> AsyncPublisher:
        return self

    async def __aexit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            await self.close()
        else:
            await self.abort()

    async def _run(self) -> None:
        while True:
            async with self._changed:
                await self._changed.wait_for(lambda: self._window.is_closed or len(self._window))
                if self._window.is_over:
                    return
                items = self._items(self._window.begin_stream())
            key = await current_key(self._credential)
            error = await self._send(items)
            asks = self._window.key_refusals.ask_for_another(error)
            has_another_key = asks and await key_read_again(self._credential) != key
            async with self._changed:
                given_up, wait = self._window.end_stream(error, has_another_key)
                for pending in given_up:
                    pending.finish(None, error)
                self._changed.notify_all()
            if not self._window.is_over:
                await asyncio.sleep(wait)

    async def _send(self, items: AsyncIterator[v1.StreamEventsRequest]) -> WebhooksError | None:
        """One stream: why it ended."""
        call = self._call(items)
        try:
            async for response in call:
                await self._acknowledge(response)
            return None
        except grpc.RpcError as cause:
            error = WebhooksError.of_call(cause)
            if error.code is grpc.StatusCode.INTERNAL and error.message.startswith(_BROKEN_WRITE):
                error = WebhooksError(grpc.StatusCode.UNAVAILABLE, "the connection ended")
            return error
        finally:
            call.cancel()

    async def _items(self, stream: int) -> AsyncIterator[v1.StreamEventsRequest]:
        """What gRPC sends. Ends when nothing is left to be sent for a closed publisher."""
        while True:
            async with self._changed:
                if not self._window.is_sending(stream):
                    return
                item = self._window.next_item()
                pause = self._window.pause()
                if item is None and not pause:
                    await self._changed.wait()
            if item is not None:
                yield item
            elif pause:
                await asyncio.sleep(pause)

    async def _acknowledge(self, response: v1.StreamEventsResponse) -> None:
        async with self._changed:
            outcome = self._window.acknowledge(response)
            if outcome is not None:
                outcome[0].finish(response.response, outcome[1])
            self._changed.notify_all()
