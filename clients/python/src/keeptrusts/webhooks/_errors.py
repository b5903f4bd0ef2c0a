"""Errors of calls, with the details that the server gives."""

from __future__ import annotations

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
        fields = "".join(f"; {violation.field}: {violation.description}" for violation in field_violations)
        tags = " ".join(tag for tag in (code.name, reason) if tag)
        super().__init__(f"{tags}: {message}{fields}" + (f" (request {request_id})" if request_id else ""))
        self.code = code
        self.message = message
        self.reason = reason
        """What programs match: the reasons are listed in docs/api.md. Empty if the server gave none."""
        self.field_violations = field_violations
        self.retry_delay = retry_delay
        """In seconds, when the server says that a retry helps. None otherwise."""
        self.request_id = request_id
        """By which the operator finds the call in logs and traces."""

    @staticmethod
    def of_call(error: Any) -> WebhooksError:
        """From the grpc.RpcError of a call."""
        trailers = {key: value for key, value in error.trailing_metadata() or ()}
        status = status_pb2.Status(code=error.code().value[0], message=error.details() or "")
        try:
            status = status_pb2.Status.FromString(trailers["grpc-status-details-bin"])
        except (KeyError, DecodeError, TypeError):
            pass  # The code and the message say it alone.
        result = WebhooksError.of_status(status, trailers.get("x-request-id", ""))
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


_CODES: dict[int, grpc.StatusCode] = {code.value[0]: code for code in grpc.StatusCode}


def _unpacked(detail: Any, kind: type[Message]) -> Any:
    message = kind()
    return message if detail.Unpack(message) else None
