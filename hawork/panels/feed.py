"""What goes to the views: numbered changes, and now and then the whole.

A change is a JSON merge patch (RFC 7396: ``null`` removes) over the sections, and items to
append to the lists of the timeline. A view that missed a number waits for a keyframe.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Json = dict[str, Any]

KEYFRAME_PAUSE = 1.5
"""Least seconds between two keyframes; nothing is sent when nothing has changed."""


def merge_patch(old: Mapping[str, Any], new: Mapping[str, Any]) -> Json:
    """What turns ``old`` into ``new``; empty when they are equal. Neither may hold ``None``.

    >>> merge_patch({"a": 1, "b": {"c": 2, "d": 3}}, {"a": 1, "b": {"c": 4}})
    {'b': {'c': 4, 'd': None}}
    """
    patch: Json = {}
    for key, value in new.items():
        known = old.get(key)
        if known == value:
            continue
        if isinstance(value, dict) and isinstance(known, dict):
            patch[key] = merge_patch(known, value)
        else:
            patch[key] = value
    patch.update(dict.fromkeys(key for key in old if key not in new))
    return patch


class Feed:
    """The numbers and the last state sent; not thread-safe, the controller owns it."""

    def __init__(self) -> None:
        self.seq = 0
        self._sent: Json = {}
        self._keyframe_seq = -1
        self._keyframe_at = float("-inf")

    def delta(
        self, sections: Mapping[str, Json], append: Mapping[str, list[Any]], now: int
    ) -> Json | None:
        """The message that brings views up to date; ``None``: there is nothing to say.

        ``now`` is the timeline's present, in milliseconds since its start.
        """
        patch = merge_patch(self._sent, sections)
        more = {name: items for name, items in append.items() if items}
        if not patch and not more:
            return None
        self._sent = {name: dict(section) for name, section in sections.items()}
        self.seq += 1
        message: Json = {"seq": self.seq, "now": now}
        if patch:
            message["patch"] = patch
        if more:
            message["append"] = more
        return message

    def keyframe(self, lists: Mapping[str, list[Any]], now: int) -> Json:
        """Everything, for views that begin or have missed something."""
        return {"seq": self.seq, "now": now, "state": dict(self._sent), "lists": dict(lists)}

    def keyframe_due(self, now: float, *, force: bool = False, missed: bool = False) -> bool:
        """Whether one should go out at ``now`` (monotonic seconds); saying yes counts as sent.

        With ``missed`` nothing need have changed; only ``force`` does not wait for the pause.
        """
        early = now - self._keyframe_at < KEYFRAME_PAUSE
        told = self._keyframe_seq == self.seq and not missed
        if not force and (told or early):
            return False
        self._keyframe_seq, self._keyframe_at = self.seq, now
        return True
