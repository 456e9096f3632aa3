"""What a lesson needs on this machine; where it is missing, the lesson ends with one sentence."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable, Mapping
from typing import Any

from hawork.core.errors import LabError
from hawork.lab.flink.distribution import FlinkDistribution
from hawork.servers.kubernetes.program import KubernetesPrograms
from hawork.servers.zookeeper.program import ZooKeeperProgram

__all__ = ["LessonEndedError", "needs"]


def _find_greenlet() -> None:
    if importlib.util.find_spec("greenlet") is None:
        raise LabError("the simulation needs greenlet: pip install 'hawork[simulation]'")


_FIND: Mapping[str, Callable[[], object]] = {
    "zookeeper": ZooKeeperProgram.find,
    "kubernetes": KubernetesPrograms.find,
    "flink": FlinkDistribution.find,
    "simulation": _find_greenlet,
}
_STAYS = ("needs(", "recording(")
"""Cells with these run all the same: another try, and what was recorded elsewhere."""


class LessonEndedError(LabError):
    """Something that the lesson needs is missing; the message says how to get it."""


def needs(*names: str) -> None:
    """End the lesson here when one of these is missing.

    They are ``"zookeeper"``, ``"kubernetes"``, ``"flink"`` and ``"simulation"``.

    ``LessonEndedError`` says in one sentence what to install. In a notebook, later cells then do
    nothing instead of failing one after the other; cells that replay a recording go on working.

    >>> needs()
    """
    shell = _shell()
    for name in names:
        try:
            _FIND[name]()
        except LabError as error:
            if shell is not None:
                _skip_later_cells(shell)
            raise LessonEndedError(f"this lesson ends here: {error}") from None
    if shell is not None:
        shell.input_transformers_cleanup[:] = _without_ours(shell)


def _skip_later_cells(shell: Any) -> None:
    shell.input_transformers_cleanup[:] = [_nothing_unless_it_stays, *_without_ours(shell)]


def _without_ours(shell: Any) -> list[Any]:
    others = shell.input_transformers_cleanup
    return [each for each in others if each is not _nothing_unless_it_stays]


def _nothing_unless_it_stays(lines: list[str]) -> list[str]:
    return lines if any(word in line for line in lines for word in _STAYS) else []


def _shell() -> Any:
    ipython = sys.modules.get("IPython")
    return ipython.get_ipython() if ipython is not None else None
