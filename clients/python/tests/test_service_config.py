"""The service config for stubs without our client: gRPC repeats what it names, and nothing else."""

from __future__ import annotations

import json
from concurrent import futures
from pathlib import Path
from typing import Any

import grpc
import pytest

from keeptrusts.webhooks import v1

FILE = Path(__file__).parents[2] / "service-config" / "service_config.json"
SERVICE = "keeptrusts.webhooks.v1.EndpointService"


@pytest.mark.parametrize(("method", "attempts"), [("GetEndpoint", 4), ("CreateEndpoint", 1)])
def test_grpc_repeats_what_is_always_safe_to_repeat(method: str, attempts: int) -> None:
    count = 0

    def unavailable(_: bytes, context: grpc.ServicerContext) -> bytes:
        nonlocal count
        count += 1
        context.abort(grpc.StatusCode.UNAVAILABLE, "restarting")
        return b""

    server = grpc.server(futures.ThreadPoolExecutor(max_workers=1))
    handlers: dict[str, Any] = {method: grpc.unary_unary_rpc_method_handler(unavailable)}
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, handlers),))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    options = [("grpc.service_config", FILE.read_text())]
    with grpc.insecure_channel(f"127.0.0.1:{port}", options) as channel:
        stub = v1.EndpointServiceStub(channel)
        request = getattr(v1, f"{method}Request")()
        with pytest.raises(grpc.RpcError):
            getattr(stub, method)(request, timeout=30)
    server.stop(None).wait()
    assert count == attempts


def test_lists_are_named_and_what_makes_something_is_not() -> None:
    named = json.loads(FILE.read_text())["methodConfig"][0]["name"]
    assert {"service": SERVICE, "method": "ListEndpoints"} in named
    assert {"service": SERVICE, "method": "RotateSecret"} not in named
