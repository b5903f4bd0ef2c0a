"""A real server, and a receiver, for the tests: the binary that KEEPTRUSTS_WEBHOOKS_BINARY names."""

from __future__ import annotations

import http.server
import os
import secrets
import signal
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path

# How long anything may take.
PATIENCE = 30.0


def eventually(what: str, condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, f"not in time: {what}"
        time.sleep(0.02)


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def openssl(folder: Path, *arguments: str) -> None:
    subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True)


KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")


def make_certificate(folder: Path, name: str = "localhost", days: int = 2) -> None:
    """`server.pem` and `key.pem`, self-signed; of localhost: for 127.0.0.1 too. -1 days: expired."""
    names = f"DNS:{name}" + (",IP:127.0.0.1" if name == "localhost" else "")
    (folder / "server.ext").write_text(f"subjectAltName={names}\nbasicConstraints=CA:TRUE\n")
    openssl(folder, "req", *KEY, "-subj", f"/CN={name}", "-keyout", "key.pem", "-out", "server.csr")
    openssl(folder, "x509", "-req", "-in", "server.csr", "-signkey", "key.pem", "-extfile", "server.ext",
            "-days", str(days), "-out", "server.pem")  # fmt: skip


def make_client_certificate(folder: Path) -> None:
    """`client.pem` and `client-key.pem`, by the authority `client-ca.pem`."""
    openssl(folder, "req", "-x509", *KEY, "-days", "2", "-subj", "/CN=authority",
            "-keyout", "client-ca-key.pem", "-out", "client-ca.pem")  # fmt: skip
    # An extension makes it a certificate of version 3; others are refused.
    (folder / "client.ext").write_text("extendedKeyUsage=clientAuth\n")
    openssl(folder, "req", *KEY, "-subj", "/CN=client", "-keyout", "client-key.pem", "-out", "client.csr")
    openssl(folder, "x509", "-req", "-in", "client.csr", "-CA", "client-ca.pem", "-CAkey", "client-ca-key.pem",
            "-CAcreateserial", "-extfile", "client.ext", "-days", "2", "-out", "client.pem")  # fmt: skip


class Server:
    """The server, on SQLite in a folder. It keeps its port and its key when it is started again."""

    def __init__(self, folder: Path, *flags: str) -> None:
        self.folder = folder
        self.key = "kt_" + secrets.token_hex(32)
        self.port = free_port()
        self.address = f"http://127.0.0.1:{self.port}"
        self._flags = flags
        self._process: subprocess.Popen[bytes] | None = None
        (folder / "data").mkdir()
        make_certificate(folder)

    def start(self) -> None:
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [os.environ["KEEPTRUSTS_WEBHOOKS_BINARY"], "serve", "--no-console",
                 "--listen", f"127.0.0.1:{self.port}", "--data-dir", "data",
                 "--allow-network", "127.0.0.0/8", "--trust-ca", "server.pem", *self._flags],
                cwd=self.folder,
                env={**os.environ, "KEEPTRUSTS_WEBHOOKS_BOOTSTRAP_ADMIN_KEY": self.key},
                stdout=log, stderr=log,
            )  # fmt: skip
        eventually("the server listens", self._listens)

    def kill(self) -> None:
        """As a power cut does: no time to say goodbye."""
        assert self._process
        self._process.send_signal(signal.SIGKILL)
        self._process.wait()

    def stop(self) -> None:
        if self._process and self._process.poll() is None:
            self._process.terminate()
            self._process.wait(PATIENCE)

    def _listens(self) -> bool:
        assert self._process and self._process.poll() is None, (self.folder / "log").read_text()
        with socket.socket() as connection:
            return connection.connect_ex(("127.0.0.1", self.port)) == 0


class Receiver:
    """An HTTPS server that keeps what it gets and answers 204."""

    def __init__(self, folder: Path) -> None:
        self.requests: list[tuple[dict[str, str], bytes]] = []
        receiver = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                receiver.requests.append((dict(self.headers.items()), body))
                self.send_response(204)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(folder / "server.pem", folder / "key.pem")
        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        self.url = f"https://127.0.0.1:{self._server.server_address[1]}/webhooks"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()
