"""Certificates that are not trusted, and files that have none."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from server import PATIENCE, Server, make_certificate, make_client_certificate

from keeptrusts.webhooks import AsyncClient, Client, WebhooksError, v1

MUTUAL = ("--tls-client-ca", "client-ca.pem")
NOT_TRUSTED = "certificate is not trusted.*ca_file"
REFUSED = "refused the client's certificate.*certificate_file and private_key_file"


@pytest.fixture(
    params=[
        # The certificate's name, its days, the server's other flags, what the client is given, what the error says.
        pytest.param(("localhost", 2, (), {}, NOT_TRUSTED), id="unknown authority"),
        pytest.param(("localhost", -1, (), {"ca_file": "server.pem"}, NOT_TRUSTED), id="expired"),
        pytest.param(("other.example", 2, (), {"ca_file": "server.pem"}, NOT_TRUSTED), id="another name"),
        pytest.param(("localhost", 2, MUTUAL, {"ca_file": "server.pem"}, REFUSED), id="no client certificate"),
        pytest.param(
            ("localhost", 2, MUTUAL,
             {"ca_file": "server.pem", "certificate_file": "server.pem", "private_key_file": "key.pem"}, REFUSED),
            id="another client certificate",
        ),
    ]
)  # fmt: skip
def distrust(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[dict[str, Any], str]]:
    """The arguments of a client that does not trust the server, or is not trusted, and what its errors say."""
    name, days, flags, files, text = request.param
    server = Server(tmp_path, "--tls-cert", "server.pem", "--tls-key", "key.pem", *flags)
    make_client_certificate(tmp_path)
    make_certificate(tmp_path, name, days)
    server.start()
    given = {option: tmp_path / file for option, file in files.items()}
    yield {"address": server.address.replace("http:", "https:"), "api_key": server.key, **given}, text
    server.stop()


def test_a_certificate_that_is_not_trusted_fails_at_once(distrust: tuple[dict[str, Any], str]) -> None:
    arguments, text = distrust
    began = time.monotonic()
    with Client(**arguments) as client:
        with pytest.raises(WebhooksError, match=text) as failure:
            client.publish("default", "policy.violation", {}, timeout=3 * PATIENCE)
        assert failure.value.code is grpc.StatusCode.UNAVAILABLE and not failure.value.is_temporary
        with pytest.raises(WebhooksError, match=text):
            next(client.watch(client.dispatch.WatchDeliveries, v1.WatchDeliveriesRequest(organization_id="default")))
        with client.publisher("default") as publisher, pytest.raises(WebhooksError, match=text):
            publisher.publish("policy.violation", {}).result(PATIENCE)
    assert time.monotonic() - began < PATIENCE


def test_a_certificate_that_is_not_trusted_fails_at_once_with_asyncio(distrust: tuple[dict[str, Any], str]) -> None:
    arguments, text = distrust

    async def run() -> None:
        async with AsyncClient(**arguments) as client:
            with pytest.raises(WebhooksError, match=text):
                await client.publish("default", "policy.violation", {}, timeout=3 * PATIENCE)
            request = v1.WatchDeliveriesRequest(organization_id="default")
            with pytest.raises(WebhooksError, match=text):
                await client.watch(client.dispatch.WatchDeliveries, request).__anext__()
            async with client.publisher("default") as publisher:
                with pytest.raises(WebhooksError, match=text):
                    await (await publisher.publish("policy.violation", {}))

    asyncio.run(asyncio.wait_for(run(), PATIENCE))


def test_files_that_cannot_be_used_are_named_when_a_client_is_made(tmp_path: Path) -> None:
    make_certificate(tmp_path)
    make_client_certificate(tmp_path)
    (tmp_path / "empty.pem").touch()
    (tmp_path / "garbage.pem").write_text("-----BEGIN CERTIFICATE-----\nno base64!\n-----END CERTIFICATE-----\n")
    no_certificate = "has no certificate"
    cases: list[tuple[dict[str, str], str]] = [
        ({"ca_file": "missing.pem"}, "cannot read ca_file .*missing.pem"),
        ({"ca_file": "empty.pem"}, f"ca_file .*empty.pem {no_certificate}"),
        ({"ca_file": "key.pem"}, f"ca_file .*key.pem {no_certificate}"),
        ({"ca_file": "garbage.pem"}, f"ca_file .*garbage.pem {no_certificate}"),
        ({"certificate_file": "client.pem"}, "private_key_file, or neither"),
        ({"private_key_file": "client-key.pem"}, "certificate_file and private_key_file, or neither"),
        ({"certificate_file": "missing.pem", "private_key_file": "key.pem"}, "cannot read certificate_file .*missing"),
        ({"certificate_file": "client.pem", "private_key_file": "missing.pem"}, "cannot read private_key_file .*missing"),
        ({"certificate_file": "key.pem", "private_key_file": "key.pem"}, f"certificate_file .*key.pem {no_certificate}"),
        ({"certificate_file": "client.pem", "private_key_file": "client.pem"}, "client.pem has no private key"),
        ({"certificate_file": "client.pem", "private_key_file": "key.pem"}, "key.pem is not the key of .*client.pem"),
    ]  # fmt: skip
    for files, text in cases:
        arguments: dict[str, Any] = {option: tmp_path / name for option, name in files.items()}
        for kind in (Client, AsyncClient):
            with pytest.raises(ValueError, match=text):
                kind("https://localhost", api_key="kt_key", **arguments)
    for content, text in [(None, "cannot read"), ("", "is empty"), ("two words", "characters")]:
        file = tmp_path / "key"
        if content is not None:
            file.write_text(content)
        with pytest.raises(ValueError, match=f"api_key_file .*key.*{text}|{text} api_key_file .*key"):
            Client("https://localhost", api_key_file=file)
