from __future__ import annotations

import faulthandler
import os
from collections.abc import Iterator
from pathlib import Path

# Before gRPC is imported: its fork handlers get in the way of starting servers.
os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "false")

# A test that hangs is a failure, not the end of CI.
faulthandler.dump_traceback_later(300, exit=True)

import pytest
from server import Receiver, Server

from keeptrusts.webhooks import Client


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    server = Server(tmp_path_factory.mktemp("server"))
    server.start()
    yield server
    server.stop()


@pytest.fixture(scope="session")
def receiver(server: Server) -> Iterator[Receiver]:
    receiver = Receiver(server.folder)
    yield receiver
    receiver.stop()


@pytest.fixture
def client(server: Server) -> Iterator[Client]:
    with Client(server.address, api_key=server.key) as client:
        yield client


@pytest.fixture
def crashing_server(tmp_path: Path) -> Iterator[Server]:
    server = Server(tmp_path)
    server.start()
    yield server
    server.stop()
