"""A tar, plain or compressed, with random access to what HA data consists of.

A compressed tar has no directory and no way to begin in the middle. It is read once, from
beginning to end; the files that an inspector opens are kept in a temporary file. State files,
of which only the size matters, are not: opening one reads the archive again.
"""

from __future__ import annotations

import io
import posixpath
import re
import shutil
import tarfile
import tempfile
import weakref
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, Any, BinaryIO, Final, Self, cast

from hawork.core.errors import StoreUnavailableError
from hawork.inspect.storage import LARGEST_FILE, MOST_FILES, Listed, StoredFile, member_name
from hawork.story.packed_files import DAMAGED, open_unpacked

__all__ = ["TarStorage", "is_tar"]

_OPENED: Final = re.compile(
    r"completedCheckpoint|submitted(?:JobGraph|ExecutionPlan)|_metadata$"
    r"|.*\.(?:json|ya?ml)$|(?:log|snapshot)\."
)
_SMALL: Final = 16 << 10
_IN_MEMORY: Final = 16 << 20
_PIECE: Final = 1 << 20
_BUFFER: Final = 64 << 10
"""tarfile copies what is left of its buffer with every read of a header."""
_MOST_BYTES: Final = 1 << 40
_MOST_KEPT: Final = 4 << 30
"""Bytes that are written to the disk of what is in an archive: for what does not fit the archive is
read again, and a file that does not fit by itself is not read."""
_USUAL: Final = re.compile(
    rb"([\x01-\x7f]*[\x01-\x2e\x30-\x7f])\0+.{24}"  # name; mode, owner, group
    rb"([0-7]{11})[\0 ]([0-7]{11})[\0 ]([0-7]{6,7}[\0 ]{1,2})"  # size, time, checksum
    rb"[0\0]\0{100}ustar[\0 ].{82}\0{155}.{12}",  # type, link, magic; owners; prefix
    re.DOTALL,
)
"""The header of a file with a short name in ASCII and numbers in octal; of 512 bytes."""
_BOMB: Final = 2000
"""So many times as many bytes as were packed: more than any storageDir, and gzip's limit."""
_DAMAGE: Final = (tarfile.TarError, *DAMAGED, ValueError)


def is_tar(path: Path) -> bool:
    """Whether a file begins as a tar, once it is unpacked; or is packed and damaged.

    ``ConfigurationError`` for one that is packed in a way that is not read here.
    """
    with open_unpacked(path) as file:
        try:
            block = file.read(tarfile.BLOCKSIZE)
        except DAMAGED:
            return True
    if not any(block):
        return len(block) == tarfile.BLOCKSIZE  # an empty tar
    try:
        tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
    except tarfile.TarError:
        return False
    return True


class TarStorage(Listed):
    """A tar of a directory; of several members of one name the last counts, as when unpacking."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self._path = path
        self._kept: dict[str, tuple[int, int]] = {}
        self._spool: IO[bytes] | None = None
        self._files: list[StoredFile] | None = None
        self._names: set[str] = set()

    def listing(self) -> Sequence[StoredFile]:
        if self._files is None:
            self._files = self._scan()
            self._names = {file.name for file in self._files}
        return self._files

    def open(self, name: str) -> BinaryIO:
        self.listing()
        if name in self._kept and self._spool is not None:
            start, length = self._kept[name]
            self._spool.seek(start)
            return io.BytesIO(self._spool.read(length))
        if name not in self._names:
            raise StoreUnavailableError(f"{name} is not in {self._path}")
        return self._again(name)

    def _scan(self) -> list[StoredFile]:
        spool = self._spool = tempfile.SpooledTemporaryFile(_IN_MEMORY)  # noqa: SIM115
        weakref.finalize(self, spool.close)
        found: dict[str, StoredFile] = {}
        links: dict[str, str] = {}
        self.begin()
        try:
            for tar, member in self._members():
                self._member(tar, member, found, links, spool)
                if len(found) > MOST_FILES:
                    raise ValueError(f"it has more than {MOST_FILES} files")
        except _DAMAGE as error:
            reason = str(error) or type(error).__name__
            self.miss(
                f"{self._path.name} cannot be read to its end ({reason}): {len(found)} files were "
                "found before that"
            )
        for name, target in links.items():
            if target in found:
                found[name] = StoredFile(name, found[target].size, found[target].modified)
                if target in self._kept:
                    self._kept[name] = self._kept[target]
            else:
                self.pass_over(name, f"is a link to {target}, which is not there")
        return list(found.values())

    def _members(self) -> Iterator[tuple[tarfile.TarFile, tarfile.TarInfo]]:
        with open_unpacked(self._path) as file:
            counted = cast("Any", _Counted(file, self._path.stat().st_size))
            with tarfile.open(fileobj=counted, mode="r|", bufsize=_BUFFER, tarinfo=_Header) as tar:
                for member in tar:
                    cast("Any", tar).members = []  # tarfile remembers each otherwise
                    yield tar, member
                if any(cast("Any", tar).fileobj.read(tarfile.BLOCKSIZE)):
                    raise tarfile.ReadError("it goes on behind a block of zeros")

    def _member(
        self,
        tar: tarfile.TarFile,
        member: tarfile.TarInfo,
        found: dict[str, StoredFile],
        links: dict[str, str],
        spool: IO[bytes],
    ) -> None:
        name = member_name(member.name)
        if member.isdir():
            if name is not None:
                self.folders.add(name)
            return
        if name is None:
            self.miss(f"{member.name!r} leads out of the archive: not looked at")
            return
        if member.issym() or member.islnk():
            folder = posixpath.dirname(name) if member.issym() else ""
            link = member.linkname.lstrip("/") if member.islnk() else member.linkname
            target = _target(folder, link)
            if target is None:
                self.pass_over(name, "is a link that leads out: it is not followed")
            else:
                links[name] = target
            return
        if not member.isreg():
            self.pass_over(name, "is not a regular file: it is not opened")
            return
        links.pop(name, None)
        self.unseen.discard(name)
        found[name] = StoredFile(name, member.size, float(member.mtime))
        self._kept.pop(name, None)
        wanted = member.size <= _SMALL or _OPENED.match(posixpath.basename(name))
        if wanted and member.size <= min(_most(member), _MOST_KEPT - spool.tell()):
            start = spool.tell()
            _copy(tar, member, spool)
            self._kept[name] = (start, spool.tell() - start)

    def _again(self, name: str) -> BinaryIO:
        """The bytes of a file that was not kept, into a file of its own."""
        result = tempfile.SpooledTemporaryFile(_IN_MEMORY)  # noqa: SIM115
        found, reason = False, "it is a link"
        try:
            for tar, member in self._members():
                if member.isreg() and member_name(member.name) == name:
                    if member.size > _most(member):
                        raise ValueError(f"it has more than {_most(member)} bytes")
                    result.seek(0)
                    result.truncate()
                    found = False
                    _copy(tar, member, result)
                    found = True
        except _DAMAGE as error:
            reason = str(error)
        if not found:
            result.close()
            raise StoreUnavailableError(f"{name} cannot be read: {reason}")
        result.seek(0)
        return cast("BinaryIO", result)


def _most(member: tarfile.TarInfo) -> int:
    """Bytes of a file up to which it is read. A sparse one may stand for any number of zeros."""
    return LARGEST_FILE if member.issparse() else _MOST_KEPT


def _copy(tar: tarfile.TarFile, member: tarfile.TarInfo, target: IO[bytes]) -> None:
    if member.size <= _SMALL and not member.issparse():
        # The stream stands where the member begins: a file object would cost more than its bytes.
        data = cast("Any", tar).fileobj.read(member.size)
        if len(data) != member.size:
            raise tarfile.ReadError("unexpected end of data")
        target.write(data)
        return
    content = tar.extractfile(member)
    assert content is not None  # the member is a regular file
    shutil.copyfileobj(content, target, _PIECE)


def _target(folder: str, link: str) -> str | None:
    """The member that a link in ``folder`` leads to; ``None`` when it leads out of the archive."""
    if link.startswith("/"):
        return None
    target = posixpath.normpath(posixpath.join(folder, link))
    return None if target == ".." or target.startswith("../") else target


class _Header(tarfile.TarInfo):
    """What ``tarfile`` makes of a header; the usual one of a file three times as fast.

    A header that is damaged or cut off is an error, wherever it stands. Behind the first one
    ``tarfile`` takes it for the end, and all files after it would be missing.
    """

    @classmethod
    def fromtarfile(cls, tar: tarfile.TarFile) -> Self:
        try:
            return super().fromtarfile(tar)
        except tarfile.HeaderError as error:
            if type(error).__name__ == "EOFHeaderError":  # the zeros at the end of every tar
                raise
            raise tarfile.ReadError(f"{error} at byte {tar.offset}") from None

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> Self:
        usual = _USUAL.fullmatch(buf) if len(buf) == tarfile.BLOCKSIZE else None
        if usual is None or sum(buf) - sum(usual[4]) + 8 * 32 != int(usual[4].strip(b"\0 "), 8):
            return super().frombuf(buf, encoding, errors)
        header = cls(usual[1].decode("ascii"))
        header.size, header.mtime = int(usual[2], 8), int(usual[3], 8)
        return header


class _Counted:
    """A stream that ends when it holds more than such an archive can hold in earnest."""

    def __init__(self, file: IO[bytes], packed: int) -> None:
        self._file = file
        self._left = min(_MOST_BYTES, max(packed, 1 << 20) * _BOMB)

    def read(self, size: int = -1) -> bytes:
        data = self._file.read(size)
        self._left -= len(data)
        if self._left < 0:
            raise ValueError("it unpacks to far more bytes than it has")
        return data
