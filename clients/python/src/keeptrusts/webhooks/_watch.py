"""What a watch decides: what is handed out, and when it connects again. Without calls."""

from __future__ import annotations

from typing import Any

from ._errors import WebhooksError
from ._requests import copy_of, has_field
from ._retries import KeyRefusals, RetryPolicy


class Watch:
    """A watch over as many connections as it takes."""

    def __init__(self, request: Any, policy: RetryPolicy) -> None:
        self.request = copy_of(request)
        """Of the next connection: it goes on after the last response."""
        self.resumes = has_field(request, "resume_token")
        """Such a watch never ends of itself. Others begin anew with the present state, and end with what is watched."""
        self._policy = policy
        self._failures = 0
        self.key_refusals = KeyRefusals()

    def has_content(self, response: Any) -> bool:
        """Takes the response's token, and says whether there is more in it than that."""
        self._failures = 0
        self.key_refusals.accepted()
        if not self.resumes:
            return True
        self.request.resume_token = response.resume_token
        return any(field.name != "resume_token" for field, _ in response.ListFields())

    def wait_after(self, error: WebhooksError | None) -> float:
        """How long to wait before the next connection. Raises the error if there is to be none."""
        if error and not error.is_temporary:
            raise error
        self._failures += 1
        return self._policy.wait(self._failures, error.retry_delay if error else None)
