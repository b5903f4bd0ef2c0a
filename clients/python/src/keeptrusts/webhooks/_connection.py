"""Where the server is and how it is reached: address, TLS, the API key."""

from __future__ import annotations

import ipaddress
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import grpc

from ._retries import RetryPolicy, service_config

VERSION = "0.1.0"
ADDRESS = "KEEPTRUSTS_WEBHOOKS_ADDRESS"
API_KEY = "KEEPTRUSTS_WEBHOOKS_API_KEY"
API_KEY_FILE = "KEEPTRUSTS_WEBHOOKS_API_KEY_FILE"

# The deadline of a call that is given none, in seconds. It includes all attempts.
DEFAULT_TIMEOUT = 30.0


@dataclass(frozen=True)
class Connection:
    """What a client is made with. What is not given is taken from the environment."""

    address: str | None = None
    api_key: str | None = field(default=None, repr=False)
    api_key_file: str | os.PathLike[str] | None = None
    ca_file: str | os.PathLike[str] | None = None
    certificate_file: str | os.PathLike[str] | None = None
    private_key_file: str | os.PathLike[str] | None = None
    timeout: float = DEFAULT_TIMEOUT
    retry_policy: RetryPolicy = field(default_factory=RetryPolicy)

    def target(self) -> tuple[str, grpc.ChannelCredentials | None]:
        """gRPC's target, and the credentials of TLS; None: without TLS, which only loopback addresses are."""
        address = self.address or os.environ.get(ADDRESS)
        if not address:
            raise ValueError(f"no address: give `address`, or set {ADDRESS}, for example https://webhooks.example.com")
        url = urlsplit(address)
        if url.scheme not in ("http", "https") or not url.hostname or url.path not in ("", "/") or url.query:
            raise ValueError("the address must be https://HOST[:PORT], or http://HOST[:PORT] on this machine")
        host = f"[{url.hostname}]" if ":" in url.hostname else url.hostname
        target = f"{host}:{url.port or (443 if url.scheme == 'https' else 80)}"
        if url.scheme == "https":
            return target, self._credentials()
        if not _is_loopback(url.hostname):
            raise ValueError(
                "an http address must be of this machine (loopback): the API key would be readable; use https"
            )
        if self.ca_file or self.certificate_file or self.private_key_file:
            raise ValueError("certificates need an https address")
        return target, None

    def _credentials(self) -> grpc.ChannelCredentials:
        if bool(self.certificate_file) != bool(self.private_key_file):
            raise ValueError("give certificate_file and private_key_file, or neither")

        def read(path: str | os.PathLike[str] | None) -> bytes | None:
            return Path(path).read_bytes() if path else None

        return grpc.ssl_channel_credentials(
            root_certificates=read(self.ca_file),
            private_key=read(self.private_key_file),
            certificate_chain=read(self.certificate_file),
        )

    def metadata(self) -> tuple[tuple[str, str], ...]:
        """What every call carries."""
        return (("authorization", f"Bearer {self._key()}"),)

    def _key(self) -> str:
        key_file = None if self.api_key else self.api_key_file
        key = self.api_key
        if not key and not key_file:
            key, key_file = os.environ.get(API_KEY), os.environ.get(API_KEY_FILE)
        if not key and key_file:
            key = Path(key_file).read_text()
        key = (key or "").strip()
        if not key:
            raise ValueError(f"no API key: give `api_key` or `api_key_file`, or set {API_KEY} or {API_KEY_FILE}")
        if not key.isascii() or not key.isprintable() or " " in key:
            raise ValueError("the API key has characters that no key has")
        return key

    @staticmethod
    def options() -> list[tuple[str, Any]]:
        """The channel's options. gRPC connects with the first call."""
        return [
            ("grpc.primary_user_agent", f"keeptrusts-webhooks-python/{VERSION}"),
            ("grpc.keepalive_time_ms", 60_000),
            ("grpc.keepalive_timeout_ms", 20_000),
            # gRPC waits up to two minutes before it connects again, too long after a server's restart.
            ("grpc.initial_reconnect_backoff_ms", 100),
            ("grpc.min_reconnect_backoff_ms", 100),
            ("grpc.max_reconnect_backoff_ms", 5_000),
            ("grpc.service_config", service_config()),
            ("grpc.enable_retries", 1),
        ]


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
