"""Verification of deliveries, for receivers. docs/receiving.md explains the signatures."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
import time
from collections.abc import Iterable, Mapping

# How far `webhook-timestamp` may be from the receiver's clock, in seconds.
DEFAULT_TOLERANCE = 300.0

_ID = re.compile(r"[!-\-/-~]+", re.ASCII)  # visible ASCII without the dot
_TIMESTAMP = re.compile(r"[0-9]{1,12}", re.ASCII)
_STANDARD = re.compile(r"v1,[A-Za-z0-9+/]{43}=", re.ASCII)
_HEX = re.compile(r"sha256=[0-9A-Fa-f]{64}", re.ASCII)


class VerificationError(Exception):
    """A request is not a valid delivery. Answer it with 400 and do nothing else.

    `reason` is `missing_header`, `malformed_header`, `bad_signature`, `timestamp_too_old` or
    `timestamp_too_new`.
    """

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


def verify(
    headers: Mapping[str, str],
    body: bytes,
    *secrets: str,
    tolerance: float = DEFAULT_TOLERANCE,
    now: float | None = None,
) -> str:
    """Verifies `webhook-signature` (Standard Webhooks 1.0), which signs the body, the id and the time.

    `body` is the raw body, before it is parsed. `secrets` are the endpoint's secrets as shown: one, and
    while you replace it, the old one too. `tolerance` is in seconds, `now` in seconds since the Unix epoch.

    Returns `webhook-id`, the event's id, by which duplicates are known. Raises VerificationError.
    """
    identifier = _header(headers, "webhook-id", _ID, "must be visible ASCII without a dot")
    timestamp = _header(headers, "webhook-timestamp", _TIMESTAMP, "must be 1 to 12 digits")
    signatures = _required(headers, "webhook-signature").split(" ")
    signatures = [entry for entry in signatures if _STANDARD.fullmatch(entry)]
    if not signatures:
        raise VerificationError("malformed_header", "webhook-signature has no signature of the form v1,BASE64")

    message = f"{identifier}.{timestamp}.".encode() + body
    expected = [
        "v1," + base64.b64encode(_hmac(_standard_key(secret), message)).decode() for secret in _checked(secrets)
    ]
    if not _any_equal(expected, signatures):
        raise VerificationError("bad_signature", "no secret made any of the signatures in webhook-signature")

    age = (time.time() if now is None else now) - int(timestamp)
    if age > tolerance:
        raise VerificationError("timestamp_too_old", f"the request was signed {age:.0f} s ago")
    if age < -tolerance:
        raise VerificationError("timestamp_too_new", f"the request was signed {-age:.0f} s in the future")
    return identifier


def verify_body(headers: Mapping[str, str], body: bytes, *secrets: str) -> None:
    """Verifies `X-Keeptrusts-Signature` and `X-Keeptrusts-Signature-Previous`, which sign only the body.

    Prefer `verify`: these signatures have no time, so that anybody who recorded a request can send it again.
    """
    names = ("x-keeptrusts-signature", "x-keeptrusts-signature-previous")
    found = [value for value in (_value(headers, name) for name in names) if value]
    if not found:
        raise VerificationError("missing_header", "X-Keeptrusts-Signature is missing")
    signatures = [value.lower() for value in found if _HEX.fullmatch(value)]
    if not signatures:
        raise VerificationError("malformed_header", "X-Keeptrusts-Signature must be sha256= and 64 hex digits")
    expected = ["sha256=" + _hmac(secret.encode(), body).hex() for secret in _checked(secrets)]
    if not _any_equal(expected, signatures):
        raise VerificationError("bad_signature", "no secret made the signature in X-Keeptrusts-Signature")


def _value(headers: Mapping[str, str], name: str) -> str:
    if name in headers:
        return headers[name]
    return next((value for key, value in headers.items() if key.lower() == name), "")


def _required(headers: Mapping[str, str], name: str) -> str:
    value = _value(headers, name)
    if not value:
        raise VerificationError("missing_header", f"{name} is missing")
    return value


def _header(headers: Mapping[str, str], name: str, form: re.Pattern[str], rule: str) -> str:
    value = _required(headers, name)
    if not form.fullmatch(value):
        raise VerificationError("malformed_header", f"{name} {rule}")
    return value


def _checked(secrets: tuple[str, ...]) -> tuple[str, ...]:
    if not secrets or not all(secrets):
        raise ValueError("give the endpoint's secret")
    return secrets


def _standard_key(secret: str) -> bytes:
    """The key of Standard Webhooks: what is encoded after `whsec_`, or else the text itself."""
    if not secret.startswith("whsec_"):
        return secret.encode()
    try:
        return base64.b64decode(secret[len("whsec_") :], validate=True)
    except binascii.Error:
        # Not with the secret's text.
        raise ValueError("a secret that begins with whsec_ must go on with base64") from None


def _hmac(key: bytes, message: bytes) -> bytes:
    return hmac.new(key, message, hashlib.sha256).digest()


def _any_equal(expected: Iterable[str], signatures: Iterable[str]) -> bool:
    """Each comparison takes the same time wherever the texts differ."""
    signatures = list(signatures)
    return any([hmac.compare_digest(one, other) for one in expected for other in signatures])
