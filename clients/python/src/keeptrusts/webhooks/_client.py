"""The client for programs with threads."""

from __future__ import annotations

import datetime
import os
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from typing import Any, NamedTuple, TypeVar

import grpc

from . import _requests, v1
from ._connection import DEFAULT_TIMEOUT, Connection
from ._credential import Credential, metadata_of
from ._errors import WebhooksError
from ._publisher import Publisher
from ._requests import Item
from ._retries import Attempts, Budget, RetryPolicy, method
from ._watch import Watch
from ._window import Window

Request = TypeVar("Request")
Response = TypeVar("Response")


class Client:
    """A connection to a server, safe to share between threads; it connects with the first call.

    `address` is `https://HOST[:PORT]`, or `http://…` on this machine (KEEPTRUSTS_WEBHOOKS_ADDRESS).
    The key is `api_key`, or is in `api_key_file` (KEEPTRUSTS_WEBHOOKS_API_KEY or …_API_KEY_FILE), which is read
    again every 5 seconds while calls are made, and when the server refuses the key, so that it can be replaced.
    `ca_file` has the authorities to trust instead of gRPC's own, `certificate_file` and `private_key_file`
    are shown to a server that demands them (PEM). `timeout` is the default deadline of a call in seconds,
    all attempts included. ValueError: the configuration is not usable.

    `endpoints`, `ingest`, `dispatch`, `notifications`, `access` and `audit` have the methods of the API, as
    generated. Their calls raise WebhooksError (streams: grpc.RpcError), have a deadline, are safe to repeat
    where the API allows that, and are repeated when the server is not there. Their `future` blocks; use
    AsyncClient for many calls at once.
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
        interceptor = _Calls(connection, self._credential)
        target, credentials = connection.target()
        options = connection.options()
        self._channel = (
            grpc.secure_channel(target, credentials, options)
            if credentials
            else grpc.insecure_channel(target, options)
        )
        channel = grpc.intercept_channel(self._channel, interceptor)
        self.endpoints = v1.EndpointServiceStub(channel)
        self.ingest = v1.IngestServiceStub(channel)
        self.dispatch = v1.DispatchServiceStub(channel)
        self.notifications = v1.NotificationServiceStub(channel)
        self.access = v1.AccessServiceStub(channel)
        self.audit = v1.AuditServiceStub(channel)

    def publish(
        self,
        organization_id: str,
        event_type: str,
        data: Mapping[str, Any] | str,
        *,
        event_time: datetime.datetime | None = None,
        idempotency_key: str | None = None,
        timeout: float | None = None,
    ) -> v1.PublishEventResponse:
        """Publishes an event; when this returns, the event is durable, and it counts once.

        `data` is a JSON object, or its text, which receivers get byte for byte. Without an
        `idempotency_key` there is a random one: give your own if the event may be published again by
        another call, for example after a crash of your program.
        """
        request = _requests.publish_request(organization_id, event_type, data, event_time, idempotency_key)
        return self.ingest.PublishEvent(request, timeout=timeout)

    def publisher(self, organization_id: str, *, max_pending: int = 1_000, retry_for: float = 300.0) -> Publisher:
        """A publisher for many events at once: they go over one stream and are committed in batches."""
        window = Window(self._policy, max_pending, retry_for)
        return Publisher(self.ingest.StreamEvents, organization_id, self._credential, window)

    def iterate(self, kind: type[Item], call: Callable[[Any], Any], request: Any) -> Iterator[Item]:
        """The items of all pages of a list, for example of `endpoints.ListEndpoints`.

        `request` is that of the first page; its `page_size` is the size of all pages.
        """
        request = _requests.copy_of(request)
        while True:
            page = call(request)
            yield from _requests.items(page, kind)
            if not page.next_page_token:
                return
            request.page_token = page.next_page_token

    def watch(
        self, call: Callable[[Request], Iterable[Response]], request: Request
    ) -> Generator[Response, None, None]:
        """The changes of a watch, for example `dispatch.WatchDeliveries`, over as many connections as it takes.

        It goes on where it was with the last `resume_token`, so that no change is lost from its beginning on. It ends
        with the replay (`WatchReplay`), or when the iterator is closed. Raises WebhooksError if the server refuses
        it, or cannot be trusted.
        """
        watch = Watch(request, self._policy)
        while True:
            key = self._credential.current()
            stream: Any = call(watch.request)
            error = None
            try:
                for response in stream:
                    if watch.has_content(response):
                        yield response
                if not watch.resumes:
                    return
            except grpc.RpcError as cause:
                error = WebhooksError.of_call(cause)
            finally:
                stream.cancel()
            if watch.key_refusals.ask_for_another(error) and self._credential.read_again() != key:
                continue
            time.sleep(watch.wait_after(error))

    def close(self) -> None:
        """Ends all calls."""
        self._channel.close()

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class _Details(NamedTuple):
    """gRPC has no public type for what it hands to interceptors."""

    method: str
    timeout: float | None
    metadata: Any
    credentials: Any
    wait_for_ready: Any
    compression: Any


class _Calls(grpc.UnaryUnaryClientInterceptor, grpc.UnaryStreamClientInterceptor, grpc.StreamStreamClientInterceptor):
    """Adds the key, keys of idempotency and deadlines, repeats calls, and raises our errors."""

    def __init__(self, connection: Connection, credential: Credential) -> None:
        self._credential = credential
        self._timeout = connection.timeout
        self._policy = connection.retry_policy
        self._budget = Budget(connection.retry_policy)

    def _details(self, details: Any, timeout: float | None, key: str) -> _Details:
        metadata = (metadata_of(key), *(details.metadata or ()))
        return _Details(
            details.method, timeout, metadata, details.credentials, details.wait_for_ready, details.compression
        )

    def intercept_unary_unary(self, continuation: Any, details: Any, request: Any) -> Any:
        rules = method(details.method)
        request = rules.with_keys(request)
        attempts = Attempts(self._policy, self._budget, rules, details.timeout or self._timeout)
        while True:
            key = self._credential.current()
            call = continuation(self._details(details, attempts.begin(), key), request)
            cause = call.exception()
            if cause is None:
                return call
            error = WebhooksError.of_call(cause)
            if attempts.key_refusals.ask_for_another(error) and self._credential.read_again() != key:
                continue
            time.sleep(attempts.wait_after(error))

    def intercept_unary_stream(self, continuation: Any, details: Any, request: Any) -> Any:
        return continuation(self._details(details, details.timeout, self._credential.current()), request)

    def intercept_stream_stream(self, continuation: Any, details: Any, requests: Any) -> Any:
        return continuation(self._details(details, details.timeout, self._credential.current()), requests)
