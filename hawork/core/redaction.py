"""What opens a door stays at home: secrets are taken out of what is given to others.

The words are those of ``GlobalConfiguration.SENSITIVE_KEYS`` of Flink 1.20, and some more. What is
in doubt is left out.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

HIDDEN = "(left out)"

_WORDS = (
    "password", "secret", "fs.azure.account.key", "apikey", "api-key", "auth-params",
    "service-key", "token", "basic-auth", "jaas", "http-headers",  # Flink's, to here
    "passwd", "credential", "authorization", "access-key", "access.key", "private-key",
    "private.key", "username",
)  # fmt: skip
_HARMLESS = frozenset({"hawork.rest.token-file", "hawork.rest.without-token"})
"""A path and a choice: whoever explains a run needs them."""

_SHORTEST = 6
"""Characters of a value that is looked for elsewhere: shorter ones are words of any text."""

_IN_URL = re.compile(r"(?<=://)[^/\s\"'@]+@")
_IN_TEXT = re.compile(
    r"((?:passw(?:or)?d|secret|api[-_]?key|access[-_.]?key|credential|[\w.-]+[-_.]token)"
    r"[\w.-]*[\"']?\s*[=:]\s*[\"']?)[^\s\"',;}\]]+",
    re.IGNORECASE,
)


def without_secrets(options: Mapping[str, str]) -> dict[str, str]:
    """Options that may be shown to anybody."""
    return {
        key: HIDDEN if _is_secret(key) else without_secret_texts(value, ())
        for key, value in options.items()
    }


def secret_values(options: Mapping[str, str]) -> tuple[str, ...]:
    """The values of secret options, the longest first, to be looked for in everything else."""
    found = set()
    for key, value in options.items():
        if _is_secret(key):
            found |= {value, value.rpartition(":")[2]}  # digest:user:password
    return tuple(sorted((each for each in found if len(each) >= _SHORTEST), key=len, reverse=True))


def without_secret_texts(value: Any, secrets: Iterable[str]) -> Any:
    """The same value, of the same shape, without secrets in any of its texts."""
    if isinstance(value, str):
        for secret in secrets:
            value = value.replace(secret, HIDDEN)
        return _IN_TEXT.sub(rf"\g<1>{HIDDEN}", _IN_URL.sub(f"{HIDDEN}@", value))
    if isinstance(value, Mapping):
        return {key: without_secret_texts(each, secrets) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [without_secret_texts(each, secrets) for each in value]
    return value


def _is_secret(key: str) -> bool:
    return key not in _HARMLESS and any(word in key.lower() for word in _WORDS)
