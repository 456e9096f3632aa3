"""Recordings of real Apache Flink, for lessons where Java or Flink is not there.

Each is a run bundle in ``notebooks/recordings``, written by ``make recordings``, which starts the
real programs. None is edited by hand. Where Java is, ``engine="flink"`` has the same done anew.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hawork.core.errors import LabError
from hawork.core.events import Event, EventKind
from hawork.story.bundle import RunBundle
from hawork.story.run_bundle import open_bundle

__all__ = ["RECORDED", "noted", "recording"]

FOLDER = "recordings"
RECORDING = "recorded"
RECORDED: Mapping[str, str] = {
    "crash-zookeeper": "the leader is killed, with Flink's default timeouts, on ZooKeeper",
    "crash-kubernetes": "the leader is killed, with Flink's default timeouts, on Kubernetes",
    "deposed-writes": "a deposed leader completes a checkpoint, and publishes its address again",
    "closed-session": "the leader's session is closed by hand, and the leader does not hear of it",
    "cut-off-publishing": "the leader is cut off while it publishes, and is not revoked",
    "standby-rest": "a standby is asked over REST, before and while there is no leader",
    "half-submission": "a leader dies between the file of a job graph and the pointer to it",
    "damaged-checkpoint": "the newest checkpoint's file is damaged, and the leader is killed",
    "stale-result": "a dirty result lies there of a job that runs, and the leader is killed",
    "cut-off-zookeeper": "the leader is cut off from ZooKeeper, with Flink's default timeouts",
    "cut-off-kubernetes": "the leader is cut off from the API server, with Flink's default lease",
    "failover-signals": "what log, metrics and REST say of three faults, one after the other",
    "upgrade-kubernetes": "one JobManager: last-state upgrade, savepoint, and lost ConfigMaps",
    "upgrade-refused": "a last-state upgrade whose graph does not fit, and what is left",
    "standby-requests": "what a leader and a standby ask the API server in 30 seconds",
}
"""What each recording shows."""


def recording(name: str, folder: Path | str = FOLDER, *, engine: str = RECORDING) -> RunBundle:
    """The recording of that name; ``folder`` is where the notebook's recordings are.

    With ``engine="flink"`` real Flink does the same on this machine, now, for minutes, and that run
    is returned: it needs what ``make recordings`` needs, Java first of all.

    ``LabError`` when there is no such recording, it is damaged or of another version; and where
    Flink, or a server that it needs, is missing, or did not do what was recorded.

    >>> recording("crash-zookeeper").timeline()                            # doctest: +SKIP
    """
    if name not in RECORDED:
        raise LabError(f"there is no recording {name!r}: choose one of {', '.join(RECORDED)}")
    if engine == RECORDING:
        return open_bundle(Path(folder) / f"{name}.zip")
    if engine != "flink":
        raise LabError(
            f"engine={engine!r}: write {RECORDING!r}, or 'flink' to have Flink do it now"
        )
    return _done_now(name)


def _done_now(name: str) -> RunBundle:
    from hawork.lessons.recorder import perform

    sys.stdout.write(f"Apache Flink on this machine, for some minutes: {RECORDED[name]}.\n")
    sys.stdout.flush()
    with tempfile.TemporaryDirectory(prefix="hawork-") as place:
        try:
            return open_bundle(perform(name, Path(place) / f"{name}.zip"))
        except AssertionError as error:  # of ``eventually``
            raise LabError(
                f"Flink did not do what {name} shows ({error}): close other labs, and run the cell "
                "again"
            ) from None


def noted(run: Any, what: str) -> list[Mapping[str, Any]]:
    """What the lab noted of a run under that name, in its order: the facts of each event.

    >>> noted(recording("standby-rest"), "rest")                           # doctest: +SKIP
    """
    events: list[Event] = run.event_list()
    return [
        {key: value for key, value in event.facts.items() if key != "what"}
        for event in events
        if event.kind is EventKind.NOTED and event.facts.get("what") == what
    ]
