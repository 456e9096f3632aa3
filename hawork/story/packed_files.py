"""Files that were packed for the way, known by their first bytes and not by their names.

gzip, bzip2 and xz are of the standard library; zstd is since Python 3.14, and before that of the
package ``zstandard``, where it is installed. Of the others it is said what unpacks them.
"""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any, Final, cast

from hawork.core.errors import ConfigurationError

__all__ = ["DAMAGED", "is_packed", "open_unpacked", "plain_name", "read_unpacked"]

DAMAGED: Final = (EOFError, OSError, zlib.error, lzma.LZMAError)
"""What reading a packed file raises that is damaged or cut off."""

_OPENERS: Final[dict[bytes, Callable[..., Any]]] = {
    b"\x1f\x8b": gzip.open,
    b"\xfd7zXZ\x00": lzma.open,
    b"BZh": bz2.open,
}
_ZSTD: Final = b"\x28\xb5\x2f\xfd"
_UNREADABLE: Final = {
    b"\x04\x22\x4d\x18": ("lz4", "lz4 -d"),
    b"\xff\x06\x00\x00sNaPpY": ("snappy", "snzip -d"),
    b"7z\xbc\xaf\x27\x1c": ("7-Zip", "7z x"),
    b"\x1f\x9d": ("compress", "uncompress"),
}
_HEAD: Final = max(map(len, (*_OPENERS, *_UNREADABLE, _ZSTD)))
_PIECE: Final = 1 << 12
"""Bytes that are unpacked at a time: what they hold, at most 32,000 times as many, is kept."""
_SUFFIXES: Final = (".gz", ".bz2", ".xz", ".zst")


def is_packed(path: Path) -> bool:
    """Whether it begins as a packed file. ``OSError`` when it cannot be read."""
    with path.open("rb") as file:
        head = file.read(_HEAD)
    return head.startswith((*_OPENERS, *_UNREADABLE, _ZSTD))


def open_unpacked(path: Path) -> IO[bytes]:
    """What is in a file, or in what is packed in it; reading may raise any of ``DAMAGED``.

    ``ConfigurationError`` says what unpacks it when nothing here does.
    """
    if not path.is_file():
        return path.open("rb")  # a pipe is read once, and its beginning is a part of it
    with path.open("rb") as file:
        head = file.read(_HEAD)
    for magic, opener in _OPENERS.items():
        if head.startswith(magic):
            return cast("IO[bytes]", opener(path, "rb"))
    if head.startswith(_ZSTD):
        return _zstd(path)
    for magic, (name, command) in _UNREADABLE.items():
        if head.startswith(magic):
            raise ConfigurationError(
                f"{path} is packed with {name}, which is not read here: unpack it first "
                f"('{command} {path.name}')"
            )
    return path.open("rb")


def read_unpacked(path: Path, most: int) -> bytes:
    """All of it. ``ConfigurationError`` for a file that is damaged, or has more bytes than that."""
    try:
        with open_unpacked(path) as file:
            data = file.read(most + 1)
    except DAMAGED as error:
        reason = getattr(error, "strerror", None) or error
        raise ConfigurationError(f"{path} cannot be read: {reason}") from None
    if len(data) > most:
        raise ConfigurationError(f"{path} has more than {most >> 20} MiB")
    return data


def plain_name(name: str) -> str:
    """A file's name without the ending that says how it is packed.

    >>> plain_name("jm-1.log.gz")
    'jm-1.log'
    """
    for suffix in _SUFFIXES:
        name = name.removesuffix(suffix)
    return name


def _zstd(path: Path) -> IO[bytes]:
    try:
        from compression import zstd  # since Python 3.14
    except ImportError:
        pass
    else:
        return cast("IO[bytes]", zstd.open(path, "rb"))
    try:
        import zstandard
    except ImportError:
        raise ConfigurationError(
            f"{path} is packed with zstd, which needs a package that is not installed: run 'pip "
            f"install zstandard', or unpack it first ('zstd -d {path.name}')"
        ) from None
    return cast("IO[bytes]", io.BufferedReader(_Frames(path.open("rb"), zstandard)))


class _Frames(io.RawIOBase):
    """What the package ``zstandard`` unpacks of zstd's frames. What is damaged in it is an
    ``OSError``, as of any other file; its own reader takes a frame that is cut off for whole.
    """

    def __init__(self, file: IO[bytes], package: Any) -> None:
        self._file = file
        self._package = package
        self._frame: Any = None
        self._packed = b""
        self._ready = b""

    def readable(self) -> bool:
        return True

    def readinto(self, target: Any) -> int:
        while not self._ready:
            self._packed = self._packed or self._file.read(_PIECE)
            if not self._packed:
                if self._frame is not None:
                    raise EOFError("Compressed file ended before the end of its last frame")
                return 0
            self._ready = self._next()
        data, self._ready = self._ready[: len(target)], self._ready[len(target) :]
        target[: len(data)] = data
        return len(data)

    def _next(self) -> bytes:
        if self._frame is None:
            self._frame = self._package.ZstdDecompressor().decompressobj()
        try:
            data: bytes = self._frame.decompress(self._packed)
        except self._package.ZstdError as error:
            raise OSError(f"it is damaged: {error}") from None
        self._packed = self._frame.unused_data if self._frame.eof else b""
        if self._frame.eof:
            self._frame = None
        return data

    def close(self) -> None:
        self._file.close()
        super().close()
