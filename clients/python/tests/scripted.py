"""A gRPC server whose answers a test decides."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent import futures
from typing import Any

import grpc

from keeptrusts.webhooks import v1

Answer = Callable[[Any, grpc.ServicerContext], Any]


class Scripted:
    """Answers with functions: one for calls (PublishEvent), watches (WatchDeliveries) and publishers (StreamEvents)."""

    def __init__(self, call: Answer | None = None, watch: Answer | None = None, stream: Answer | None = None) -> None:
        ingest: dict[str, Any] = {}
        if call:
            ingest["PublishEvent"] = grpc.unary_unary_rpc_method_handler(
                call, v1.PublishEventRequest.FromString, v1.PublishEventResponse.SerializeToString
            )
        if stream:
            ingest["StreamEvents"] = grpc.stream_stream_rpc_method_handler(
                stream, v1.StreamEventsRequest.FromString, v1.StreamEventsResponse.SerializeToString
            )
        dispatch: dict[str, Any] = {}
        if watch:
            dispatch["WatchDeliveries"] = grpc.unary_stream_rpc_method_handler(
                watch, v1.WatchDeliveriesRequest.FromString, v1.WatchDeliveriesResponse.SerializeToString
            )
        self._server = grpc.server(futures.ThreadPoolExecutor(max_workers=32))
        self._server.add_generic_rpc_handlers((
            grpc.method_handlers_generic_handler("keeptrusts.webhooks.v1.IngestService", ingest),
            grpc.method_handlers_generic_handler("keeptrusts.webhooks.v1.DispatchService", dispatch),
        ))  # fmt: skip
        self.address = f"http://127.0.0.1:{self._server.add_insecure_port('127.0.0.1:0')}"

    def __enter__(self) -> Scripted:
        self._server.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.stop(None).wait()


def key_of(context: grpc.ServicerContext) -> str:
    """The key that a call carries."""
    return str(dict(context.invocation_metadata())["authorization"]).removeprefix("Bearer ")


def silent(requests: Iterator[v1.StreamEventsRequest], _: grpc.ServicerContext) -> Iterator[v1.StreamEventsResponse]:
    """A stream that acknowledges nothing."""
    for _request in requests:
        pass
    return iter(())
