"""Calls of a real server: keys, errors, pages, watches, retries."""

from __future__ import annotations

import asyncio
import functools
import threading
import time
from pathlib import Path
from typing import Any

import grpc
import pytest
from server import Receiver, Server, eventually, make_client_certificate

from keeptrusts.webhooks import AsyncClient, Client, RetryPolicy, WebhooksError, v1, verify, verify_body
from keeptrusts.webhooks._retries import METHODS, Method


def create_endpoint(client: Client, receiver: Receiver, organization: str) -> v1.CreateEndpointResponse:
    endpoint = v1.Endpoint(display_name="tests", url=receiver.url, event_types=["policy.violation"])
    request = v1.CreateEndpointRequest(organization_id=organization, endpoint=endpoint)
    return client.endpoints.CreateEndpoint(request)


def test_an_event_is_delivered_and_its_signatures_are_valid(client: Client, receiver: Receiver) -> None:
    secret = create_endpoint(client, receiver, "delivered").secret
    before = len(receiver.requests)
    event = client.publish("delivered", "policy.violation", {"policy": "Grüße"})
    eventually("the delivery has come", lambda: len(receiver.requests) > before)
    headers, body = receiver.requests[-1]
    assert verify(headers, body, secret) == event.event_id
    verify_body(headers, body, secret)
    assert "Grüße".encode() in body


def test_the_same_key_publishes_once(client: Client) -> None:
    first = client.publish("once", "policy.violation", {"a": 1}, idempotency_key="key")
    again = client.publish("once", "policy.violation", {"a": 1}, idempotency_key="key")
    assert (again.event_id, first.duplicate, again.duplicate) == (first.event_id, False, True)
    with pytest.raises(WebhooksError) as failure:
        client.publish("once", "policy.violation", {"a": 2}, idempotency_key="key")
    assert (failure.value.code, failure.value.reason) == (grpc.StatusCode.ALREADY_EXISTS, "IDEMPOTENCY_KEY_REUSED")


def test_errors_say_which_fields_are_wrong_and_which_request_it_was(client: Client) -> None:
    with pytest.raises(WebhooksError) as failure:
        client.publish("errors", "no.such.type", {})
    error = failure.value
    assert (error.code, error.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_FIELD")
    assert [(violation.field, violation.reason) for violation in error.field_violations] == [("event_type", "UNKNOWN_VALUE")]
    assert error.request_id and error.request_id in str(error)
    assert error.retry_delay is None


def test_pages_are_read_one_after_the_other(client: Client) -> None:
    published = [client.publish("pages", "policy.violation", {"n": n}).event_id for n in range(7)]
    request = v1.ListEventsRequest(organization_id="pages", page_size=2)
    events = client.iterate(v1.Event, client.ingest.ListEvents, request)
    assert [event.id for event in events] == published[::-1]
    assert request.page_token == ""
    with pytest.raises(TypeError):
        next(client.iterate(v1.Endpoint, client.ingest.ListEvents, request))


def test_a_watch_goes_on_where_it_was_when_the_server_crashes(crashing_server: Server) -> None:
    receiver = Receiver(crashing_server.folder)
    with Client(crashing_server.address, api_key=crashing_server.key) as client:
        create_endpoint(client, receiver, "watch")
        changes = client.watch(client.dispatch.WatchDeliveries, v1.WatchDeliveriesRequest(organization_id="watch"))

        # What was published before the watch began is not seen, so it goes on until there is a change.
        began = threading.Event()

        def publish() -> None:
            while not began.is_set():
                client.publish("watch", "policy.violation", {})
                time.sleep(0.1)

        publishing = threading.Thread(target=publish)
        publishing.start()
        next(changes)
        began.set()
        publishing.join()

        crashing_server.kill()
        crashing_server.start()
        event = client.publish("watch", "policy.violation", {}).event_id
        eventually(
            "it is delivered, while nobody watches",
            lambda: any(headers["webhook-id"] == event for headers, _ in receiver.requests),
        )
        assert any(change.delivery.event_id == event for change in changes)
        changes.close()
    receiver.stop()


def is_longer(values: list[str], count: int) -> bool:
    return len(values) > count


def test_publishing_survives_a_crash(crashing_server: Server) -> None:
    with Client(crashing_server.address, api_key=crashing_server.key) as client:
        published: list[str] = []

        def publish() -> None:
            for n in range(150):
                published.append(client.publish("crash", "policy.violation", {"n": n}).event_id)

        thread = threading.Thread(target=publish)
        thread.start()
        for count in (20, 60, 100):
            eventually("some are published", functools.partial(is_longer, published, count))
            crashing_server.kill()
            crashing_server.start()
        thread.join()
        request = v1.ListEventsRequest(organization_id="crash", page_size=1_000)
        stored = [event.id for event in client.iterate(v1.Event, client.ingest.ListEvents, request)]
        assert len(stored) == 150, "none is lost, and none counted twice"
        assert sorted(stored) == sorted(published)


def test_what_may_be_repeated_is_read_from_the_contracts_and_gets_a_key() -> None:
    def rules(path: str) -> Method:
        return METHODS["/keeptrusts.webhooks.v1." + path]

    repeatable = {
        "IngestService/PublishEvent": True,  # idempotency_key
        "IngestService/BatchPublishEvents": True,  # idempotency_key of each
        "IngestService/GetEvent": True,  # NO_SIDE_EFFECTS
        "EndpointService/DeleteEndpoint": True,  # IDEMPOTENT
        "EndpointService/CreateEndpoint": True,  # request_id
        "EndpointService/RevealSecret": False,
        "IngestService/StreamEvents": False,
    }
    assert {path: rules(path).is_repeatable for path in repeatable} == repeatable

    create = v1.CreateEndpointRequest()
    filled = rules("EndpointService/CreateEndpoint").with_keys(create)
    assert filled.request_id and not create.request_id
    assert rules("EndpointService/CreateEndpoint").with_keys(filled) is filled, "a key that is there stays"
    mine = v1.PublishEventRequest(idempotency_key="mine")
    batch = v1.BatchPublishEventsRequest(requests=[mine, v1.PublishEventRequest()])
    keys = [item.idempotency_key for item in rules("IngestService/BatchPublishEvents").with_keys(batch).requests]
    assert keys[0] == "mine" and keys[1] and not batch.requests[1].idempotency_key


def test_the_callers_request_is_not_changed(client: Client, receiver: Receiver) -> None:
    request = v1.CreateEndpointRequest(organization_id="made-once")
    request.endpoint.CopyFrom(v1.Endpoint(display_name="a", url=receiver.url, event_types=["policy.violation"]))
    client.endpoints.CreateEndpoint(request)
    assert request.request_id == ""


def test_a_call_has_a_deadline_and_its_retries_end_with_it(server: Server) -> None:
    with Client("http://127.0.0.1:1", api_key=server.key) as client:
        began = time.monotonic()
        with pytest.raises(WebhooksError) as failure:
            client.publish("default", "policy.violation", {}, timeout=1.0)
        assert failure.value.code is grpc.StatusCode.UNAVAILABLE
        assert 0.3 < time.monotonic() - began < 3.0, "it was tried again, but not after the deadline"


def test_what_may_not_be_repeated_is_called_once(server: Server) -> None:
    with Client("http://127.0.0.1:1", api_key=server.key) as client:
        began = time.monotonic()
        with pytest.raises(WebhooksError):
            client.endpoints.RevealSecret(v1.RevealSecretRequest(organization_id="default"))
        assert time.monotonic() - began < 3.0


def test_waits_grow_have_jitter_and_keep_to_what_the_server_asks() -> None:
    policy = RetryPolicy(initial_backoff=1.0, max_backoff=4.0)
    for attempt, longest in [(1, 1.0), (2, 2.0), (3, 4.0), (9, 4.0), (9_999, 4.0)]:
        waits = {policy.wait(attempt, None) for _ in range(50)}
        assert len(waits) > 1 and all(longest / 2 <= wait <= longest for wait in waits)
    assert all(10.0 <= policy.wait(1, 10.0) <= 12.0 for _ in range(50))


def test_the_configuration_is_checked_and_the_key_is_not_shown(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for address in ["http://webhooks.example.com", "webhooks.example.com", "ftp://localhost", "https://"]:
        with pytest.raises(ValueError) as failure:
            Client(address, api_key=server.key)
        assert server.key not in str(failure.value)
    with pytest.raises(ValueError, match="KEEPTRUSTS_WEBHOOKS_API_KEY"):
        Client(server.address)
    with pytest.raises(ValueError, match="KEEPTRUSTS_WEBHOOKS_ADDRESS"):
        Client(api_key=server.key)
    (tmp_path / "key").write_text(server.key + "\n")
    monkeypatch.setenv("KEEPTRUSTS_WEBHOOKS_ADDRESS", server.address)
    monkeypatch.setenv("KEEPTRUSTS_WEBHOOKS_API_KEY_FILE", str(tmp_path / "key"))
    with Client() as client:
        assert client.access.WhoAmI(v1.WhoAmIRequest()).role == v1.ROLE_ADMIN
        assert server.key not in repr(client) + str(vars(client))
    with Client(api_key="kt_wrong") as client, pytest.raises(WebhooksError) as refused:
        client.access.WhoAmI(v1.WhoAmIRequest())
    assert refused.value.code is grpc.StatusCode.UNAUTHENTICATED and "kt_wrong" not in str(refused.value)


def test_tls_with_an_authority_of_its_own_and_a_client_certificate(tmp_path: Path) -> None:
    server = Server(tmp_path, "--tls-cert", "server.pem", "--tls-key", "key.pem", "--tls-client-ca", "client-ca.pem")
    make_client_certificate(tmp_path)
    server.start()
    address = server.address.replace("http:", "https:")
    trusted: dict[str, Any] = {"ca_file": tmp_path / "server.pem"}
    shown: dict[str, Any] = {
        "certificate_file": tmp_path / "client.pem",
        "private_key_file": tmp_path / "client-key.pem",
    }
    try:
        with Client(address, api_key=server.key, **trusted, **shown) as client:
            assert client.access.WhoAmI(v1.WhoAmIRequest()).role == v1.ROLE_ADMIN
    finally:
        server.stop()


def test_asyncio_has_the_same(server: Server, receiver: Receiver) -> None:
    async def run() -> None:
        async with AsyncClient(server.address, api_key=server.key) as client:
            published = [(await client.publish("aio", "policy.violation", {"n": n})).event_id for n in range(5)]
            request = v1.ListEventsRequest(organization_id="aio", page_size=2)
            events = [event.id async for event in client.iterate(v1.Event, client.ingest.ListEvents, request)]
            assert events == published[::-1]
            with pytest.raises(WebhooksError) as failure:
                await client.publish("aio", "no.such.type", {})
            assert failure.value.field_violations[0].field == "event_type"

            endpoint = v1.Endpoint(display_name="aio", url=receiver.url, event_types=["policy.violation"])
            await client.endpoints.CreateEndpoint(v1.CreateEndpointRequest(organization_id="aio", endpoint=endpoint))

            async def publish_until_cancelled() -> None:
                while True:
                    await client.publish("aio", "policy.violation", {})
                    await asyncio.sleep(0.1)

            publishing = asyncio.create_task(publish_until_cancelled())
            watch = client.watch(client.dispatch.WatchDeliveries, v1.WatchDeliveriesRequest(organization_id="aio"))
            async for change in watch:
                assert change.delivery.organization_id == "aio" and change.resume_token
                break
            publishing.cancel()
        async with AsyncClient("http://127.0.0.1:1", api_key=server.key) as client:
            with pytest.raises(WebhooksError) as failure:
                await client.publish("aio", "policy.violation", {}, timeout=1.0)
            assert failure.value.code is grpc.StatusCode.UNAVAILABLE

    asyncio.run(run())
