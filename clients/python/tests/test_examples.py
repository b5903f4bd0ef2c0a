"""The examples of the README, as they stand, against a real server."""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from server import PATIENCE, Receiver, Server, eventually, free_port

from keeptrusts.webhooks import Client

ROOT = Path(__file__).parents[1]


@pytest.fixture
def environment(server: Server) -> dict[str, str]:
    settings = {"KEEPTRUSTS_WEBHOOKS_ADDRESS": server.address, "KEEPTRUSTS_WEBHOOKS_API_KEY": server.key}
    return {**os.environ, **settings, "PYTHONPATH": str(ROOT / "src")}


def run(name: str, environment: dict[str, str], *arguments: str, stdin: str = "") -> str:
    command = [sys.executable, str(ROOT / "examples" / name), *arguments]
    done = subprocess.run(command, env=environment, input=stdin, capture_output=True, text=True, timeout=PATIENCE)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_readme_shows_the_examples_as_they_are() -> None:
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.S)
    examples = {path.name: path.read_text() for path in (ROOT / "examples").glob("*.py")}
    assert sorted(blocks) == sorted(examples.values())


def test_publish(environment: dict[str, str]) -> None:
    assert re.fullmatch(r"published evt_\w+\n", run("publish.py", environment))


def test_publish_many(environment: dict[str, str]) -> None:
    assert run("publish_many.py", environment, stdin='{"n": 1}\n{"n": 2}\n[]\n') == "published 2\n"


@contextlib.contextmanager
def running(name: str, environment: dict[str, str], output: Path, *arguments: str) -> Iterator[None]:
    command = [sys.executable, str(ROOT / "examples" / name), *arguments]
    with output.open("w") as file, subprocess.Popen(command, env=environment, stdout=file) as process:
        try:
            yield
        finally:
            process.kill()


def test_endpoint_watch_and_receive(
    environment: dict[str, str], client: Client, receiver: Receiver, tmp_path: Path
) -> None:
    shown = run("endpoint.py", environment, receiver.url)
    created = re.search(r"created (ep_\w+) with the secret (whsec_\S+)\n", shown)
    assert created
    received = len(receiver.requests)
    output = tmp_path / "output"
    with running("watch.py", environment, output):

        def sees_a_delivery() -> bool:
            client.publish("default", "policy.violation", {})
            time.sleep(0.1)
            return "DELIVERED" in output.read_text()

        eventually("the example sees a delivery", sees_a_delivery)

    port = free_port()
    environment["WEBHOOK_SECRET"] = created[2]
    with running("receive.py", environment, output, str(port)):

        def status(body: bytes, headers: dict[str, str]) -> int:
            request = urllib.request.Request(f"http://127.0.0.1:{port}", body, headers)
            try:
                return int(urllib.request.urlopen(request).status)
            except urllib.error.HTTPError as error:
                return error.code
            except urllib.error.URLError:
                return 0

        eventually("the example listens", lambda: status(b"", {}) == 400)
        headers, body = receiver.requests[received]
        assert status(body, headers) == 204
        assert status(body.replace(b"policy", b"Policy"), headers) == 400
        assert output.read_text() == f"received {headers['webhook-id']} {body.decode()}\n"
