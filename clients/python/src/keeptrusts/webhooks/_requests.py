"""Requests and answers, without calls: what is the same for threads and for asyncio."""

from __future__ import annotations

import datetime
import json
import uuid
from collections.abc import Mapping
from typing import Any, TypeVar

from google.protobuf.message import Message

from . import v1

Item = TypeVar("Item", bound=Message)


# The server reads no larger message, and would end a stream for one. The rest is for the item around it.
MAX_EVENT_BYTES = 4 * 1024 * 1024 - 64


def check_size(request: v1.PublishEventRequest) -> int:
    """The size of an event that is to go over a stream, whose neighbours must not fail with it."""
    size = request.ByteSize()
    if size > MAX_EVENT_BYTES:
        raise ValueError(f"the event has {size} bytes; it may have {MAX_EVENT_BYTES}")
    return size


def publish_request(
    organization_id: str,
    event_type: str,
    data: Mapping[str, Any] | str,
    event_time: datetime.datetime | None,
    idempotency_key: str | None,
) -> v1.PublishEventRequest:
    """`data` is a JSON object, or its text, which receivers get byte for byte."""
    if isinstance(data, str):
        text = data
    else:
        text = json.dumps(data, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    request = v1.PublishEventRequest(
        organization_id=organization_id,
        event_type=event_type,
        data_json=text,
        idempotency_key=idempotency_key or str(uuid.uuid4()),
    )
    if event_time is not None:
        if event_time.tzinfo is None:
            raise ValueError("event_time needs a time zone, for example datetime.now(timezone.utc)")
        request.event_time.FromDatetime(event_time)
    return request


def copy_of(request: Any) -> Any:
    """A copy whose page or resume token may be changed."""
    copy = type(request)()
    copy.CopyFrom(request)
    return copy


def items(page: Any, kind: type[Item]) -> list[Item]:
    """The items of a page: the only repeated field whose messages are of this kind."""
    for field in page.DESCRIPTOR.fields:
        value = getattr(page, field.name)
        if field.message_type is kind.DESCRIPTOR and not isinstance(value, Message):
            return list(value)
    raise TypeError(f"{page.DESCRIPTOR.name} is no page of {kind.DESCRIPTOR.name}")


def has_field(message: Any, name: str) -> bool:
    return name in message.DESCRIPTOR.fields_by_name
