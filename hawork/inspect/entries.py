"""An entry of an HA store: a znode, or one key of a ConfigMap, with its bytes whole.

Text, cutting and colour belong to the views.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

from hawork.inspect.finding import Object

__all__ = ["Entry", "Place", "readable"]

Place: TypeAlias = Literal["zookeeper", "kubernetes", "embedded"]


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry as it was stored. Times are seconds since 1970; ``None`` means not known."""

    place: Place
    name: str
    """A znode's path, or a ConfigMap's name."""
    data: bytes | None
    """The value, whole; ``None`` when the store has none."""
    key: str | None = None
    """The key in a ConfigMap."""
    version: int | None = None
    """A znode's data version, or the resource version of the ConfigMap."""
    owner: str | None = None
    """The session that an ephemeral znode lives as long as."""
    owner_known: bool = True
    """Whether the source says at all if a znode is ephemeral; zk-shell's dumps do not."""
    created: float | None = None
    changed: float | None = None

    @property
    def object(self) -> Object:
        """What a finding calls this entry."""
        if self.place == "zookeeper":
            return Object("znode", self.name)
        if self.place == "embedded":
            return Object("row", self.name, self.key)
        if self.key is None:
            return Object("configmap", self.name)
        return Object("configmap-key", self.name, self.key)

    @property
    def persistent(self) -> bool:
        """Whether it certainly outlives every session."""
        return self.owner_known and self.owner is None


def readable(text: str) -> str:
    """Without halves of surrogate pairs, which JSON can write and nothing can show.

    >>> readable("a\\ud800b") == "a\ufffdb"
    True
    """
    if text.isascii():
        return text
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
