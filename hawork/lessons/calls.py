"""Calls at night: HA data of real Flink clusters in which one thing is damaged, and a log.

The same was done to data of Flink 1.20.5, and JobManagers were started on it: the lines of the log
are what they wrote then.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from hawork.core.calls import checked
from hawork.core.errors import LabError
from hawork.inspect.pointers import encode_pointer
from hawork.lessons.ha_data import FOLDER, ROOT, HaData, unpacked

__all__ = ["CALLS", "ha_data"]

_HA: Final = "ha/flights-prod"
_JOBS: Final = "/flink/flights-prod/jobs"


@dataclass(frozen=True)
class Call:
    """What was said on the phone, what the last JobManager wrote, and what had happened."""

    cluster: str
    said: str
    log: str = ""
    damage: Callable[[HaData], None] = lambda data: None


def _newest_file_gone(data: HaData) -> None:
    data.remove(f"{_HA}/completedCheckpointd8212c0074c4")


def _pointer_overwritten(data: HaData) -> None:
    place = "flights-prod-b273d150f8e57dfe7887a0e38b09fefe-config-map"
    data.write(place, b"%%% lost+found %%%", "checkpointID-0000000000000000011")


def _latch_copied(data: HaData) -> None:
    latch = "_c_0df27387-3187-4903-8a36-132f0d8d11e7-latch-0000000000"
    data.write(f"/flink/flights-prod/leader/latch/{latch}", b"")


def _half_a_result(data: HaData) -> None:
    result = "ha/job-result-store/flights-prod/775e45bbff9a6f49dec0d4d0b8b3aa83"
    whole = (data.storage / f"{result}.json").read_bytes()
    data.remove(f"{result}.json")
    data.write(f"{result}_DIRTY.json", whole[: len(whole) * 4 // 5])


def _state_gone(data: HaData) -> None:
    job = "cde3d305f8da505168c0fe3a4370e925"
    data.remove(f"checkpoints/{job}/shared/dcf1060c-83bb-44f3-b9ef-3a3107abaccd")


def _wrong_file(data: HaData) -> None:
    place = "flights-prod-f6089ac08cb7aed6044c4fc544602e9c-config-map"
    other = f"{_HA}/completedCheckpoint239d03737079"
    size = len((data.storage / other).read_bytes())
    value = encode_pointer(f"{ROOT}/{other}", size, "kubernetes")
    data.write(place, value, "checkpointID-0000000000000000010")


def _only_checkpoints_left(data: HaData) -> None:
    data.remove("/flink")
    data.remove("ha")
    _state_gone(data)
    data.remove("checkpoints/62f6a8b83a1b44313a74d89f6e50b70c/chk-10/_metadata")


CALLS: Final[Mapping[str, Call]] = {
    "whole-zookeeper": Call("zookeeper", "a cluster that was killed, and is whole"),
    "whole-kubernetes": Call("kubernetes", "a cluster that was killed, and is whole"),
    "checkpoints-left": Call(
        "zookeeper",
        "ZooKeeper and storageDir are lost; checkpoints and savepoints lay elsewhere",
        damage=_only_checkpoints_left,
    ),
    "call-1": Call(
        "zookeeper",
        "the nodes were restarted at 16:50, and no JobManager has stayed up since",
        """\
16:50:36,343 INFO  DispatcherRestEndpoint - http://127.0.0.1:8081 was granted leadership
16:50:37,972 INFO  DefaultCompletedCheckpointStoreUtils - Found 2 checkpoints in
  ZooKeeperStateHandleStore{namespace='flink/.../534f7acb28fd75aab04e364374d3af6f/checkpoints'}.
16:50:38,761 INFO  CheckpointCoordinator - Restoring job cde3d305f8da505168c0fe3a4370e925
  from Checkpoint 9
ERROR Fatal error occurred in the cluster entrypoint.
FlinkException: JobMaster for job 534f7acb28fd75aab04e364374d3af6f failed.
Caused by: JobExecutionException: Failed to initialize high-availability completed checkpoint store
Caused by: FlinkException: Could not retrieve checkpoint 9 from state handle under
  /0000000000000000009. This indicates that the retrieved state handle is broken.
  Try cleaning the state handle store.
Caused by: FileNotFoundException: /srv/flink/ha/flights-prod/completedCheckpointd8212c0074c4""",
        _newest_file_gone,
    ),
    "call-2": Call(
        "kubernetes",
        "the namespace was brought back from a backup, and the pod is in CrashLoopBackOff",
        """\
16:55:14,498 INFO  DispatcherRestEndpoint - http://127.0.0.1:8081 was granted leadership
ERROR Fatal error occurred in the cluster entrypoint.
FlinkException: JobMaster for job b273d150f8e57dfe7887a0e38b09fefe failed.
Caused by: JobExecutionException: Failed to initialize high-availability completed checkpoint store
Caused by: IllegalArgumentException: Illegal base64 character 25""",
        _pointer_overwritten,
    ),
    "call-3": Call(
        "zookeeper",
        "the tree was copied to new ZooKeeper servers; JobManagers run, and none leads",
        "(no JobManager has written anything unusual)",
        _latch_copied,
    ),
    "call-4": Call(
        "zookeeper",
        "the disk was full for a while, and no JobManager has started since",
        """\
16:52:50,347 INFO  DispatcherRestEndpoint - http://127.0.0.1:8081 was granted leadership
ERROR Fatal error occurred in the cluster entrypoint.
FlinkRuntimeException: Could not retrieve JobResults of globally-terminated jobs from JobResultStore
Caused by: JsonMappingException: Unexpected end-of-input within/between Object entries""",
        _half_a_result,
    ),
    "call-5": Call(
        "zookeeper",
        "one of the jobs is RUNNING and RESTARTING in turns; the clean-up of old files ran at noon",
        """\
16:51:49,658 INFO  CheckpointCoordinator - Restoring job cde3d305f8da505168c0fe3a4370e925
  from Checkpoint 9
Caused by: FlinkException: Could not restore keyed state backend for KeyedProcessOperator
Caused by: FileNotFoundException: /srv/flink/checkpoints/cde3d305f8da505168c0fe3a4370e925/shared/
  dcf1060c-83bb-44f3-b9ef-3a3107abaccd
16:51:52,357 INFO  CheckpointCoordinator - Restoring job cde3d305f8da505168c0fe3a4370e925
  from Checkpoint 9""",
        _state_gone,
    ),
    "call-6": Call(
        "kubernetes",
        "a colleague repaired a ConfigMap by hand, and now no JobManager stays up",
        """\
17:17:50,955 INFO  CheckpointCoordinator - Restoring job f9f72f93148ada67d92ccb88ebd007ec
  from Checkpoint 11
17:17:51,157 INFO  CheckpointCoordinator - Restoring job f6089ac08cb7aed6044c4fc544602e9c
  from Checkpoint 11
ERROR Fatal error occurred in the cluster entrypoint.
FlinkException: JobMaster for job f6089ac08cb7aed6044c4fc544602e9c failed.
Caused by: IllegalStateException: There is no operator for the state
  cbc357ccb763df2852fee8c4fc7d55f2""",
        _wrong_file,
    ),
}
"""Every copy that a lesson may open."""


@checked
def ha_data(name: str, folder: Path | str = FOLDER) -> HaData:
    """A copy of real HA data, in a folder of its own: ``"call-1"`` to ``"call-6"``, or a whole one.

    ``LabError`` when there is no such call, or the notebook's folder ``cases`` is missing.

    >>> data = ha_data("call-1")                                           # doctest: +SKIP
    """
    if name not in CALLS:
        raise LabError(f"there is no {name!r}: choose one of {', '.join(CALLS)}")
    call = CALLS[name]
    data = unpacked(name, Path(folder) / f"{call.cluster}.tar.xz")
    call.damage(data)
    data.call, data.log = call.said, call.log
    data.remember()
    return data
