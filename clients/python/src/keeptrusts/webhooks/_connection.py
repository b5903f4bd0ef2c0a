"""Where the server is and how it is reached: address, TLS, the API key."""

from __future__ import annotations

import ipaddress
import os
import ssl
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import grpc

from ._credential import Credential
from ._retries import RetryPolicy

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
            raise ValueError("give certificate_file and private_key_file, or neither: they belong together")
        roots = chain = key = None
        if self.ca_file:
            roots = _certificates("ca_file", self.ca_file)
        if self.certificate_file and self.private_key_file:
            chain = _certificates("certificate_file", self.certificate_file)
            key = _private_key(self.private_key_file, self.certificate_file)
        return grpc.ssl_channel_credentials(root_certificates=roots, private_key=key, certificate_chain=chain)

    def credential(self) -> Credential:
        """The API key, from where it is given."""
        if self.api_key or self.api_key_file:
            return Credential(self.api_key, self.api_key_file)
        key, key_file = os.environ.get(API_KEY), os.environ.get(API_KEY_FILE)
        if not key and not key_file:
            raise ValueError(f"no API key: give `api_key` or `api_key_file`, or set {API_KEY} or {API_KEY_FILE}")
        return Credential(key, key_file)

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
            # The client makes all retries: gRPC's own would multiply them, outside of the budget.
            ("grpc.enable_retries", 0),
            ("grpc.service_config_disable_resolution", 1),
        ]


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _read(option: str, path: str | os.PathLike[str]) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise ValueError(f"cannot read {option} {path}: {error.strerror}") from error


def _certificates(option: str, path: str | os.PathLike[str]) -> bytes:
    """The file's content. gRPC would say nothing of one without a certificate, and trust nobody."""
    content = _read(option, path)
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cafile=path)
    except (ssl.SSLError, ValueError) as error:
        raise ValueError(f"{option} {path} has no certificate that can be read (PEM)") from error
    return content


def _private_key(path: str | os.PathLike[str], certificate: str | os.PathLike[str]) -> bytes:
    content = _read("private_key_file", path)

    def no_password() -> str:
        raise ValueError(f"private_key_file {path} is encrypted: give one that is not")

    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_cert_chain(certificate, path, no_password)
    except ssl.SSLError as error:
        what = f"is not the key of certificate_file {certificate}"
        problem = what if error.reason == "KEY_VALUES_MISMATCH" else "has no private key that can be read (PEM)"
        raise ValueError(f"private_key_file {path} {problem}") from error
    return content
