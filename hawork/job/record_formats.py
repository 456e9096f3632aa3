"""Records into the bytes of output files: JSON lines and CSV."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from typing import Any, Protocol

from hawork.core.errors import JobExecutionError

_encode = json.JSONEncoder(ensure_ascii=False, allow_nan=False).encode


class RecordFormat(Protocol):
    """The format of one file; ``encode`` is called in the order of the file."""

    def encode(self, records: Sequence[Any]) -> bytes:
        """``JobExecutionError`` names a record that cannot be written."""


def record_format(name: str) -> RecordFormat:
    """A new file's format: ``jsonl`` or ``csv``."""
    return CsvRecords() if name == "csv" else JsonLines()


class JsonLines:
    """One JSON value per line."""

    def encode(self, records: Sequence[Any]) -> bytes:
        try:
            return "".join([_encode(record) + "\n" for record in records]).encode()
        except (TypeError, ValueError, RecursionError):
            for record in records:
                try:
                    _encode(record).encode()
                except (TypeError, ValueError, RecursionError) as error:
                    raise _unwritable(record, str(error)) from None
            raise


class CsvRecords:
    """A header and a row per dict; the first one's fields are everyone's."""

    def __init__(self) -> None:
        self._fields: list[str] | None = None

    def encode(self, records: Sequence[Any]) -> bytes:
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        for record in records:
            if not isinstance(record, dict):
                raise _unwritable(record, "a CSV file takes dicts")
            if self._fields is None:
                self._fields = list(record)
                writer.writerow(self._fields)
            if record.keys() != set(self._fields):
                raise _unwritable(record, f"the columns are {', '.join(self._fields)}")
            writer.writerow([_cell(record, field) for field in self._fields])
        try:
            return text.getvalue().encode()
        except UnicodeEncodeError as error:
            raise _unwritable(records[0], str(error)) from None


def _cell(record: dict[str, Any], field: str) -> Any:
    value = record[field]
    if isinstance(value, dict | list | tuple):
        try:
            return _encode(value)
        except (TypeError, ValueError) as error:
            raise _unwritable(record, str(error)) from None
    return value


def _unwritable(record: Any, why: str) -> JobExecutionError:
    shown = repr(record)
    if len(shown) > 80:
        shown = shown[:77] + "..."
    return JobExecutionError(f"record {shown} cannot be written to the output: {why}")
