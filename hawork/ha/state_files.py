"""Files that state handles point to: written under a random name, verified when read."""

from __future__ import annotations

import contextlib
import hashlib
import secrets

from hawork.core.errors import (
    ConfigurationError,
    CorruptStateError,
    HighAvailabilityError,
    NotExistError,
)
from hawork.core.types import StateHandle
from hawork.ha.state_storage import StateStorage


def describe(path: str, payload: bytes) -> StateHandle:
    """The handle of ``payload`` as the file ``path``."""
    return StateHandle(path, len(payload), hashlib.sha256(payload).hexdigest())


def random_path(prefix: str) -> str:
    """``prefix`` and twelve random hexadecimal digits, as Flink names such files."""
    return f"{prefix}{secrets.token_hex(6)}"


def write_state(storage: StateStorage, path: str, payload: bytes) -> StateHandle:
    storage.write(path, payload)
    return describe(path, payload)


def read_state(storage: StateStorage, handle: StateHandle) -> bytes:
    """The bytes ``handle`` points to.

    ``CorruptStateError`` when the file is missing or holds other bytes than were written,
    ``StoreUnavailableError`` when it cannot be read at all.
    """
    try:
        payload = storage.read(handle.path)
    except NotExistError:
        raise CorruptStateError(
            f"file {handle.path} is missing in storageDir: expected {handle.size} bytes "
            f"with sha256 {handle.sha256}"
        ) from None
    except ConfigurationError as error:
        raise CorruptStateError(f"a state handle points outside storageDir: {error}") from None
    found = describe(handle.path, payload)
    if found != handle:
        raise CorruptStateError(
            f"file {handle.path} in storageDir was altered: expected {handle.size} bytes with "
            f"sha256 {handle.sha256}, found {found.size} bytes with sha256 {found.sha256}"
        )
    return payload


def discard_state(storage: StateStorage, path: str) -> None:
    """Remove a file nobody points to. A failure leaves an orphan, which is harmless: it
    goes with its job's directory.
    """
    with contextlib.suppress(HighAvailabilityError, ConfigurationError):
        storage.delete(path)
