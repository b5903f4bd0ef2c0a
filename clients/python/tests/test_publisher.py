"""The publisher for many events, over StreamEvents of a real server."""

from __future__ import annotations

import asyncio

import grpc
import pytest
from server import Server

from keeptrusts.webhooks import AsyncClient, Client, WebhooksError, v1

COUNT = 2_000


def stored(client: Client, organization: str) -> list[str]:
    request = v1.ListEventsRequest(organization_id=organization, page_size=1_000)
    return [event.id for event in client.iterate(v1.Event, client.ingest.ListEvents, request)]


def test_each_event_is_acknowledged_or_refused_alone(client: Client) -> None:
    with client.publisher("stream") as publisher:
        good = [publisher.publish("policy.violation", {"n": n}) for n in range(20)]
        bad = publisher.publish("no.such.type", {})
        with pytest.raises(ValueError, match="bytes"):
            publisher.publish("policy.violation", {"text": "x" * (5 << 20)})
        publisher.flush(timeout=20)
        with pytest.raises(WebhooksError) as failure:
            bad.result(0)
        assert failure.value.field_violations, "it says what is wrong"
        assert sorted(future.result(0).event_id for future in good) == sorted(stored(client, "stream"))
    with pytest.raises(RuntimeError):
        publisher.publish("policy.violation", {})


def test_nothing_is_lost_or_doubled_when_the_server_crashes(crashing_server: Server) -> None:
    with Client(crashing_server.address, api_key=crashing_server.key) as client:
        with client.publisher("crash", max_pending=100) as publisher:
            futures = []
            for n in range(COUNT):
                futures.append(publisher.publish("policy.violation", {"n": n}))
                if n in (300, 900, 1_500):
                    crashing_server.kill()
                    crashing_server.start()
        published = [future.result(0).event_id for future in futures]
        assert len(set(published)) == COUNT
        assert sorted(stored(client, "crash")) == sorted(published)


def test_publishing_waits_for_room(crashing_server: Server) -> None:
    with Client(crashing_server.address, api_key=crashing_server.key) as client:
        publisher = client.publisher("room", max_pending=3)
        publisher.publish("policy.violation", {}).result(20)
        crashing_server.kill()
        futures = [publisher.publish("policy.violation", {"n": n}, timeout=0.2) for n in range(3)]
        with pytest.raises(TimeoutError):
            publisher.publish("policy.violation", {}, timeout=0.2)
        with pytest.raises(TimeoutError):
            publisher.flush(timeout=0.1)
        crashing_server.start()
        publisher.close(timeout=20)
        assert all(future.result(0).event_id for future in futures)


def test_it_gives_up_after_a_while_without_a_server(server: Server) -> None:
    with Client("http://127.0.0.1:1", api_key=server.key) as client:
        with client.publisher("none", retry_for=0.5) as publisher, pytest.raises(WebhooksError) as failure:
            publisher.publish("policy.violation", {}).result(20)
        assert failure.value.code is grpc.StatusCode.UNAVAILABLE


def test_a_wrong_key_fails_at_once(server: Server) -> None:
    with Client(server.address, api_key="kt_wrong") as client, client.publisher("wrong") as publisher:
        with pytest.raises(WebhooksError) as failure:
            publisher.publish("policy.violation", {}).result(20)
        assert failure.value.code is grpc.StatusCode.UNAUTHENTICATED


def test_asyncio_has_the_same(crashing_server: Server) -> None:
    async def run() -> list[str]:
        async with AsyncClient(crashing_server.address, api_key=crashing_server.key) as client:
            async with client.publisher("aio", max_pending=100) as publisher:
                bad = await publisher.publish("no.such.type", {})
                futures = []
                for n in range(COUNT):
                    futures.append(await publisher.publish("policy.violation", {"n": n}))
                    if n in (300, 900):
                        await asyncio.to_thread(crashing_server.kill)
                        await asyncio.to_thread(crashing_server.start)
            with pytest.raises(WebhooksError):
                bad.result()
            return [future.result().event_id for future in futures]

    published = asyncio.run(run())
    with Client(crashing_server.address, api_key=crashing_server.key) as client:
        assert sorted(stored(client, "aio")) == sorted(set(published))
        assert len(published) == len(set(published)) == COUNT
