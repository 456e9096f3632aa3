"""From the option ``high-availability.storageDir`` to a ``StateStorage``."""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import Callable
from pathlib import Path

from hawork.core import options
from hawork.core.errors import (
    ConfigurationError,
    HighAvailabilityError,
    NotExistError,
    StoreUnavailableError,
    UntrustedPathError,
)
from hawork.core.private_files import check_way
from hawork.ha.local_storage import LocalStateStorage
from hawork.ha.state_storage import StateStorage

_PROBE = ".probe-"
_TRIES = 3


def local_path(url: str) -> Path | None:
    """The directory of a ``file:`` URL or an absolute path; ``None`` for any other URL.

    As in Flink nothing is percent-decoded. ``ConfigurationError`` for a relative path and
    for a ``file:`` URL of another host.
    """
    scheme, colon, rest = url.partition(":")
    if not (colon and scheme.isalnum() and "/" not in scheme):
        scheme, rest = "file", url
    if scheme.lower() != "file":
        return None
    if rest.startswith("//") and scheme != url:
        host, slash, tail = rest[2:].partition("/")
        if host not in ("", "localhost"):
            raise ConfigurationError(
                f"storageDir {url} names the host {host!r}: write file:/path or an absolute path"
            )
        rest = slash + tail
    if not rest.startswith("/"):
        raise ConfigurationError(
            f"storageDir {url!r} is relative: write an absolute path, file:/path or another URL"
        )
    return Path(rest)


def open_storage(url: str, expected: Callable[[], bool] = bool) -> StateStorage:
    """The storage below ``url``: ``file:`` and absolute paths built in, the rest by fsspec.

    ``expected``: whether a local directory has to be there, which is asked when it is not: then its
    file system is not mounted, and it is not made. Nothing is read or written.
    ``ConfigurationError`` when the URL cannot be understood or a package is missing.
    """
    path = local_path(url)
    if path is not None:
        return LocalStateStorage(path, expected)
    from hawork.ha.fsspec_storage import FsspecStateStorage

    return FsspecStateStorage(url)


def join_url(url: str, path: str) -> str:
    """``path`` below ``url``.

    >>> join_url("file:/ha/", "default")
    'file:/ha/default'
    """
    return f"{url.rstrip('/')}/{path}"


def check_owners(url: str) -> None:
    """Refuse a local directory that another user owns or may write, or could exchange.

    ``UntrustedPathError`` says which one, and how it is allowed.
    """
    path = local_path(url)
    if path is None:
        return
    try:
        check_way(path / "any")
    except UntrustedPathError as error:
        raise UntrustedPathError(
            f"storageDir {url}: {error}; where other users are trusted with it, set "
            f"{options.STORAGE_SHARED.key} to true"
        ) from None


def check_storage(storage: StateStorage, url: str) -> None:
    """Write, read and delete a small file, so that a wrong storageDir shows at the start.

    A directory that does not exist is created. What a process left that died in here goes, too.
    ``StoreUnavailableError`` names the reason.
    """
    for left in storage.list("", unfinished=True):
        if left.startswith(_PROBE):
            # A directory of this name, or a file of root's, keeps no JobManager from beginning.
            with contextlib.suppress(HighAvailabilityError):
                storage.delete(left)
    for _ in range(_TRIES):
        with contextlib.suppress(NotExistError):  # another one that starts took it for such a file
            _probe(storage, url)
            return
    raise StoreUnavailableError(
        f"storageDir {url} lost the files just written, {_TRIES} times: choose a file system that "
        "keeps what was written"
    )


def _probe(storage: StateStorage, url: str) -> None:
    name, data = f"{_PROBE}{secrets.token_hex(6)}", b"hawork"
    storage.write(name, data)
    found = storage.read(name)
    storage.delete(name)
    if found != data:
        raise StoreUnavailableError(
            f"storageDir {url} returned {len(found)} other bytes than the {len(data)} just "
            "written: choose a file system that reads what was written"
        )
