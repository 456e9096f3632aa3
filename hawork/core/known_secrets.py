"""Known secrets, found in every form in which a text may carry them.

A secret that is known (the run's token, a password of the options) is removed wherever its
characters appear: plain, escaped for JSON, HTML or a URL, in hexadecimal digits, or in Base64 at
any of its three alignments, so that ``Basic`` headers and encoded files are covered.
"""

from __future__ import annotations

import base64
import html
import json
import re
import shlex
import urllib.parse
import zlib
from collections.abc import Iterable, Iterator
from functools import cached_property

HIDDEN = "(left out)"

SHORTEST = 4
"""Characters of a secret that is looked for: shorter ones are parts of any text."""
_WORD = 6
"""Up to here a secret is replaced only where it stands as a word of its own."""
_CUT = ("…", "...")
"""What a text ends with that was shortened, perhaps in the middle of a secret."""
_COMMON = frozenset({"true", "false", "none", "null", "open", "creator", "root", "admin"})
"""Values of options that are words of any text."""
_ESCAPES = 3
"""How often a text may be put into JSON that is put into JSON."""
_LARGEST = 64 << 20
"""Bytes of a compressed part that are looked at."""


class KnownSecrets:
    """The secrets of a cluster, and what removes them from texts and bytes."""

    def __init__(self, secrets: Iterable[str]) -> None:
        words = {line.strip() for each in secrets for line in each.splitlines()}
        self.secrets = sorted(
            (each for each in words if len(each) >= SHORTEST and each.lower() not in _COMMON),
            key=len,
            reverse=True,
        )

    def __bool__(self) -> bool:
        return bool(self.secrets)

    def in_text(self, text: str) -> str:
        """The text without any form of any secret, nor the beginning of one where it was cut."""
        if not self.secrets:
            return text
        return self._without_cut(self._pattern.sub(HIDDEN, text))

    def in_bytes(self, data: bytes) -> bytes:
        """The bytes without any form of any secret. The length may change."""
        return self._byte_pattern.sub(HIDDEN.encode(), data) if self.secrets else data

    def are_in(self, data: bytes) -> bool:
        """Whether the bytes, or what is compressed in them, hold a form of a secret."""
        return bool(self.secrets) and any(
            self._byte_pattern.search(part) for part in _unpacked(data)
        )

    @cached_property
    def _forms(self) -> list[str]:
        forms = {form for secret in self.secrets for form in _forms(secret)}
        return sorted(forms, key=len, reverse=True)

    @cached_property
    def _pattern(self) -> re.Pattern[str]:
        return re.compile("|".join(_expression(form) for form in self._forms))

    @cached_property
    def _byte_pattern(self) -> re.Pattern[bytes]:
        wide = {
            secret.encode(code) for secret in self.secrets for code in ("utf-16-le", "utf-16-be")
        }
        narrow = [_expression(form).encode() for form in self._forms]
        return re.compile(b"|".join([*narrow, *map(re.escape, sorted(wide, key=len)[::-1])]))

    def _without_cut(self, text: str) -> str:
        mark = next((mark for mark in _CUT if text.endswith(mark)), None)
        if mark is None:
            return text
        whole = text.removesuffix(mark)
        for form in self._forms:
            for length in range(min(len(form), len(whole)) - 1, SHORTEST - 1, -1):
                if whole.endswith(form[:length]):
                    return f"{whole[:-length]}{HIDDEN}{mark}"
        return text


def _expression(form: str) -> str:
    plain = re.escape(form)
    if len(form) < _WORD and form.isalnum():
        return rf"(?<![A-Za-z0-9]){plain}(?![A-Za-z0-9])"
    return plain


def _forms(secret: str) -> Iterator[str]:
    data = secret.encode(errors="surrogatepass")
    texts = {secret}
    for _ in range(_ESCAPES):
        texts |= {
            json.dumps(each, ensure_ascii=escaped)[1:-1]
            for each in texts
            for escaped in (True, False)
        }
    for text in texts:
        yield text
        yield html.escape(text)
        yield html.escape(text, quote=False)
    yield repr(secret)[1:-1]
    yield secret.replace("'", "''")  # YAML and SQL
    yield shlex.quote(secret).strip("'")
    for safe in ("", "/", "~", "-_.!~*'()"):
        for quoted in (urllib.parse.quote(data, safe), urllib.parse.quote_plus(data, safe)):
            yield quoted
            yield re.sub(r"%[0-9A-F]{2}", lambda found: found[0].lower(), quoted)
    yield "".join(f"%{byte:02X}" for byte in data)
    yield "".join(f"%{byte:02x}" for byte in data)
    yield data.hex()
    yield data.hex().upper()
    yield from _base64(data)


def _base64(data: bytes) -> Iterator[str]:
    """The digits that ``data`` has in Base64 wherever it begins within a longer text."""
    for before in range(3):
        digits = base64.b64encode(bytes(before) + data).decode().rstrip("=")
        # The first and the last digit may hold bits of the neighbours.
        first = -(-before * 8 // 6)
        last = (before + len(data)) * 8 // 6
        yield digits[first:last]
        yield digits[first:last].translate(_URL_SAFE)


_URL_SAFE = str.maketrans("+/", "-_")


def _unpacked(data: bytes, depth: int = 3) -> Iterator[bytes]:
    """The bytes, and those of every zip member, gzip and zlib stream in them."""
    yield data
    if depth == 0:
        return
    for match in re.finditer(rb"\x1f\x8b\x08|\x78[\x01\x5e\x9c\xda]|PK\x03\x04", data):
        inner = _inflated(data, match.start())
        if inner:
            yield from _unpacked(inner, depth - 1)


def _inflated(data: bytes, start: int) -> bytes:
    kind, begin = zlib.MAX_WBITS | 32, start
    if data.startswith(b"PK", start):
        lengths = data[start + 26 : start + 30]
        if len(lengths) < 4:
            return b""
        begin = start + 30 + int.from_bytes(lengths[:2], "little")
        begin += int.from_bytes(lengths[2:], "little")
        kind = -zlib.MAX_WBITS
        if data[start + 8 : start + 10] == b"\0\0":
            return b""  # stored as it is, and looked at as it is
    try:
        return zlib.decompressobj(kind).decompress(data[begin:], _LARGEST)
    except zlib.error:
        return b""
