"""Files behind a URL of fsspec's, which may be slow, or silent. Only reads.

Most of its drivers wait for a server for ever, or try again for minutes: each request is given up
after some seconds. What has not answered is not asked again.
"""

from __future__ import annotations

import contextlib
import datetime
import io
from collections.abc import Callable, Iterator, Sequence
from typing import Any, BinaryIO, Final, TypeVar, cast

from hawork.core.clock import SYSTEM_CLOCK
from hawork.core.errors import ConfigurationError, HaworkError, StoreUnavailableError
from hawork.ha.bounded_calls import BoundedCalls, CallHangsError, NoThreadError
from hawork.inspect.storage import Listed, SilentStorageError, StoredFile, inside

__all__ = ["LISTING", "SILENT", "FsspecStorage", "Requests", "drivers_errors"]

SILENT: Final = 10.0
"""Seconds without an answer to one request after which a server is silent."""
LISTING: Final = 300.0
"""Seconds that a listing may take of a server that answers other requests meanwhile."""
_AT_ONCE: Final = 1 << 20
"""Bytes of one request: a slow line brings so many in ``SILENT`` seconds."""

_Answer = TypeVar("_Answer")


class Requests:
    """Runs requests, and waits for each only so long.

    One that is given up goes on by itself, and ends with the process at the latest; what is asked
    after it is refused at once, with ``SilentStorageError``.
    """

    def __init__(self, url: str) -> None:
        self._url = url
        self._calls = BoundedCalls("storage")
        self.silent = ""
        """Why no more is asked."""

    def __call__(self, request: Callable[[], _Answer], seconds: float | None = None) -> _Answer:
        """Its answer, or what it raised; ``SilentStorageError`` after ``seconds`` (``SILENT``)."""
        self._check()
        seconds = SILENT if seconds is None else seconds
        try:
            return self._calls.call(request, seconds)
        except CallHangsError as error:
            raise self._give_up(error, f"did not answer within {seconds:g} s") from None

    def list(self, request: Callable[[], _Answer], beside: Callable[[], object]) -> _Answer:
        """The answer to a listing, which may take ``LISTING`` seconds.

        It is many requests, of which one hears nothing until the last: whether the server is silent
        is asked ``beside`` it.
        """
        self._check()
        begun = looked = SYSTEM_CLOCK.monotonic()
        why = ""

        def answers() -> bool:
            nonlocal looked, why
            now = SYSTEM_CLOCK.monotonic()
            if now - begun >= LISTING:
                why = f"was not listed within {LISTING:g} s"
            elif now - looked >= SILENT / 2:
                try:
                    self._calls.call(beside, SILENT / 2)
                except CallHangsError:
                    why = f"did not answer within {SILENT:g} s"
                except Exception:  # noqa: BLE001 - an answer, too; the listing says more of it
                    pass
                looked = SYSTEM_CLOCK.monotonic()
            return not why

        try:
            return self._calls.call_while(answers, request)
        except CallHangsError as error:
            raise self._give_up(error, why) from None

    def _check(self) -> None:
        if self.silent:
            raise SilentStorageError(self.silent)

    def _give_up(self, error: CallHangsError, why: str) -> SilentStorageError:
        reason = f"was not asked ({error})" if isinstance(error, NoThreadError) else why
        self.silent = f"{self._url} {reason}: no more of it was looked at"
        return SilentStorageError(self.silent)

    def __del__(self) -> None:
        self._calls.close()


@contextlib.contextmanager
def drivers_errors(what: str) -> Iterator[None]:
    """``StoreUnavailableError`` for what a driver of fsspec raises: each has errors of its own."""
    try:
        yield
    except HaworkError:
        raise
    except Exception as error:
        reason = str(error) or type(error).__name__
        raise StoreUnavailableError(f"{what}: {reason}") from error


class FsspecStorage(Listed):
    """Whatever fsspec knows: S3, GCS, HDFS, HTTP; fsspec is imported here, when it is needed."""

    def __init__(self, url: str) -> None:
        super().__init__()
        self._url = url
        self.scheme = url.partition(":")[0]
        self._requests = Requests(url)
        with drivers_errors(f"{url} cannot be opened"):  # some drivers connect here
            try:
                from fsspec.core import url_to_fs

                self._fs, root = self._requests(lambda: url_to_fs(url))
            except ImportError as error:
                raise ConfigurationError(
                    f"{url} needs a package that is not installed ({error}): install "
                    "'hawork[storage]' and fsspec's driver for it, such as s3fs or gcsfs"
                ) from None
            except ValueError as error:
                raise ConfigurationError(f"{url} cannot be opened: {error}") from None
        self._root = str(root).rstrip("/")

    def listing(self) -> Sequence[StoredFile]:
        fs, root = self._fs, self._root
        with drivers_errors(f"{self._url} cannot be listed"):
            found: dict[str, dict[str, Any]] = self._requests.list(
                lambda: fs.find(root, detail=True), lambda: fs.exists(root)
            )
        files = []
        for path, facts in found.items():
            name = str(path).removeprefix(self._root).strip("/")
            size = facts.get("size")
            if facts.get("type") == "file" and name and isinstance(size, int):
                files.append(StoredFile(name, size, _modified(facts)))
        return files

    def open(self, name: str) -> BinaryIO:
        if inside(name) is None:
            raise StoreUnavailableError(f"{name} leads out of {self._url}: it is not opened")
        with drivers_errors(f"{name} of {self._url} cannot be read"):
            file = self._requests(lambda: self._fs.open(f"{self._root}/{name}", "rb"))
        return cast("BinaryIO", io.BufferedReader(_Part(file, self._requests), _AT_ONCE))


class _Part(io.RawIOBase):
    """A file of which each part is asked for, and not waited for without end."""

    def __init__(self, file: BinaryIO, requests: Requests) -> None:
        self._file = file
        self._requests = requests

    def readable(self) -> bool:
        return True

    def readinto(self, target: Any) -> int:
        most = min(len(target), _AT_ONCE)
        try:
            data = self._requests(lambda: self._file.read(most))
        except (OSError, SilentStorageError):
            raise
        except Exception as error:  # every driver of fsspec has exceptions of its own
            raise OSError(str(error) or type(error).__name__) from error
        target[: len(data)] = data
        return len(data)

    def close(self) -> None:
        if not self._requests.silent:
            self._file.close()
        super().close()


def _modified(facts: dict[str, Any]) -> float | None:
    """The drivers of fsspec name and write the time in different ways."""
    for key in ("mtime", "LastModified", "last_modified", "updated", "modificationTime"):
        found = facts.get(key)
        if isinstance(found, int | float):
            return found / 1000 if found > 1e11 else float(found)
        if isinstance(found, datetime.datetime):
            return found.timestamp()
    return None
