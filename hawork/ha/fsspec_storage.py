"""storageDir on anything fsspec knows: S3, GCS, HDFS and so on."""

from __future__ import annotations

import contextlib
import importlib
import secrets
from collections.abc import Iterator, Sequence
from typing import Any

from hawork.core.errors import (
    ConfigurationError,
    CorruptStateError,
    HaworkError,
    NotExistError,
    StoreUnavailableError,
)  # fmt: skip
from hawork.ha.state_storage import checked_path

_WHOLE_OBJECTS = frozenset(
    {"s3", "s3a", "gs", "gcs", "abfs", "abfss", "az", "adl", "oss", "r2", "memory"}
)
"""Stores on which an object appears whole or not at all, so that no rename is needed."""
_ABSENT = (FileNotFoundError, NotADirectoryError, IsADirectoryError)


class FsspecStateStorage:
    """A ``StateStorage`` below a URL; fsspec is imported here, when it is first needed."""

    def __init__(self, url: str) -> None:
        self._url = url
        try:
            fsspec = importlib.import_module("fsspec.core")
            fs, root = fsspec.url_to_fs(url, use_listings_cache=False)
        except ImportError as error:
            raise ConfigurationError(
                f"storageDir {url} needs a package that is not installed ({error}): "
                "install 'hawork[storage]' and fsspec's driver for it, such as s3fs or gcsfs"
            ) from error
        except ValueError as error:
            raise ConfigurationError(
                f"storageDir {url} cannot be opened ({error}): write file:/path, an absolute "
                "path, or a URL that fsspec knows"
            ) from error
        self._fs: Any = fs
        self._root = str(root).rstrip("/")

    def __repr__(self) -> str:
        return f"FsspecStateStorage({self._url!r})"

    def write(self, path: str, data: bytes, *, flush: bool = True, fresh: bool = False) -> None:
        """Where a rename does not replace (SFTP, HDFS), the old file goes first: for a moment
        there is none. What must not be missed has a pointer that says what it holds.
        """
        target = self._resolve(path)
        with self._translated("written", path):
            folder, _, name = target.rpartition("/")
            if not self._renames():
                if "memory" in self._protocols():
                    self._fs.makedirs(folder, exist_ok=True)
                self._fs.pipe_file(target, data)
                return
            self._fs.makedirs(folder, exist_ok=True)
            temporary = f"{folder}/.{name}.{secrets.token_hex(6)}.tmp"
            try:
                self._fs.pipe_file(temporary, data)
                self._move(temporary, target)
            except BaseException:
                with contextlib.suppress(Exception):
                    self._fs.rm_file(temporary)
                raise

    def read(self, path: str, most: int | None = None) -> bytes:
        target = self._resolve(path)
        with self._translated("read", path):
            if self._renames():
                found = self._fs.info(target)
                if found["type"] not in ("file", "link"):
                    raise CorruptStateError(
                        f"file {path} of {self._url} is not a regular file: remove it"
                    )
                # Not more than there is: a number out of a store decides no allocation.
                most = None if most is None else min(most, found["size"] + 1)
            data: bytes = self._fs.cat_file(target, end=most)
            return data if most is None else data[:most]

    def delete(self, path: str) -> bool:
        target = self._resolve(path)
        if not path:
            raise ConfigurationError("the path is empty: write the name of the file to delete")
        with self._translated("deleted", path):
            self._fs.invalidate_cache()
            there = True
            try:
                if self._type(target) == "directory":
                    raise CorruptStateError(
                        f"{path} of {self._url} is a directory where hawork has files only: it is "
                        "kept"
                    )
                self._fs.rm_file(target)
            except FileNotFoundError:
                there = False
        self._remove_empty_parents(target)
        return there

    def list(self, path: str, *, unfinished: bool = False) -> Sequence[str]:
        target = self._resolve(path)
        with self._translated("listed", path):
            self._fs.invalidate_cache()
            try:
                found = self._fs.ls(target, detail=False)
            except (FileNotFoundError, NotADirectoryError):
                return []
        names = {str(item).rstrip("/").rpartition("/")[2] for item in found}
        return sorted(name for name in names if name and (unfinished or not name.startswith(".")))

    def rename(self, source: str, target: str) -> None:
        """On object stores a copy and a deletion: repeat it after a failure."""
        with self._translated("renamed", source):
            self._move(self._resolve(source), self._resolve(target))

    def _move(self, source: str, target: str) -> None:
        try:
            self._fs.mv(source, target)
        except Exception:  # every driver has exceptions of its own for a name that is taken
            if not (self._fs.exists(target) and self._fs.exists(source)):
                raise
            self._fs.rm_file(target)
            self._fs.mv(source, target)

    def _remove_empty_parents(self, target: str) -> None:
        if not self._renames() and "memory" not in self._protocols():
            return  # an object store, which has no directories
        parent = target.rpartition("/")[0]
        while len(parent) > len(self._root):
            try:
                self._fs.rmdir(parent)
            except FileNotFoundError:
                pass
            except Exception:  # noqa: BLE001 - it holds something, in each driver's own words
                return
            parent = parent.rpartition("/")[0]

    def _renames(self) -> bool:
        """Whether a file may be seen half written, unless it is renamed when it is whole."""
        return not _WHOLE_OBJECTS & set(self._protocols())

    def _type(self, target: str) -> str:
        return str(self._fs.info(target)["type"])

    def _resolve(self, path: str) -> str:
        return f"{self._root}/{checked_path(path)}" if path else self._root

    def _protocols(self) -> tuple[str, ...]:
        protocol = self._fs.protocol
        return (protocol,) if isinstance(protocol, str) else tuple(protocol)

    @contextlib.contextmanager
    def _translated(self, done: str, path: str) -> Iterator[None]:
        try:
            yield
        except HaworkError:
            raise
        except Exception as error:  # every driver of fsspec has exceptions of its own
            # Of a write it is the place that is not there: a bucket, say, or its folder just now.
            if done in ("read", "renamed") and isinstance(error, _ABSENT):
                raise NotExistError(f"file {path} does not exist in {self._url}") from error
            reason = f"file {path} of {self._url} could not be {done}: "
            reason += str(error) or type(error).__name__
            if done == "read" and isinstance(error, PermissionError) and self._is_listed():
                raise CorruptStateError(
                    f"{reason}: give this process the right to read it, or remove it"
                ) from error
            raise StoreUnavailableError(reason) from error

    def _is_listed(self) -> bool:
        """Whether the store lets us in, so that what it refuses is of one object."""
        try:
            self._fs.ls(self._root, detail=False)
        except Exception:  # noqa: BLE001 - every driver of fsspec has exceptions of its own
            return False
        return True
