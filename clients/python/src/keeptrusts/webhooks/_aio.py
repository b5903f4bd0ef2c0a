"""The client for programs with asyncio."""

from __future__ import annotations

import asyncio
import datetime
import os
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Generator, Mapping
from typing import Any, TypeVar

import grpc
import grpc.aio

from . import _requests, v1
from ._aio_credential import current_key, key_read_again
from ._aio_publisher import AsyncPublisher
from ._connection import DEFAULT_TIMEOUT, Connection
from ._credential import Credential, metadata_of
from ._errors import WebhooksError
from ._requests import Item
from ._retries import Attempts, Budget, RetryPolicy, method
from ._watch import Watch
from ._window import Window

Request = TypeVar("Request")
Response = TypeVar("Response")


class AsyncClient:
    """`Client` for asyncio: the same arguments, the same methods, to be awaited.

    Make it in the event loop that uses it.
    """

    def __init__(
        self,
        address: str | None = None,
        *,
        api_key: str | None = None,
        api_key_file: str | os.PathLike[str] | None = None,
        ca_file: str | os.PathLike[str] | None = None,
        certificate_file: str | os.PathLike[str] | None = None,
        private_key_file: str | os.PathLike[str] | None = None,
        timeout: float = DEFAULT_TIMEOUT,
        retry_policy: RetryPolicy | None = None,
    ) -> None:
        connection = Connection(
            address, api_key, api_key_file, ca_file, certificate_file, private_key_file, timeout,
            retry_policy or RetryPolicy(),
        )  # fmt: skip
        self._policy = connection.retry_policy
        self._credential = connection.credential()
        interceptors: list[grpc.aio.ClientInterceptor] = [
            _UnaryCalls(connection, self._credential),
            _Watches(connection, self._credential),
            _Streams(connection, self._credential),
        ]
        target, credentials = connection.target()
        options = connection.options()
        self._channel = (
            grpc.aio.secure_channel(target, credentials, options, interceptors=interceptors)
            if credentials
            else grpc.aio.insecure_channel(target, options, interceptors=interceptors)
        )
        self.endpoints = v1.EndpointServiceStub(self._channel)
        self.ingest = v1.IngestServiceStub(self._channel)
        self.dispatch = v1.DispatchServiceStub(self._channel)
        self.notifications = v1.NotificationServiceStub(self._channel)
        self.access = v1.AccessServiceStub(self._channel)
        self.audit = v1.AuditServiceStub(self._channel)

    async def publish(
        self,
        organization_id: str,
        event_type: str,
        data: Mapping[str, Any] | str,
        *,
        event_time: datetime.datetime | None = None,
        idempotency_key: str | None = None,
        timeout: float | None = None,
    ) -> v1.PublishEventResponse:
        """As `Client.publish`."""
        request = _requests.publish_request(organization_id, event_type, data, event_time, idempotency_key)
        return await self.ingest.PublishEvent(request, timeout=timeout)

    def publisher(self, organization_id: str, *, max_pending: int = 1_000, retry_for: float = 300.0) -> AsyncPublisher:
        """As `Client.publisher`."""
        window = Window(self._policy, max_pending, retry_for)
        return AsyncPublisher(self.ingest.StreamEvents, organization_id, self._credential, window)

    async def iterate(
        self, kind: type[Item], call: Callable[[Any], Awaitable[Any]], request: Any
    ) -> AsyncIterator[Item]:
        """As `Client.iterate`."""
        request = _requests.copy_of(request)
        while True:
            page = await call(request)
            for item in _requests.items(page, kind):
                yield item
            if not page.next_page_token:
                return
            request.page_token = page.next_page_token

    async def watch(
        self, call: Callable[[Request], AsyncIterable[Response]], request: Request
    ) -> AsyncIterator[Response]:
        """As `Client.watch`."""
        watch = Watch(request, self._policy)
        while True:
            key = await current_key(self._credential)
            stream: Any = call(watch.request)
            error = None
            try:
                async for response in stream:
                    if watch.has_content(response):
                        yield response
                if not watch.resumes:
                    return
            except grpc.RpcError as cause:
                error = WebhooksError.of_call(cause)
            finally:
                stream.cancel()
            if watch.key_refusals.ask_for_another(error) and await key_read_again(self._credential) != key:
                continue
            await asyncio.sleep(watch.wait_after(error))

    async def close(self) -> None:
        """Ends all calls."""
        await self._channel.close()

    async def __aenter__(self) -> AsyncClient:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()


class _Metadata:
    """What the interceptors have in common. gRPC for asyncio wants one for each kind of call."""

    def __init__(self, connection: Connection, credential: Credential) -> None:
        self._credential = credential
        self._timeout = connection.timeout
        self._policy = connection.retry_policy
        self._budget = Budget(connection.retry_policy)

    async def _stream_details(self, details: Any) -> Any:
        return self._details(details, details.timeout, await current_key(self._credential))

    @staticmethod
    def _details(details: Any, timeout: float | None, key: str) -> Any:
        metadata = grpc.aio.Metadata(metadata_of(key), *(details.metadata or ()))
        return details._replace(timeout=timeout, metadata=metadata)


class _UnaryCalls(_Metadata, grpc.aio.UnaryUnaryClientInterceptor):
    async def intercept_unary_unary(self, continuation: Any, client_call_details: Any, request: Any) -> Any:
        rules = method(client_call_details.method)
        request = rules.with_keys(request)
        attempts = Attempts(self._policy, self._budget, rules, client_call_details.timeout or self._timeout)
        while True:
            key = await current_key(self._credential)
            call = await continuation(self._details(client_call_details, attempts.begin(), key), request)
            try:
                await call
                return call
            except grpc.RpcError as cause:
                error = WebhooksError.of_call(cause)
            if attempts.key_refusals.ask_for_another(error) and await key_read_again(self._credential) != key:
                continue
            try:
                wait = attempts.wait_after(error)
            except WebhooksError as final:
                return _FailedCall(call, final)
            await asyncio.sleep(wait)


class _FailedCall(grpc.aio.UnaryUnaryCall):  # type: ignore[type-arg]
    """The last attempt of a call, with our error. An interceptor of gRPC should not raise others than gRPC's."""

    def __init__(self, call: Any, error: WebhooksError) -> None:
        self._call = call
        self._error = error

    def __await__(self) -> Generator[Any, None, Any]:
        raise self._error
        yield

    async def initial_metadata(self) -> Any:
        return await self._call.initial_metadata()

    async def trailing_metadata(self) -> Any:
        return await self._call.trailing_metadata()

    async def code(self) -> grpc.StatusCode:
        return self._error.code

    async def details(self) -> str:
        return self._error.message

    async def wait_for_connection(self) -> None:
        raise self._error

    def cancelled(self) -> bool:
        return bool(self._call.cancelled())

    def done(self) -> bool:
        return True

    def time_remaining(self) -> Any:
        return self._call.time_remaining()

    def cancel(self) -> bool:
        return False

    def add_done_callback(self, callback: Any) -> None:
        callback(self)


class _Watches(_Metadata, grpc.aio.UnaryStreamClientInterceptor):
    async def intercept_unary_stream(self, continuation: Any, client_call_details: Any, request: Any) -> Any:
        return await continuation(await self._stream_details(client_call_details), request)


class _Streams(_Metadata, grpc.aio.StreamStreamClientInterceptor):
    async def intercept_stream_stream(self, continuation: Any, client_call_details: Any, request_iterator: Any) -> Any:
        return await continuation(await self._stream_details(client_call_details), request_iterator)
