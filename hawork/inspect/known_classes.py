"""The classes that Flink writes into job graphs and checkpoints, as every release knows them.

Java ends with an exception for a class that it does not know, and for one whose
``serialVersionUID`` is another: so does a JobManager that recovers. The numbers are those of
Flink 1.18 to 2.1, in which they are the same.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from hawork.inspect.errors import UndecodableError
from hawork.inspect.java import Described

__all__ = ["check_classes"]

_BY_PACKAGE: Final = {
    "java.lang": {
        "Boolean": 0xCD207280D59CFAEE,
        "Double": 0x80B3C24A296BFB04,
        "Enum": 0,
        "Integer": 0x12E2A0A4F7818738,
        "Long": 0x3B8BE490CC8F23DF,
        "Number": 0x86AC951D0B94E08B,
    },
    "java.net": {
        "URI": 0xAC01782E439E49AB,
    },
    "java.time": {
        "Ser": 0x955D84BA1B2248B2,
    },
    "java.util": {
        "ArrayList": 0x7881D21D99C7619D,
        "Arrays$ArrayList": 0xD9A43CBECD8806D2,
        "CollSer": 0x578EABB63A1BA811,
        "Collections$EmptyList": 0x7AB817B43CA79EDE,
        "Collections$SingletonSet": 0x2C52419829C0B1BF,
        "Collections$UnmodifiableCollection": 0x19420080CB5EF71E,
        "Collections$UnmodifiableList": 0xFC0F2531B5EC8E10,
        "HashMap": 0x0507DAC1C31660D1,
        "HashSet": 0xBA44859596B8B734,
        "LinkedHashMap": 0x34C04E5C106CC0FB,
        "TreeSet": 0xDD98509395ED875B,
        "UUID": 0xBC9903F7986D852F,
    },
    "org.apache.flink.api.common": {
        "ExecutionConfig$GlobalJobParameters": 1,
        "JobID": 1,
    },
    "org.apache.flink.api.common.operators": {
        "ResourceSpec": 1,
    },
    "org.apache.flink.api.java.tuple": {
        "Tuple": 1,
        "Tuple2": 1,
    },
    "org.apache.flink.configuration": {
        "Configuration": 1,
        "ExternalizedCheckpointRetention": 0,
        "PipelineOptions$VertexDescriptionMode": 0,
    },
    "org.apache.flink.core.execution": {
        "RecoveryClaimMode": 0,
        "RestoreMode": 0,
    },
    "org.apache.flink.core.fs": {
        "Path": 1,
    },
    "org.apache.flink.runtime": {
        "OperatorIDPair": 1,
    },
    "org.apache.flink.runtime.checkpoint": {
        "CheckpointProperties": 2,
        "CheckpointRetentionPolicy": 0,
        "CheckpointType": 0xD6DE4F0305AE1D3A,
        "CompletedCheckpoint": 0x8BFA6E933BE66402,
        "FinishedOperatorSubtaskState": 1,
        "FullyFinishedOperatorState": 1,
        "InflightDataRescalingDescriptor": 0xD0DC96AE0C462839,
        "InflightDataRescalingDescriptor$NoRescalingDescriptor": 1,
        "MasterState": 1,
        "OperatorState": 0xBCC10C7A051403EE,
        "OperatorSubtaskState": 0xDEC453C49B306BE5,
        "SnapshotType$SharingFilesStrategy": 0,
        "StateObjectCollection": 1,
    },
    "org.apache.flink.runtime.checkpoint.channel": {
        "InputChannelInfo": 1,
        "ResultSubpartitionInfo": 1,
    },
    "org.apache.flink.runtime.checkpoint.filemerging": {
        "LogicalFile$LogicalFileId": 0x31440B3865644419,
    },
    "org.apache.flink.runtime.clusterframework.types": {
        "ResourceProfile": 1,
    },
    "org.apache.flink.runtime.instance": {
        "SlotSharingGroupId": 0x7AA5A2032F3A5CDA,
    },
    "org.apache.flink.runtime.io.network.api.writer": {
        "SubtaskStateMapper": 0,
    },
    "org.apache.flink.runtime.io.network.partition": {
        "ResultPartitionType": 0,
    },
    "org.apache.flink.runtime.jobgraph": {
        "DistributionPattern": 0,
        "IntermediateDataSet": 1,
        "IntermediateDataSetID": 1,
        "JobEdge": 1,
        "JobGraph": 1,
        "JobType": 0,
        "JobVertex": 1,
        "JobVertexID": 1,
        "OperatorID": 1,
        "RestoreMode": 0,
        "SavepointRestoreSettings": 0x01366D612C2F3471,
    },
    "org.apache.flink.runtime.jobgraph.tasks": {
        "CheckpointCoordinatorConfiguration": 2,
        "JobCheckpointingSettings": 0xDC02AD9710D0CC5C,
    },
    "org.apache.flink.runtime.jobmanager.scheduler": {
        "SlotSharingGroup": 1,
    },
    "org.apache.flink.runtime.state": {
        "AbstractChannelStateHandle": 1,
        "AbstractIncrementalStateHandle": 1,
        "CheckpointedStateScope": 0,
        "IncrementalKeyedStateHandle$HandleAndLocalPath": 0x6B05A8079B6AC2DC,
        "IncrementalRemoteKeyedStateHandle": 0x8C6A20C9009ECE39,
        "InputChannelStateHandle": 1,
        "KeyGroupRange": 0x4392982FA819B9CF,
        "KeyGroupRangeOffsets": 0x5B879F32A2D4FE80,
        "KeyGroupsSavepointStateHandle": 1,
        "KeyGroupsStateHandle": 0x9000711B5BFC13CD,
        "OperatorStateHandle$Mode": 0,
        "OperatorStateHandle$StateMetaInfo": 0x31DFCE14ACD03CEE,
        "OperatorStreamStateHandle": 0x007F7581EF5B6047,
        "ResultSubpartitionStateHandle": 1,
        "StateHandleID": 1,
    },
    "org.apache.flink.runtime.state.changelog": {
        "ChangelogStateBackendHandle$ChangelogStateBackendHandleImpl": 1,
        "ChangelogStateHandleStreamImpl": 0x9000711B5BFC13CD,
        "SequenceNumber$GenericSequenceNumber": 1,
        "StateChange": 1,
    },
    "org.apache.flink.runtime.state.changelog.inmemory": {
        "InMemoryChangelogStateHandle": 1,
    },
    "org.apache.flink.runtime.state.filemerging": {
        "DirectoryStreamStateHandle": 1,
        "FileMergingOperatorStreamStateHandle": 1,
        "SegmentFileStateHandle": 1,
    },
    "org.apache.flink.runtime.state.filesystem": {
        "FileStateHandle": 0x04DC75D862BD1BB3,
        "FsCompletedCheckpointStorageLocation": 1,
        "RelativeFileStateHandle": 1,
    },
    "org.apache.flink.runtime.state.memory": {
        "ByteStreamStateHandle": 0xB6B8DE37F3796DA6,
    },
    "org.apache.flink.streaming.api.environment": {
        "CheckpointConfig": 0xF5961E7A94D3050D,
        "CheckpointConfig$ExternalizedCheckpointCleanup": 0,
    },
    "org.apache.flink.streaming.api.graph": {
        "GlobalStreamExchangeMode": 0,
        "StreamGraph": 1,
        "StreamGraph$UserDefinedObjectsHolder": 1,
    },
    "org.apache.flink.util": {
        "AbstractID": 1,
        "SerializedValue": 0xCE8A164B1429CECF,
        "StringBasedID": 1,
        "TernaryBoolean": 0,
    },
}
_UIDS: Final = {
    f"{package}.{name}": uid
    for package, names in _BY_PACKAGE.items()
    for name, uid in names.items()
}
_BY_LENGTH: Final[dict[int, list[str]]] = {}
for _name in _UIDS:
    _BY_LENGTH.setdefault(len(_name), []).append(_name)


def check_classes(classes: Iterable[Described], what: str) -> None:
    """``UndecodableError`` for a class that no Flink can have.

    A class that is not in the table may be a user's, or a newer one: it is left alone, unless its
    name is that of a known class but for one letter.
    """
    for offset, each in classes:
        name = each.name.removeprefix("[L").removesuffix(";")
        uid = _UIDS.get(name)
        if uid is None:
            for like in _almost(name):
                raise UndecodableError(
                    what, f"there is no such class; it is {like} but for one letter",
                    offset=offset, class_name=each.name,
                )  # fmt: skip
        elif not each.name.startswith("[") and each.serial_version_uid & (2**64 - 1) != uid:
            found = each.serial_version_uid & (2**64 - 1)
            raise UndecodableError(
                what, f"its serialVersionUID is {found:016x}, that of every Flink is {uid:016x}",
                offset=offset, class_name=each.name,
            )  # fmt: skip


def _almost(name: str) -> Iterator[str]:
    """Known names that differ in exactly one letter."""
    for known in _BY_LENGTH.get(len(name), ()):
        if sum(one != other for one, other in zip(known, name, strict=True)) == 1:
            yield known
