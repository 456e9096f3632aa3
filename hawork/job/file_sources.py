"""Sources that read files: CSV and lines, plain or compressed.

A position is a byte offset (in the uncompressed data), found without slowing down reading:
lines are taken in chunks, and the offset is added up only when it is asked for.
"""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO, cast

from hawork.core.errors import ConfigurationError, JobExecutionError
from hawork.core.user_files import absolute
from hawork.job.sources import SourceReader, check_rate

_CHUNK_BYTES = 1 << 16
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


class CsvSource:
    """The rows of a CSV file with a header, as dicts of texts; ``.csv``, ``.csv.gz``, ``.csv.zip``.

    Blank lines are skipped. A row with more or fewer fields than the header fails the job.

    >>> CsvSource("/data/flights.csv.zip", records_per_second=20_000)
    CsvSource('/data/flights.csv.zip')
    """

    bounded = True

    def __init__(
        self,
        path: str | os.PathLike[str],
        records_per_second: float | None = None,
        delimiter: str = ",",
    ) -> None:
        self.path = str(absolute(path))
        self.delimiter = delimiter
        self.records_per_second = check_rate("CsvSource", records_per_second)

    def open(self, position: Any) -> SourceReader:
        return _CsvReader(self.path, self.delimiter, position)

    def __repr__(self) -> str:
        return f"CsvSource({self.path!r})"


class LinesSource:
    """The lines of a text file, plain or compressed.

    ``format`` is ``text`` (each record a line without its end) or ``json`` (each record the
    value of a line); left out, it follows the name: ``.jsonl`` and ``.ndjson`` are JSON.
    """

    bounded = True

    def __init__(
        self,
        path: str | os.PathLike[str],
        records_per_second: float | None = None,
        format: str | None = None,
    ) -> None:
        self.path = str(absolute(path))
        if format is None:
            plain = self.path.removesuffix(".gz").removesuffix(".zip")
            format = "json" if plain.endswith((".jsonl", ".ndjson", ".json")) else "text"
        if format not in ("text", "json"):
            raise ConfigurationError(f"format {format!r} of LinesSource is unknown: text or json")
        self.format = format
        self.records_per_second = check_rate("LinesSource", records_per_second)

    def open(self, position: Any) -> SourceReader:
        return _LinesReader(self.path, self.format == "json", position)

    def __repr__(self) -> str:
        return f"LinesSource({self.path!r})"


class _ByteLines:
    """Decoded lines of a file, and the byte offset behind those taken so far."""

    def __init__(self, file: BinaryIO, offset: int) -> None:
        self._file = file
        self._chunk: list[bytes] = []
        self._chunk_offset = offset
        self._lines_before = 0
        file.seek(offset)

    def __iter__(self) -> Iterator[str]:
        while chunk := self._file.readlines(_CHUNK_BYTES):
            self._chunk_offset += sum(map(len, self._chunk))
            self._lines_before += len(self._chunk)
            self._chunk = chunk
            yield from map(bytes.decode, chunk)

    def offset(self, taken: int) -> int:
        """Where the line after the first ``taken`` lines begins."""
        return self._chunk_offset + sum(map(len, self._chunk[: taken - self._lines_before]))


class _CsvReader:
    def __init__(self, path: str, delimiter: str, position: Any) -> None:
        self._path = path
        self._delimiter = delimiter
        self._file = _open_input(path)
        self._records = 0
        try:
            self._start(_first_offset(self._file))
            self._header = self._read_header()
            if position is not None:
                self._records = position["record"]
                self._start(_checked_offset(self._file, path, position["offset"]))
        except BaseException:
            self._file.close()
            raise

    def _start(self, offset: int) -> None:
        self._lines = _ByteLines(self._file, offset)
        self._rows = csv.reader(self._lines, delimiter=self._delimiter, strict=True)

    def _read_header(self) -> list[str]:
        header = next(iter(self._take(1)), None)
        if not header:
            raise JobExecutionError(f"CSV file {self._path} has no header: its first line is empty")
        if len(set(header)) < len(header):
            raise JobExecutionError(f"CSV file {self._path} has a header that names a field twice")
        return header

    def _take(self, limit: int) -> list[list[str]]:
        try:
            return list(islice(self._rows, limit))
        except (csv.Error, UnicodeDecodeError) as error:
            raise JobExecutionError(
                f"CSV file {self._path} cannot be read beyond record {self._records}: {error}"
            ) from None

    def read(self, limit: int) -> list[dict[str, str]] | None:
        header = self._header
        while rows := self._take(limit):
            try:
                records = [dict(zip(header, row, strict=True)) for row in rows if row]
            except ValueError:
                raise self._ragged(rows) from None
            if records:
                self._records += len(records)
                return records
        return None

    def _ragged(self, rows: list[list[str]]) -> JobExecutionError:
        number = self._records
        for row in filter(None, rows):
            if len(row) != len(self._header):
                return JobExecutionError(
                    f"record {number} of CSV file {self._path} has {len(row)} fields and the "
                    f"header has {len(self._header)}: correct the file"
                )
            number += 1
        raise AssertionError("one of the rows is ragged")

    def position(self) -> dict[str, int]:
        return {"record": self._records, "offset": self._lines.offset(self._rows.line_num)}

    def close(self) -> None:
        self._file.close()


class _LinesReader:
    def __init__(self, path: str, parse_json: bool, position: Any) -> None:
        self._path = path
        self._parse = _json_parser() if parse_json else None
        self._file = _open_input(path)
        self._records = 0
        try:
            offset = _first_offset(self._file)
            if position is not None:
                self._records = position["record"]
                offset = _checked_offset(self._file, path, position["offset"])
        except BaseException:
            self._file.close()
            raise
        self._lines = _ByteLines(self._file, offset)
        self._texts = iter(self._lines)
        self._taken = 0

    def read(self, limit: int) -> list[Any] | None:
        try:
            lines: list[Any] = [line.rstrip("\r\n") for line in islice(self._texts, limit)]
            self._taken += len(lines)
            if self._parse is not None:
                lines = [self._parse(line) for line in lines]
        except ValueError as error:
            raise JobExecutionError(
                f"file {self._path} cannot be read beyond record {self._records}: {error}"
            ) from None
        self._records += len(lines)
        return lines or None

    def position(self) -> dict[str, int]:
        return {"record": self._records, "offset": self._lines.offset(self._taken)}

    def close(self) -> None:
        self._file.close()


def _json_parser() -> Callable[[str], Any]:
    import json

    return json.loads


def _first_offset(file: BinaryIO) -> int:
    return len(_BYTE_ORDER_MARK) if file.read(3) == _BYTE_ORDER_MARK else 0


def _checked_offset(file: BinaryIO, path: str, offset: int) -> int:
    """The offset itself, unless the file has become shorter since the snapshot."""
    file.seek(max(0, offset - 1))
    if offset and not file.read(1):
        raise JobExecutionError(
            f"input file {path} ends before byte {offset}, where the checkpoint goes on: "
            "put the file back as it was"
        )
    return offset


def _open_input(path: str) -> BinaryIO:
    """The file's data, uncompressed; ``JobExecutionError`` when it cannot be opened."""
    try:
        if path.endswith(".gz"):
            import gzip

            return cast(BinaryIO, io.BufferedReader(cast(Any, gzip.open(path)), _CHUNK_BYTES))
        if path.endswith(".zip"):
            return cast(BinaryIO, _open_zip(path))
        return Path(path).open("rb", buffering=_CHUNK_BYTES)
    except OSError as error:
        raise JobExecutionError(
            f"input file {path} cannot be opened: {error.strerror or error}"
        ) from error


def _open_zip(path: str) -> io.BufferedReader:
    import zipfile

    try:
        archive = zipfile.ZipFile(path)
    except zipfile.BadZipFile as error:
        raise JobExecutionError(f"input file {path} is not a zip file: {error}") from None
    names = [name for name in archive.namelist() if not name.endswith("/")]
    if len(names) != 1:
        archive.close()
        raise JobExecutionError(
            f"input file {path} holds {len(names)} files: pack exactly one into it"
        )
    # The member keeps the archive's file open until it is closed itself.
    member = archive.open(names[0])
    archive.close()
    return io.BufferedReader(cast(Any, member), _CHUNK_BYTES)
