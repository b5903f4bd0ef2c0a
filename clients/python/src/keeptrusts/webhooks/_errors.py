"""Errors of calls, with the details that the server gives."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Any

import grpc
from google.protobuf.message import DecodeError, Message
from google.rpc import error_details_pb2, status_pb2


@dataclass(frozen=True)
class FieldViolation:
    """A field of the request that breaks its rule."""

    field: str
    """Its path in the request, for example `endpoint.url`."""
    description: str
    reason: str = ""
    """What programs match: the reasons are listed in docs/api.md. Empty if the server gave none."""


class Failure(enum.Enum):
    """How far a request came."""

    ANSWERED = enum.auto()
    """The server answered, or the connection ended before it did."""
    NOT_CONNECTED = enum.auto()
    """There was no connection, so that the request was not sent."""
    UNTRUSTED_SERVER = enum.auto()
    """The same, because of the server's certificate, which does not pass with time."""
    REFUSED_CLIENT = enum.auto()
    """The same, because of the client's certificate."""


class WebhooksError(Exception):
    """A call failed. The gRPC error is its `__cause__`, if there was a call of its own."""

    def __init__(
        self,
        code: grpc.StatusCode,
        message: str,
        *,
        reason: str = "",
        field_violations: tuple[FieldViolation, ...] = (),
        retry_delay: float | None = None,
        request_id: str = "",
    ) -> None:
        super().__init__(code, message)
        self.code = code
        self.message = message
        self.reason = reason
        """What programs match: the reasons are listed in docs/api.md. Empty if the server gave none."""
        self.field_violations = field_violations
        self.retry_delay = retry_delay
        """In seconds, when the server says that a retry helps. None otherwise."""
        self.request_id = request_id
        """By which the operator finds the call in logs and traces."""
        self.attempts = 1
        """How often the call was tried. The error is that of the last attempt that got one."""
        self._failure = Failure.ANSWERED
        self._gave_up_after: float | None = None

    def __str__(self) -> str:
        fields = "".join(f"; {violation.field}: {violation.description}" for violation in self.field_violations)
        tags = " ".join(tag for tag in (self.code.name, self.reason) if tag)
        text = f"{tags}: {self.message}{fields}" + (f" (request {self.request_id})" if self.request_id else "")
        if self._gave_up_after is None:
            return text
        return f"gave up after {self.attempts} attempts in {self._gave_up_after:.1f} s; the last error: {text}"

    @property
    def is_temporary(self) -> bool:
        """Whether the same request may succeed later, and has not been refused for good."""
        if self._failure in (Failure.UNTRUSTED_SERVER, Failure.REFUSED_CLIENT):
            return False
        return self.code is grpc.StatusCode.UNAVAILABLE or self.retry_delay is not None

    @property
    def _is_not_connected(self) -> bool:
        return self._failure is not Failure.ANSWERED

    def _after(self, attempts: int, seconds: float) -> WebhooksError:
        """The same error of a call that is not tried again after so many attempts."""
        self.attempts = attempts
        if attempts > 1 and self.is_temporary:
            self._gave_up_after = seconds
        return self

    @staticmethod
    def of_call(error: Any) -> WebhooksError:
        """From the grpc.RpcError of a call."""
        trailers = {key: value for key, value in error.trailing_metadata() or ()}
        status = status_pb2.Status(code=error.code().value[0], message=error.details() or "")
        try:
            status = status_pb2.Status.FromString(trailers["grpc-status-details-bin"])
        except (KeyError, DecodeError, TypeError):
            pass  # The code and the message say it alone.
        failure = failure_of(error.code(), error.details() or "")
        if failure in _WHAT_TO_DO:
            status.message = _WHAT_TO_DO[failure].format(cause=_cause(status.message))
        result = WebhooksError.of_status(status, trailers.get("x-request-id", ""))
        result._failure = failure
        result.__cause__ = error
        return result

    @staticmethod
    def of_status(status: Any, request_id: str = "") -> WebhooksError:
        """From a google.rpc.Status, which items of batches and streams have."""
        reason, violations, delay = "", [], None
        for detail in status.details:
            if info := _unpacked(detail, error_details_pb2.ErrorInfo):
                reason = info.reason
            elif bad := _unpacked(detail, error_details_pb2.BadRequest):
                violations = [
                    FieldViolation(entry.field, entry.description, entry.reason) for entry in bad.field_violations
                ]
            elif retry := _unpacked(detail, error_details_pb2.RetryInfo):
                delay = max(0.0, retry.retry_delay.seconds + retry.retry_delay.nanos / 1e9)
            elif request := _unpacked(detail, error_details_pb2.RequestInfo):
                request_id = request_id or request.request_id
        return WebhooksError(
            _CODES.get(status.code, grpc.StatusCode.UNKNOWN),
            status.message,
            reason=reason,
            field_violations=tuple(violations),
            retry_delay=delay,
            request_id=request_id,
        )


_WHAT_TO_DO = {
    Failure.UNTRUSTED_SERVER: "the server's certificate is not trusted: {cause}. Give the authority that issued it as "
    "ca_file, and an address that the certificate names; if it has expired, its server needs another one",
    Failure.REFUSED_CLIENT: "the server has refused the client's certificate: {cause}. Give one that the server "
    "accepts as certificate_file and private_key_file",
}

# How gRPC begins the text of its own UNAVAILABLE when it could not connect. A proxy's text may have the words
# below for a connection that is not ours.
_NOT_CONNECTED = "failed to connect to all addresses"
# BoringSSL's error, and that of gRPC's comparison of the name with the certificate's.
_UNTRUSTED_SERVER = ("CERTIFICATE_VERIFY_FAILED", "Hostname Verification Check failed", "is not in peer certificate")
# With TLS 1.3 the server refuses when the client's handshake is over; gRPC keeps no more of the alert than that
# it could not decrypt. With TLS 1.2 the alert is within the handshake.
_REFUSED_CLIENT = ("TSI_DATA_CORRUPTED", "_ALERT_BAD_CERTIFICATE", "_ALERT_UNSUPPORTED_CERTIFICATE", "_ALERT_CERTIFICATE_",
                   "_ALERT_UNKNOWN_CA", "_ALERT_ACCESS_DENIED")  # fmt: skip


def failure_of(code: grpc.StatusCode, text: str) -> Failure:
    """How far a request came. Only gRPC's text says it."""
    if code is not grpc.StatusCode.UNAVAILABLE or not text.startswith(_NOT_CONNECTED):
        return Failure.ANSWERED
    if any(words in text for words in _UNTRUSTED_SERVER):
        return Failure.UNTRUSTED_SERVER
    if any(words in text for words in _REFUSED_CLIENT):
        return Failure.REFUSED_CLIENT
    return Failure.NOT_CONNECTED


def _cause(text: str) -> str:
    """The end of gRPC's text, which says most."""
    return text.rpartition("last error: ")[2]


_CODES: dict[int, grpc.StatusCode] = {code.value[0]: code for code in grpc.StatusCode}


def _unpacked(detail: Any, kind: type[Message]) -> Any:
    message = kind()
    return message if detail.Unpack(message) else None
