"""The files of a storage, found by the URLs that the data names them by.

Every URL in HA data is absolute. A file is *looked at* when its URL lies below one that is
mapped; of any other file the inspector says that it could not look, never that it is missing.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from types import MappingProxyType
from typing import Final, Protocol

from hawork.inspect.storage import StoredFile

__all__ = ["StoredFile", "StoredFiles", "comparable_url"]

_SCHEME: Final = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*):(.*)", re.DOTALL)
_SAME_STORE: Final = {"s3a": "s3", "s3p": "s3", "s3n": "s3", "wasbs": "wasb", "abfss": "abfs"}


class Reader(Protocol):
    """Reads a whole file by its name; ``OSError`` or ``HaworkError`` when it cannot."""

    def __call__(self, name: str, /) -> bytes: ...


def comparable_url(url: str) -> str:
    """One form for all ways to write a URL.

    >>> comparable_url("file:///srv/flink/"), comparable_url("/srv//flink")
    ('file:/srv/flink', 'file:/srv/flink')
    >>> comparable_url("s3a://bucket/ha")
    's3://bucket/ha'
    """
    match = _SCHEME.fullmatch(url)
    scheme, rest = (match[1].lower(), match[2]) if match else ("file", url)
    scheme = _SAME_STORE.get(scheme, scheme)
    authority = ""
    if rest.startswith("//"):
        authority, _, rest = rest[2:].partition("/")
        rest = f"/{rest}"
    if scheme == "file":
        authority = ""
    path = "/" + "/".join(part for part in rest.split("/") if part not in ("", "."))
    shown = f"//{authority}" if authority else ""
    return f"{scheme}:{shown}{path}".rstrip("/") or f"{scheme}:/"


class StoredFiles:
    """A listing, and which URLs it stands for.

    ``mapping`` leads from URLs to names in the listing (``""`` or ``.``: its root). ``complete``
    is ``False`` when something could not be listed: nothing is called missing then. ``unseen`` are
    files and folders that are there and were not looked at: nothing in or below them is.
    ``there`` are folders that are there, though they may be empty. ``digests`` are the SHA-256 of
    files in hexadecimal, where the files themselves were not kept, or not as they were.
    """

    def __init__(
        self,
        listing: Iterable[StoredFile],
        read: Reader,
        mapping: Mapping[str, str],
        *,
        complete: bool = True,
        unseen: Set[str] = frozenset(),
        there: Set[str] = frozenset(),
        digests: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        self._files = {file.name: file for file in listing}
        self._read = read
        self._mapping = sorted(
            ((comparable_url(url), _inside(name)) for url, name in mapping.items()),
            key=lambda pair: len(pair[0]),
            reverse=True,
        )
        self.complete = complete
        self.unseen = unseen
        self.there = there
        self.digests = digests
        self._folders: dict[str, list[StoredFile]] | None = None
        self._above: set[str] = set()
        self._called: dict[str, str] = {}
        self._names: dict[str, str | None] = {}

    def __iter__(self) -> Iterator[StoredFile]:
        return iter(self._files.values())

    def __len__(self) -> int:
        return len(self._files)

    @property
    def mapping(self) -> Sequence[tuple[str, str]]:
        """URL and name, the longest URL first."""
        return self._mapping

    def name_of(self, url: str) -> str | None:
        """The name a URL has in the listing; ``None`` when it is not below what is mapped.

        A URL that climbs out of the mapped root has none.
        """
        above, _, last = url.rpartition("/")
        if not above or above.endswith("/") or last in ("", ".", ".."):
            return self._name_of(url)
        if above not in self._names:
            self._names[above] = self._folder_of(above)
        folder = self._names[above]
        if folder is None:
            return self._name_of(url)
        return f"{folder}/{last}" if folder else last

    def _folder_of(self, url: str) -> str | None:
        """The name of a folder, when that of everything in it begins with this."""
        below = f"{comparable_url(url).rstrip('/')}/"
        if any(root.startswith(below) for root, _ in self._mapping):
            return None
        return self._name_of(url)

    def _name_of(self, url: str) -> str | None:
        wanted = comparable_url(url)
        for root, name in self._mapping:
            if wanted == root:
                return name
            if wanted.startswith(f"{root.rstrip('/')}/"):
                below = wanted[len(root.rstrip("/")) + 1 :]
                if ".." in below.split("/"):
                    return None
                return posixpath.join(name, below) if name else below
        return None

    def shown(self, url: str) -> str:
        """What a finding calls the file: its name in the storage, or else the URL."""
        return self.name_of(url) or url

    def changed(self, contents: Mapping[str, bytes | None]) -> StoredFiles:
        """The same with other contents of these files; ``None``: without the file."""
        files = {name: file for name, file in self._files.items() if name not in contents}
        there = {name: data for name, data in contents.items() if data is not None}
        for name, data in there.items():
            files[name] = StoredFile(name, len(data), None)

        def read(name: str, /) -> bytes:
            return there[name] if name in there else self._read(name)

        digests = {name: each for name, each in self.digests.items() if name not in contents}
        return StoredFiles(
            files.values(), read, dict(self._mapping), complete=self.complete, unseen=self.unseen,
            there=self.there, digests=digests,
        )  # fmt: skip

    def would_list(self, name: str) -> bool:
        """Whether a file or folder of this name would be listed if it were there."""
        while self.complete and self.unseen and name:
            if name in self.unseen:
                return False
            name = posixpath.dirname(name)
        return self.complete

    def would_list_below(self, folder: str) -> bool:
        """Whether each file in this folder, at whatever depth, is listed."""
        below = f"{folder}/" if folder else ""
        inside = any(name.startswith(below) for name in self.unseen)
        return self.would_list(folder) and not inside

    def get(self, name: str) -> StoredFile | None:
        return self._files.get(name)

    def read(self, name: str) -> bytes:
        return self._read(name)

    def folder(self, name: str) -> Sequence[StoredFile]:
        """The files directly in a folder."""
        if self._folders is None:
            self._folders = {}
            for file in self._files.values():
                self._folders.setdefault(file.name.rpartition("/")[0], []).append(file)
        return self._folders.get(name.strip("/"), ())

    @property
    def folders(self) -> Iterable[str]:
        """Every folder that has files directly in it."""
        self.folder("")
        assert self._folders is not None
        return self._folders.keys()

    def has_below(self, name: str) -> bool:
        """Whether any file lies in this folder, at whatever depth."""
        if not self._above:
            for folder in self.folders:
                while folder not in self._above:
                    self._above.add(folder)
                    folder = posixpath.dirname(folder)
        return name in self._above

    def elsewhere(self, name: str) -> str | None:
        """A file of the same name in another folder."""
        if not self._called:
            self._called = {posixpath.basename(each): each for each in self._files}
        return self._called.get(posixpath.basename(name))


def _inside(name: str) -> str:
    normal = posixpath.normpath(name.strip("/") or ".")
    return "" if normal == "." else normal
