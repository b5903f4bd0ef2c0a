"""The API key that calls carry, and the file that has it, which may be replaced at any time."""

from __future__ import annotations

import os
import time
from pathlib import Path

# How long a key that was read from a file is used before the file is read again, in seconds.
_FRESH = 5.0


class Credential:
    """A key, or the file that has it. Safe to share between threads; no text form shows the key."""

    def __init__(self, key: str | None, file: str | os.PathLike[str] | None) -> None:
        self._file = None if key else file
        self._key = _checked(key) if key or file is None else self._read()
        self._read_at = time.monotonic()

    def is_stale(self) -> bool:
        """Whether the file is to be read again: says so to one caller, so that the others need not wait."""
        now = time.monotonic()
        if self._file is None or now - self._read_at < _FRESH:
            return False
        self._read_at = now
        return True

    def last(self) -> str:
        """The key as it was read last."""
        return self._key

    def read_again(self) -> str:
        """The key, read from its file. While that cannot be read, as in the middle of its replacement, the last one."""
        try:
            self._key = self._read()
            self._read_at = time.monotonic()
        except ValueError:
            pass
        return self._key

    def current(self) -> str:
        """The key, read within the last seconds. May read the file."""
        return self.read_again() if self.is_stale() else self._key

    def _read(self) -> str:
        if self._file is None:
            return self._key
        try:
            return _checked(Path(self._file).read_text("ascii", "replace"))
        except OSError as error:
            raise ValueError(f"cannot read api_key_file {self._file}: {error.strerror}") from error
        except ValueError as error:
            raise ValueError(f"api_key_file {self._file}: {error}") from error


def _checked(text: str | None) -> str:
    key = (text or "").strip()
    if not key:
        raise ValueError("the API key is empty")
    if not key.isascii() or not key.isprintable() or " " in key:
        raise ValueError("the API key has characters that no key has")
    return key


def metadata_of(key: str) -> tuple[str, str]:
    """What a call carries."""
    return ("authorization", f"Bearer {key}")
