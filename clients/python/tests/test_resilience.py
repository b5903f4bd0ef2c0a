"""What happens when a server is in trouble, replaces keys, or is left: with servers whose answers the test decides."""

from __future__ import annotations

import asyncio
import re
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import grpc
import pytest
from scripted import Scripted, key_of, silent
from server import PATIENCE

from keeptrusts.webhooks import AsyncClient, Client, RetryPolicy, WebhooksError, v1
from keeptrusts.webhooks._retries import Budget

FAST = RetryPolicy(initial_backoff=0.01, max_backoff=0.02)


class Unavailable:
    """Always answers UNAVAILABLE, and counts."""

    def __init__(self) -> None:
        self.count = 0
        self._lock = threading.Lock()

    def __call__(self, _: v1.PublishEventRequest, context: grpc.ServicerContext) -> v1.PublishEventResponse:
        with self._lock:
            self.count += 1
        context.abort(grpc.StatusCode.UNAVAILABLE, "restarting")


def in_threads(count: int, run: Callable[[], None]) -> None:
    threads = [threading.Thread(target=run) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


CALLS = 30
SMALL_BUDGET = RetryPolicy(initial_backoff=0.01, max_backoff=0.02, budget=5, budget_per_second=1.0)
# The calls themselves, the budget, and what comes back to it meanwhile.
MOST_ATTEMPTS = CALLS + 5 + 3


def test_all_calls_share_a_budget_of_retries() -> None:
    unavailable = Unavailable()
    with Scripted(unavailable) as server, Client(server.address, api_key="kt", retry_policy=SMALL_BUDGET) as client:

        def publish() -> None:
            with pytest.raises(WebhooksError):
                client.publish("default", "policy.violation", {}, timeout=1.0)

        in_threads(CALLS, publish)
    assert CALLS < unavailable.count <= MOST_ATTEMPTS


def test_all_calls_share_a_budget_of_retries_with_asyncio() -> None:
    unavailable = Unavailable()

    async def run(address: str) -> None:
        async with AsyncClient(address, api_key="kt", retry_policy=SMALL_BUDGET) as client:
            calls = [client.publish("default", "policy.violation", {}, timeout=1.0) for _ in range(CALLS)]
            for outcome in await asyncio.gather(*calls, return_exceptions=True):
                assert isinstance(outcome, WebhooksError)

    with Scripted(unavailable) as server:
        asyncio.run(run(server.address))
    assert CALLS < unavailable.count <= MOST_ATTEMPTS


def test_a_retry_beyond_the_budget_waits_and_takes_nothing_if_that_is_too_long() -> None:
    budget = Budget(RetryPolicy(budget=2, budget_per_second=4.0))
    waits = [budget.wait(now=100.0, longest=10.0) for _ in range(4)]
    assert waits == [0.0, 0.0, 0.25, 0.5]
    assert [budget.wait(now=100.0, longest=0.7) for _ in range(1_000)] == [None] * 1_000
    assert budget.wait(now=100.0, longest=0.8) == 0.75, "those that did not wait owe nothing"
    assert budget.wait(now=200.0, longest=1.0) == 0.0


def test_connecting_is_not_in_the_budget() -> None:
    policy = RetryPolicy(initial_backoff=0.01, max_backoff=0.02, budget=1, budget_per_second=0.001)
    with Client("http://127.0.0.1:1", api_key="kt", retry_policy=policy) as client:
        with pytest.raises(WebhooksError) as failure:
            client.publish("default", "policy.violation", {}, timeout=1.0)
    assert failure.value.attempts > 3


def test_an_error_says_how_often_and_how_long_the_call_was_tried() -> None:
    unavailable = Unavailable()
    # The budget ends the call: an attempt that the deadline ends may not have come to the server.
    policy = RetryPolicy(initial_backoff=0.01, max_backoff=0.02, budget=2, budget_per_second=0.001)
    with Scripted(unavailable) as server, Client(server.address, api_key="kt", retry_policy=policy) as client:
        with pytest.raises(WebhooksError) as failure:
            client.publish("default", "policy.violation", {})
        error = failure.value
        assert (error.code, error.message) == (grpc.StatusCode.UNAVAILABLE, "restarting")
        assert (error.attempts, unavailable.count) == (3, 3)
        text = r"gave up after 3 attempts in \d\.\d s; the last error: UNAVAILABLE: restarting"
        assert re.fullmatch(text, str(error))


def test_the_time_that_is_over_does_not_hide_why() -> None:
    released = threading.Event()
    attempts: list[None] = []

    def first_fails_then_hangs(_: v1.PublishEventRequest, context: grpc.ServicerContext) -> v1.PublishEventResponse:
        attempts.append(None)
        if len(attempts) == 1:
            context.abort(grpc.StatusCode.UNAVAILABLE, "restarting")
        released.wait(PATIENCE)
        return v1.PublishEventResponse()

    with Scripted(first_fails_then_hangs) as server:
        with Client(server.address, api_key="kt", retry_policy=FAST) as client:
            with pytest.raises(WebhooksError, match=r"gave up after 2 attempts in \d\.\d s; the last error: UNAVAIL"):
                client.publish("default", "policy.violation", {}, timeout=1.0)
            attempts.append(None)
            with pytest.raises(WebhooksError) as failure:
                client.publish("default", "policy.violation", {}, timeout=0.1)
            assert failure.value.code is grpc.StatusCode.DEADLINE_EXCEEDED and failure.value.attempts == 1
            released.set()


class OneKey:
    """Takes only one key, which can be replaced."""

    def __init__(self) -> None:
        self.key = "kt_old"
        self.refusals = 0

    def check(self, context: grpc.ServicerContext) -> None:
        if key_of(context) != self.key:
            self.refusals += 1
            context.abort(grpc.StatusCode.UNAUTHENTICATED, "another key")

    def call(self, _: v1.PublishEventRequest, context: grpc.ServicerContext) -> v1.PublishEventResponse:
        self.check(context)
        return v1.PublishEventResponse(event_id="evt_1")

    def watch(
        self, _: v1.WatchDeliveriesRequest, context: grpc.ServicerContext
    ) -> Iterator[v1.WatchDeliveriesResponse]:
        self.check(context)
        yield v1.WatchDeliveriesResponse(resume_token="1", delivery=v1.Delivery(id="dlv_1"))

    def stream(
        self, requests: Iterator[v1.StreamEventsRequest], context: grpc.ServicerContext
    ) -> Iterator[v1.StreamEventsResponse]:
        self.check(context)
        for request in requests:
            yield v1.StreamEventsResponse(
                sequence_number=request.sequence_number, response=v1.PublishEventResponse(event_id="evt_1")
            )

    def replace(self, file: Path, key: str) -> None:
        file.write_text(key + "\n")
        self.key = key


WATCH = v1.WatchDeliveriesRequest(organization_id="default")


def test_a_key_that_is_replaced_in_its_file_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file, keys = tmp_path / "key", OneKey()
    keys.replace(file, "kt_0")
    with Scripted(keys.call, keys.watch, keys.stream) as server:
        with Client(server.address, api_key_file=file) as client:
            uses: list[Callable[[], object]] = [
                lambda: client.publish("default", "policy.violation", {}),
                lambda: next(client.watch(client.dispatch.WatchDeliveries, WATCH)),
                lambda: client.publisher("default").publish("policy.violation", {}).result(PATIENCE),
            ]
            for number, use in enumerate(uses):
                refused_before = keys.refusals
                keys.replace(file, f"kt_{number + 1}")
                use()
                # A stream may be opened a second time before the file is read.
                assert keys.refusals > refused_before, "it is read again when it is refused"
            file.unlink()
            client.publish("default", "policy.violation", {})
            keys.key = "kt_other"
            for use in uses:
                with pytest.raises(WebhooksError) as failure:
                    use()
                assert failure.value.code is grpc.StatusCode.UNAUTHENTICATED
            assert keys.refusals == 6, "no other key is there"

            keys.replace(file, "kt_5")
            monkeypatch.setattr("keeptrusts.webhooks._credential._FRESH", 0.0)
            client.publish("default", "policy.violation", {})
            assert keys.refusals == 6, "it is read again after a while"


def test_a_key_that_is_replaced_in_its_file_is_taken_with_asyncio(tmp_path: Path) -> None:
    file, keys = tmp_path / "key", OneKey()
    keys.replace(file, "kt_0")

    async def run(address: str) -> None:
        async with AsyncClient(address, api_key_file=file) as client:

            async def publish_by_stream() -> object:
                async with client.publisher("default") as publisher:
                    return await (await publisher.publish("policy.violation", {}))

            uses: list[Callable[[], Awaitable[object]]] = [
                lambda: client.publish("default", "policy.violation", {}),
                lambda: client.watch(client.dispatch.WatchDeliveries, WATCH).__anext__(),
                publish_by_stream,
            ]
            for number, use in enumerate(uses):
                refused_before = keys.refusals
                keys.replace(file, f"kt_{number + 1}")
                await use()
                # A stream may be opened a second time before the file is read.
                assert keys.refusals > refused_before

    with Scripted(keys.call, keys.watch, keys.stream) as server:
        asyncio.run(asyncio.wait_for(run(server.address), PATIENCE))


class Left(Exception):
    """Leaves a block."""


def test_an_exception_that_leaves_a_publisher_is_not_kept_waiting() -> None:
    with Scripted(stream=silent) as server:
        for address in (server.address, "http://127.0.0.1:1"):
            with Client(address, api_key="kt") as client:
                began = time.monotonic()
                with pytest.raises(Left):
                    with client.publisher("default", max_pending=2) as publisher:
                        futures = [publisher.publish("policy.violation", {"n": n}, idempotency_key=f"{n}") for n in (1, 2)]
                        raise Left
                assert time.monotonic() - began < PATIENCE / 2
                for future in futures:
                    error = future.exception(0)
                    assert isinstance(error, WebhooksError) and error.code is grpc.StatusCode.CANCELLED
                assert [request.idempotency_key for request in publisher.unacknowledged()] == ["1", "2"]
                with pytest.raises(RuntimeError, match="closed"):
                    publisher.publish("policy.violation", {})
                publisher.close(PATIENCE)


def test_an_exception_that_leaves_a_publisher_is_not_kept_waiting_with_asyncio() -> None:
    async def run(address: str) -> None:
        async with AsyncClient(address, api_key="kt") as client:
            with pytest.raises(Left):
                async with client.publisher("default") as publisher:
                    future = await publisher.publish("policy.violation", {}, idempotency_key="1")
                    raise Left
            error = future.exception()
            assert isinstance(error, WebhooksError) and error.code is grpc.StatusCode.CANCELLED
            assert [request.idempotency_key for request in publisher.unacknowledged()] == ["1"]

    with Scripted(stream=silent) as server:
        for address in (server.address, "http://127.0.0.1:1"):
            asyncio.run(asyncio.wait_for(run(address), PATIENCE / 2))


class TokenFirst:
    """The first response of each watch has a token only, as today's servers send it. The first watch then breaks."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def __call__(
        self, request: v1.WatchDeliveriesRequest, context: grpc.ServicerContext
    ) -> Iterator[v1.WatchDeliveriesResponse]:
        self.asked.append(request.resume_token)
        yield v1.WatchDeliveriesResponse(resume_token="begin")
        if len(self.asked) == 1:
            context.abort(grpc.StatusCode.UNAVAILABLE, "restarting")
        yield v1.WatchDeliveriesResponse(resume_token="1", delivery=v1.Delivery(id="dlv_1"))


def test_a_watch_remembers_where_it_began_and_hands_out_changes_only() -> None:
    server_says = TokenFirst()
    with Scripted(watch=server_says) as server, Client(server.address, api_key="kt", retry_policy=FAST) as client:
        changes = client.watch(client.dispatch.WatchDeliveries, WATCH)
        assert [next(changes).delivery.id for _ in range(2)] == ["dlv_1", "dlv_1"]
        changes.close()
    assert server_says.asked == ["", "begin", "1"]


def test_a_watch_remembers_where_it_began_and_hands_out_changes_only_with_asyncio() -> None:
    server_says = TokenFirst()

    async def run(address: str) -> None:
        async with AsyncClient(address, api_key="kt", retry_policy=FAST) as client:
            changes = client.watch(client.dispatch.WatchDeliveries, WATCH)
            assert [(await changes.__anext__()).delivery.id for _ in range(2)] == ["dlv_1", "dlv_1"]

    with Scripted(watch=server_says) as server:
        asyncio.run(asyncio.wait_for(run(server.address), PATIENCE))
    assert server_says.asked == ["", "begin", "1"]
