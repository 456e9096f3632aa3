"""Files behind a URL of fsspec's, which may be slow, or silent. Only reads.

Most of its drivers wait for a server for ever, or try again for minutes: each request runs on a
thread of its own, and is given up after some seconds. What has not answered is not asked again.
"""

from __future__ import annotations

import datetime
import io
import queue
import threading
from collections.abc import Callable, Sequence
from typing import Any, BinaryIO, Final, TypeAlias, TypeVar, cast

from hawork.core.clock import SYSTEM_CLOCK
from hawork.core.errors import ConfigurationError, StoreUnavailableError
from hawork.inspect.storage import Listed, SilentStorageError, StoredFile, inside

__all__ = ["LISTING", "SILENT", "FsspecStorage", "Requests"]

SILENT: Final = 10.0
"""Seconds without an answer to one request after which a server is silent."""
LISTING: Final = 300.0
"""Seconds that a listing may take of a server that answers other requests meanwhile."""
_AT_ONCE: Final = 1 << 20
"""Bytes of one request: a slow line brings so many in ``SILENT`` seconds."""

_Answer = TypeVar("_Answer")
_Asked: TypeAlias = "queue.SimpleQueue[Callable[[], Any] | None]"
_Answers: TypeAlias = "queue.SimpleQueue[tuple[Any, BaseException | None]]"


class Requests:
    """Runs one request after the other on a thread of its own, and waits only so long.

    One that is given up goes on by itself, and ends with the process at the latest; what is asked
    after it is refused at once.
    """

    def __init__(self, url: str) -> None:
        self._url = url
        self._asked: _Asked = queue.SimpleQueue()
        self._answers: _Answers = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self.silent = ""
        """Why no more is asked."""

    def __call__(self, request: Callable[[], _Answer], seconds: float | None = None) -> _Answer:
        """Its answer, or what it raised; ``SilentStorageError`` after ``seconds`` (``SILENT``)."""
        self.ask(request)
        seconds = SILENT if seconds is None else seconds
        if not self.wait(seconds):
            raise self.give_up(f"did not answer within {seconds:g} s")
        return cast("_Answer", self.answer())

    def ask(self, request: Callable[[], Any]) -> None:
        """Begin with it. ``SilentStorageError`` when one before was given up."""
        if self.silent:
            raise SilentStorageError(self.silent)
        if self._thread is None:
            queues = (self._asked, self._answers)
            self._thread = threading.Thread(
                target=_answer, args=queues, name="storage", daemon=True
            )
            self._thread.start()
        self._asked.put(request)

    def wait(self, seconds: float) -> bool:
        """Whether there is an answer by then."""
        try:
            self._answers.put(self._answers.get(timeout=seconds))
        except queue.Empty:
            return False
        return True

    def answer(self) -> Any:
        """What is there, or what was raised."""
        found, error = self._answers.get()
        if error is not None:
            raise error
        return found

    def give_up(self, why: str) -> SilentStorageError:
        """Ask nothing more."""
        self.silent = f"{self._url} {why}: no more of it was looked at"
        self._asked.put(None)
        return SilentStorageError(self.silent)

    def __del__(self) -> None:
        self._asked.put(None)


def _answer(asked: _Asked, answers: _Answers) -> None:
    """Without a reference to who asks, which would keep the thread for ever."""
    while (request := asked.get()) is not None:
        try:
            answers.put((request(), None))
        except BaseException as error:  # noqa: BLE001 - of whatever kind: it is who asked's
            answers.put((None, error))
        del request


class FsspecStorage(Listed):
    """Whatever fsspec knows: S3, GCS, HDFS, HTTP; fsspec is imported here, when it is needed."""

    def __init__(self, url: str) -> None:
        super().__init__()
        self._url = url
        self.scheme = url.partition(":")[0]
        self._requests = Requests(url)
        try:
            from fsspec.core import url_to_fs

            self._fs, root = self._requests(lambda: url_to_fs(url))
        except ImportError as error:
            raise ConfigurationError(
                f"{url} needs a package that is not installed ({error}): install "
                "'hawork[storage]' and fsspec's driver for it, such as s3fs or gcsfs"
            ) from None
        except SilentStorageError:
            raise
        except ValueError as error:
            raise ConfigurationError(f"{url} cannot be opened: {error}") from None
        except Exception as error:  # some drivers connect here, and each has exceptions of its own
            raise StoreUnavailableError(
                f"{url} cannot be opened: {error or type(error).__name__}"
            ) from error
        self._root = str(root).rstrip("/")

    def listing(self) -> Sequence[StoredFile]:
        try:
            found = self._found()
        except SilentStorageError:
            raise
        except Exception as error:  # every driver of fsspec has exceptions of its own
            raise StoreUnavailableError(
                f"{self._url} cannot be listed: {error or type(error).__name__}"
            ) from error
        files = []
        for path, facts in found.items():
            name = str(path).removeprefix(self._root).strip("/")
            size = facts.get("size")
            if facts.get("type") == "file" and name and isinstance(size, int):
                files.append(StoredFile(name, size, _modified(facts)))
        return files

    def _found(self) -> dict[str, dict[str, Any]]:
        """A listing is many requests, of which one hears nothing until the last: whether the server
        is silent is asked beside it.
        """
        requests, beside = self._requests, Requests(self._url)
        until = SYSTEM_CLOCK.monotonic() + LISTING
        requests.ask(lambda: self._fs.find(self._root, detail=True))
        while not requests.wait(min(SILENT / 2, max(until - SYSTEM_CLOCK.monotonic(), 0.0))):
            if SYSTEM_CLOCK.monotonic() >= until:
                raise requests.give_up(f"was not listed within {LISTING:g} s")
            try:
                beside(lambda: self._fs.exists(self._root), SILENT / 2)
            except SilentStorageError:
                raise requests.give_up(f"did not answer within {SILENT:g} s") from None
            except Exception:  # noqa: BLE001 - an answer, too; the listing says more of it
                pass
        return cast("dict[str, dict[str, Any]]", requests.answer())

    def open(self, name: str) -> BinaryIO:
        if inside(name) is None:
            raise StoreUnavailableError(f"{name} leads out of {self._url}: it is not opened")
        try:
            file = self._requests(lambda: self._fs.open(f"{self._root}/{name}", "rb"))
        except SilentStorageError:
            raise
        except Exception as error:  # every driver of fsspec has exceptions of its own
            raise StoreUnavailableError(
                f"{name} of {self._url} cannot be read: {error or type(error).__name__}"
            ) from error
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
