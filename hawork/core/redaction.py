"""Secrets are removed before a run, a report or an error message leaves this machine.

Two ways, one after the other. What is *known* is removed in every form (``known_secrets.py``).
What is not is found by the structure that carries it: a value whose key is sensitive, whatever
encloses it (a mapping, JSON, YAML, properties, XML, a URL's query, a command line). A key is
sensitive when ``GlobalConfiguration.isSensitive`` of Flink 1.20 says so, or by the words below.
What is in doubt is left out.
"""

from __future__ import annotations

import errno
import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from hawork.core.known_secrets import HIDDEN, KnownSecrets

__all__ = ["HIDDEN", "Redaction", "is_sensitive", "secret_values", "secrets_in"]

_WORDS = (
    # Flink's SENSITIVE_KEYS, without their separators.
    "password", "secret", "fsazureaccountkey", "apikey", "authparams", "servicekey", "token",
    "basicauth", "jaas", "httpheaders",
    # And those of other systems whose options and messages meet Flink's.
    "passwd", "passphrase", "passcode", "passwort", "credential", "authorization", "accesskey",
    "accountkey", "privatekey", "sharedkey", "signingkey", "encryptionkey", "masterkey",
    "sessionkey", "storagekey", "clientkey", "keydata", "clientcertificatedata", "username",
    "connectionstring", "cookie", "dockerconfigjson",
)  # fmt: skip
_PARTS = frozenset({
    "pwd", "pass", "pw", "psk", "otp", "sig", "signature", "sas", "auth", "bearer", "cred", "creds",
    "jwt", "dsn", "userinfo",
})  # fmt: skip
"""Words that are sensitive as a whole part of a key only: ``compass`` has no password."""
_ENDS = re.compile(r"(?<!^by)(?<!^com)(?<!^sur)(?<!^tres)pass$|pwd$")
"""As in ``PGPASS``."""
_IN_QUERY = frozenset({"key", "code"})
"""Sensitive in the query of a URL, as Google's and Azure's have them."""
_HARMLESS = frozenset({"hawork.rest.token-file", "hawork.rest.without-token"})
"""A path and a choice: an explanation of a run needs them."""
_NO_SECRET = re.compile(
    r"user-?name=|=\s*\d+(?:\.\d+)?\s*(?:[numμ]?s|min|h|d|[kmgt]?i?b|[a-z]*(?:second|minute|hour|day|byte)s?)$",
    re.IGNORECASE,
)
"""Options that are not shown, but whose values are words and durations of any text."""
_WHOLE_LINE = ("authorization", "cookie", "httpheaders")
"""Headers, whose values have blanks."""

_CANDIDATE = re.compile(
    "|".join(sorted({each[:6] for each in _WORDS} | {
        "basic", "http.?head", "auth", "azure", "acc[eo]", "api.?k", "serv", "priv", "share",
        "sign", "encr", "mast", "sess", "stor", "clie", "key", "docker", "conn", "user",
    } | _PARTS | _IN_QUERY)) + r"|://[^\s]*@|-----BEGIN|digest|\bthin:",
    re.IGNORECASE,
)  # fmt: skip
"""A text without any of these holds nothing to find; most texts of a run do not."""

_KEY = re.compile(
    r"""(?P<before>[?&]|(?<![\w.-])-{1,2}(?=[A-Za-z])|-D)?
        (?P<quote>\\*["'`])?(?P<key>[A-Za-z_$][\w.$-]*)(?(quote)(?P=quote))
        (?P<separator>\s*(?:=>|:=|==?|:)[ \t]*|[ \t]+(?=[^\s=:-]))""",
    re.VERBOSE,
)
_URL_USER = re.compile(r"""(?<=://)[^\s"'<>`]*@(?=[^\s])|(?<=\bthin:)[^\s"'@]+@""")
_PEM = re.compile(
    r"-----BEGIN [A-Z0-9 ]*PRIVATE KEY[A-Z0-9 ]*-----.*?(?:-----END [A-Z0-9 ]*-----|\Z)", re.DOTALL
)
_SCHEME = re.compile(
    r"\b(?P<scheme>[Bb]earer|BEARER|Basic|Negotiate)\s+(?P<value>[^\s\"'\\,;<>]+)"
    r"|\bdigest:(?P<digest>[^\s:\"',;]+:[^\s\"',;]+)"
)
_TAG = re.compile(r"<(?P<tag>[A-Za-z][\w.:-]*)(?:\s[^>]*)?>(?P<value>[^<]*)</(?P=tag)>")
_NAMED = re.compile(
    r"""<name>\s*(?P<xml>[^<]*?)\s*</name>\s*<value>(?P<of_xml>[^<]*)</value>
      |(?:\bname|\bkey)\\*["']?\s*[:=]\s*\\*["']?(?P<name>[\w.$-]+)\\*["']?\s*,?\s*
       \\*["']?value\\*["']?\s*[:=][ \t]*""",
    re.VERBOSE | re.IGNORECASE,
)
"""Pairs: Hadoop's ``<property>``, and the ``env`` of a Kubernetes container."""

_OPENING = {"{": "}", "[": "]", "(": ")"}
_BARE = re.compile(r"""[^\s;&"'`<>(){}\[\]\\]+""")
_ITEM = re.compile(r"[^\s,}\]]+")
_QUOTED = re.compile(r"""(?P<escape>\\*)(?P<quote>["'`])""")


class Redaction:
    """What removes the secrets of a cluster from options, values, texts and bytes.

    >>> redaction = Redaction(["s3cr3t-token"])
    >>> redaction.value({"note": "sent s3cr3t-token", "db": {"password": "x y"}})
    {'note': 'sent (left out)', 'db': {'password': '(left out)'}}
    """

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        self._known = KnownSecrets(secrets)

    @classmethod
    def of(cls, options: Mapping[str, str], secrets: Iterable[str] = ()) -> Redaction:
        """One that knows the secret values of ``options`` and some more."""
        return cls([*secret_values(options), *secrets])

    def options(self, options: Mapping[str, str]) -> dict[str, str]:
        """Options that may be shown to anybody."""
        return {
            key: HIDDEN if is_sensitive(key) else self.text(value) for key, value in options.items()
        }

    def text(self, text: str) -> str:
        """The text without secrets. JSON stays JSON."""
        text = self._known.in_text(text)
        if not _CANDIDATE.search(text):
            return text
        decoded = _container(text)
        if decoded is not None:
            cleaned = self.value(decoded)
            return text if cleaned == decoded else json.dumps(cleaned, ensure_ascii=False)
        return _without_values(text)

    def value(self, value: Any) -> Any:
        """The same value, of the same shape, without secrets in any of its keys and texts."""
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, Mapping):
            return self._mapping(value)
        if isinstance(value, (list, tuple)):
            return self._list(value)
        if isinstance(value, (bytes, bytearray)):
            return self.data(bytes(value))
        return value

    def data(self, data: bytes) -> bytes:
        """Bytes without known secrets; nothing but a note when they are compressed in them."""
        data = self._known.in_bytes(data)
        return HIDDEN.encode() if self._known.are_in(data) else data

    def _mapping(self, mapping: Mapping[Any, Any]) -> dict[Any, Any]:
        named = next((mapping[key] for key in ("name", "key") if key in mapping), None)
        pair = isinstance(named, str) and is_sensitive(named)
        return {
            self._known.in_text(key) if isinstance(key, str) else key: (
                HIDDEN
                if (isinstance(key, str) and _hides(key, each)) or (pair and key == "value")
                else self.value(each)
            )
            for key, each in mapping.items()
        }

    def _list(self, values: Iterable[Any]) -> list[Any]:
        cleaned, follows = [], False
        for each in values:
            cleaned.append(HIDDEN if follows and isinstance(each, str) else self.value(each))
            # As in ["--password", "..."].
            follows = isinstance(each, str) and each.startswith("-") and is_sensitive(each)
        return cleaned


def is_sensitive(key: str) -> bool:
    """Whether the value of a key is a secret.

    >>> is_sensitive("s3.secret-key"), is_sensitive("dbPassword"), is_sensitive("parallelism")
    (True, True, False)
    """
    if key in _HARMLESS:
        return False
    parts = re.split(r"[^a-z0-9]+", re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "-", key).lower())
    joined = "".join(parts)
    return any(part in _PARTS or _ENDS.search(part) for part in parts) or any(
        word in joined for word in _WORDS
    )


def secret_values(options: Mapping[str, str]) -> tuple[str, ...]:
    """The values of sensitive options, and their parts, to be looked for in everything else."""
    found: set[str] = set()
    for key, value in options.items():
        found.update(secrets_in(value))
        if is_sensitive(key) and not _NO_SECRET.search(f"{key}={value}"):
            for each in (value, *re.split(r"[\s,;]+", value)):
                # As in digest:user:password; a password may have colons.
                found |= {each, each.rpartition(":")[2], each.split(":", 2)[-1]}
    return tuple(found)


def secrets_in(text: str) -> tuple[str, ...]:
    """What ``Redaction`` would leave out of a text by its structure: a kubeconfig's tokens."""
    values = [text[start:end] for start, end in _spans(text)]
    return tuple(each.strip(" \t\r\n\"'@") for each in values)


def _hides(key: str, value: Any) -> bool:
    return value is not None and not isinstance(value, bool) and is_sensitive(key)


def _container(text: str) -> Any:
    """The object or list that a text is in JSON; ``None`` for what is not, or has a key twice."""
    if text.lstrip()[:1] not in ("{", "["):
        return None
    try:
        return json.loads(text, object_pairs_hook=_once)
    except (ValueError, RecursionError):
        return None


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key twice")
    return found


def _without_values(text: str) -> str:
    kept, end = [], 0
    for start, stop in _spans(text):
        if stop > end:
            kept += [text[end : max(start, end)], HIDDEN if start >= end else ""]
            end = stop
    return "".join([*kept, text[end:]])


def _spans(text: str) -> list[tuple[int, int]]:
    """Where secret values stand in a text, in order; they may overlap."""
    found = [match.span() for match in _PEM.finditer(text)]
    for match in _URL_USER.finditer(text):
        found.append((match.start(), match.end() - 1))
    for match in _SCHEME.finditer(text):
        found.append(match.span("value" if match["value"] else "digest"))
    for match in _TAG.finditer(text):
        if is_sensitive(match["tag"]):
            found.append(match.span("value"))
    for match in _NAMED.finditer(text):
        name = match["xml"] or match["name"] or ""
        if is_sensitive(name):
            found.append(
                match.span("of_xml") if match["xml"]
                else _value(text, match.end(), ":", name, match.start(), quoted_key=False)
            )  # fmt: skip
    found += _keyed(text)
    return sorted(span for span in found if span[0] < span[1])


def _keyed(text: str) -> Iterator[tuple[int, int]]:
    position = 0
    while (match := _KEY.search(text, position)) is not None:
        key, separator = match["key"], match["separator"].strip()
        position = max(match.end("key"), match.start() + 1)
        flag = (match["before"] or "").startswith("-")
        if not separator and not flag and not _QUOTED.match(text, match.end()):
            continue  # a word of a sentence
        if separator == ":" and _ends_a_path(text, match):
            continue
        in_query = match["before"] in ("?", "&") and key.lower() in _IN_QUERY
        if not in_query and not is_sensitive(key):
            continue
        span = _value(text, match.end(), separator, key, match.start(), bool(match["quote"]))
        yield span
        position = max(position, span[1])


def _ends_a_path(text: str, match: re.Match[str]) -> bool:
    """Whether a key is the last name of a path that a sentence speaks of, and not of a secret.

    As in ``/var/run/secrets/token: Permission denied``. All else stays in doubt.
    """
    path = re.search(r"(?<!\S)[\"']?(?:file:)?~?/[^\s:]*\Z", text[: match.end("key")])
    line = text[match.end() :].partition("\n")[0]
    return path is not None and "://" not in path[0] and _SENTENCE.match(line) is not None


_SENTENCE = re.compile(
    r"(?:an?|another|it|its|line|no|option|some|the|there|this|user|we|you) [a-z]|(?:"
    + "|".join(re.escape(os.strerror(each)) for each in errno.errorcode)
    + r")\b"
)
"""How hawork's own sentences about a file go on, and what the system says of one."""


def _value(
    text: str, start: int, separator: str, key: str, key_start: int, quoted_key: bool
) -> tuple[int, int]:
    """Where the value that begins at ``start`` ends, by what encloses it."""
    line_end = text.find("\n", start)
    line_end = len(text) if line_end < 0 else line_end
    quoted = _QUOTED.match(text, start)
    if quoted is not None:
        return quoted.end(), _closing_quote(text, quoted)
    if text[start : start + 1] in _OPENING:
        return start, _closing_bracket(text, start)
    if separator == ":" and text[start:line_end].strip() in ("", "|", ">", "|-", ">-", "|+", ">+"):
        return line_end, _indented_end(text, key_start, line_end)
    if quoted_key:  # as in a mapping's text: a number, or a word of the language
        bare = _ITEM.match(text, start)
        return (start, bare.end()) if bare else (start, start)
    key = re.sub(r"[^a-z]", "", key.lower())
    if separator == ":" or any(each in key for each in _WHOLE_LINE):
        closing = _enclosing_quote(text, key_start)
        ends = text.find(closing, start, line_end) if closing else -1
        return start, line_end if ends < 0 else ends
    bare = _BARE.match(text, start)
    return (start, bare.end()) if bare else (start, start)


def _closing_quote(text: str, opening: re.Match[str]) -> int:
    """The end of a quoted text: the same quote behind as many backslashes, or nothing."""
    quote, escape = opening["quote"], opening["escape"]
    for match in re.finditer(rf"(?P<escape>\\*){quote}", text[opening.end() :]):
        found = len(match["escape"])
        if found == len(escape) or (not escape and found % 2 == 0):
            end = opening.end() + match.end()
            if quote == "'" and not escape and text[end : end + 1] == "'":
                continue  # YAML and SQL double it
            if quote == "'" and end - 2 >= opening.end() and text[end - 2 : end] == "''":
                continue
            return opening.end() + match.start() + (found if not escape else 0)
    return len(text)


def _closing_bracket(text: str, start: int) -> int:
    """The end of a list or an object, with all that is nested and quoted in it."""
    awaited, position = [_OPENING[text[start]]], start + 1
    while position < len(text):
        quoted = _QUOTED.match(text, position)
        if quoted is not None:
            position = _closing_quote(text, quoted) + len(quoted["escape"]) + 1
            continue
        letter = text[position]
        position += 1
        if letter in _OPENING:
            awaited.append(_OPENING[letter])
        elif letter == awaited[-1]:
            awaited.pop()
            if not awaited:
                return position
    return len(text)


def _indented_end(text: str, key: int, line_end: int) -> int:
    """The end of a block of YAML below a key: every line that is indented more, or an item."""
    line_start = text.rfind("\n", 0, key) + 1
    indent = len(text[line_start:key]) - len(text[line_start:key].lstrip(" -"))
    position = line_end
    while position < len(text):
        stop = text.find("\n", position + 1)
        stop = len(text) if stop < 0 else stop
        line = text[position + 1 : stop]
        depth = len(line) - len(line.lstrip())
        item = depth == indent and line.lstrip().startswith("- ")
        if line.strip() and depth <= indent and not item:
            return position
        position = stop
    return len(text)


def _enclosing_quote(text: str, position: int) -> str | None:
    """The quote within which a position stands on its line, if any."""
    line = text[text.rfind("\n", 0, position) + 1 : position]
    inside: str | None = None
    for match in re.finditer(r"""\\*["']""", line):
        inside = match[0] if inside is None else None if match[0] == inside else inside
    return inside
