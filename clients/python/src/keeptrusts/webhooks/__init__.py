"""The client of Keeptrusts Webhooks, for programs that publish events, manage endpoints or receive deliveries.

    from keeptrusts.webhooks import Client

    with Client() as client:
        client.publish("default", "policy.violation", {"policy": "no-customer-data"})

`Client` is for threads, `AsyncClient` for asyncio; both have the same methods. `v1` has the messages.
"""

from . import v1
from ._aio import AsyncClient
from ._aio_publisher import AsyncPublisher
from ._client import Client
from ._connection import VERSION as __version__
from ._errors import FieldViolation, WebhooksError
from ._publisher import Publisher
from ._retries import RetryPolicy
from ._verify import VerificationError, verify, verify_body

__all__ = [
    "AsyncClient",
    "AsyncPublisher",
    "Client",
    "FieldViolation",
    "Publisher",
    "RetryPolicy",
    "VerificationError",
    "WebhooksError",
    "v1",
    "verify",
    "verify_body",
]
