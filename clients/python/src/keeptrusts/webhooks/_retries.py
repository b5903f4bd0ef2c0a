"""Which calls are sent again, when and how often. clients/README.md has the rules."""

from __future__ import annotations

import math
import random
import threading
import time
import uuid
from dataclasses import dataclass
from typing import Any

import grpc
from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.message import Message

from ._errors import WebhooksError
from .v1 import (
    access_service_pb2,
    audit_service_pb2,
    dispatch_service_pb2,
    endpoint_service_pb2,
    ingest_service_pb2,
    notification_service_pb2,
)

_FILES = (
    access_service_pb2,
    audit_service_pb2,
    dispatch_service_pb2,
    endpoint_service_pb2,
    ingest_service_pb2,
    notification_service_pb2,
)
_SERVICES = [service for file in _FILES for service in file.DESCRIPTOR.services_by_name.values()]


@dataclass(frozen=True)
class RetryPolicy:
    """The waits between the attempts of a call. Times are in seconds.

    The first wait is `initial_backoff`; each further one is twice as long, up to `max_backoff`. A random
    part of up to a half is taken off. A wait that the server asks for (RetryInfo) is kept at least. A call
    is not repeated if its deadline would pass during the wait.

    All calls of a client share a budget of retries, so that a server in trouble does not get its load several
    times: `budget` retries at once, and `budget_per_second` more each second. A retry beyond it waits. Calls that
    could not even connect do not count, because they cost the server nothing.
    """

    initial_backoff: float = 0.1
    max_backoff: float = 5.0
    budget: int = 100
    budget_per_second: float = 10.0

    def wait(self, attempt: int, asked: float | None) -> float:
        """The wait after the attempt of this number, counted from 1."""
        backoff = min(self.max_backoff, self.initial_backoff * 2.0 ** min(attempt - 1, 30))
        jittered = backoff * random.uniform(0.5, 1.0)
        return jittered if asked is None else max(asked * random.uniform(1.0, 1.2), jittered)


@dataclass(frozen=True)
class Method:
    """What the contract says of repeating a method."""

    is_idempotent: bool
    """It has an idempotency level."""
    key_field: str
    """The field of its request that makes it safe to repeat, `request_id` or `idempotency_key`; or empty."""
    has_keys_in_items: bool
    """Its request is a batch of such requests."""

    @property
    def is_repeatable(self) -> bool:
        return self.is_idempotent or bool(self.key_field) or self.has_keys_in_items

    def with_keys(self, request: Any) -> Any:
        """The request with random keys where it has none. The caller's request is not changed."""
        if self.key_field and not getattr(request, self.key_field):
            request = _copy(request)
            setattr(request, self.key_field, str(uuid.uuid4()))
        elif self.has_keys_in_items and not all(item.idempotency_key for item in request.requests):
            request = _copy(request)
            for item in request.requests:
                item.idempotency_key = item.idempotency_key or str(uuid.uuid4())
        return request


def _copy(request: Message) -> Message:
    copy = type(request)()
    copy.CopyFrom(request)
    return copy


def _method(descriptor: MethodDescriptor) -> Method:
    fields = descriptor.input_type.fields_by_name
    items = fields.get("requests")
    return Method(
        is_idempotent=descriptor.GetOptions().idempotency_level != 0,
        key_field=next((name for name in ("request_id", "idempotency_key") if name in fields), ""),
        has_keys_in_items=bool(items and items.message_type and "idempotency_key" in items.message_type.fields_by_name),
    )


METHODS: dict[str, Method] = {
    f"/{service.full_name}/{descriptor.name}": _method(descriptor)
    for service in _SERVICES
    for descriptor in service.methods
}
_OTHER = Method(is_idempotent=False, key_field="", has_keys_in_items=False)


def method(path: str | bytes) -> Method:
    """By its path, for example `/keeptrusts.webhooks.v1.IngestService/PublishEvent`."""
    return METHODS.get(path.decode() if isinstance(path, bytes) else path, _OTHER)


class Budget:
    """A token bucket: a retry takes a token, or waits for one. Safe to share between threads."""

    def __init__(self, policy: RetryPolicy) -> None:
        self._capacity = float(max(1, policy.budget))
        self._per_second = max(0.001, policy.budget_per_second)
        self._lock = threading.Lock()
        self._tokens = self._capacity  # Below 0: that many retries wait.
        self._at = -math.inf

    def wait(self, now: float, longest: float) -> float | None:
        """Takes a token; says how long to wait for it. None: longer than this, and none is taken."""
        with self._lock:
            self._tokens = min(self._capacity, self._tokens + (now - self._at) * self._per_second)
            self._at = now
            wait = max(0.0, (1.0 - self._tokens) / self._per_second)
            if wait >= longest:
                return None
            self._tokens -= 1.0
            return wait


class KeyRefusals:
    """Whether another key is to be looked for: once, until the server has accepted one again.

    The server refuses a key before it does anything, so that every call may be repeated with another one.
    """

    def __init__(self) -> None:
        self._may_look = True

    def accepted(self) -> None:
        self._may_look = True

    def ask_for_another(self, error: WebhooksError | None) -> bool:
        if not self._may_look or not error or error.code is not grpc.StatusCode.UNAUTHENTICATED:
            return False
        self._may_look = False
        return True


class Attempts:
    """The attempts of one call, until its deadline."""

    def __init__(self, policy: RetryPolicy, budget: Budget, rules: Method, timeout: float) -> None:
        self._policy = policy
        self._budget = budget
        self._rules = rules
        self._start = time.monotonic()
        self._deadline = self._start + timeout
        self._count = 0
        self._last_error: WebhooksError | None = None
        self.key_refusals = KeyRefusals()

    def begin(self) -> float:
        """Counts an attempt, and says how long it may take."""
        self._count += 1
        return max(0.001, self._deadline - time.monotonic())

    def wait_after(self, error: WebhooksError) -> float:
        """How long to wait before the call is sent again. Raises the error if it is not."""
        now = time.monotonic()
        if error.code is grpc.StatusCode.DEADLINE_EXCEEDED and self._last_error:
            # Why the time was not enough says more than that it was not.
            raise self._last_error._after(self._count, now - self._start) from error
        self._last_error = error
        wait: float | None = None
        if self._rules.is_repeatable and error.is_temporary:
            wait = self._policy.wait(self._count, error.retry_delay)
            remaining = self._deadline - now
            if wait >= remaining:
                wait = None
            elif not error._is_not_connected:
                for_token = self._budget.wait(now, remaining)
                wait = None if for_token is None else max(wait, for_token)
        if wait is None:
            raise error._after(self._count, now - self._start)
        return wait
