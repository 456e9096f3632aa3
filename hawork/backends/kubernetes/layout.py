"""Where everything lies in the ConfigMaps of a cluster.

::

    <cluster-id>-cluster-config-map
      annotation  control-plane.alpha.kubernetes.io/leader   the lock; Flink's
      data        org.apache.flink.k8s.leader.<component>    <session id>,<address>; Flink's
                  hawork.jobgraphs.<job id>                  <version>,<JSON>
                  hawork.results.<job id>                    <version>,<JSON>
                  hawork.jobs.<job id>                       this job has a ConfigMap:
    <cluster-id>-<job id>-config-map
      annotation  hawork.org/claimed-by                      session id that may write here
                  hawork.org/made-by                         until it is claimed: who made it
      data        hawork.checkpoints.<name>                  <version>,<JSON>
                  hawork.counters.<name>                     <version>,<JSON>

Both carry Flink's labels. Flink keeps its own pointers beside ours, under ``jobGraph-...``,
``checkpointID-...`` and ``counter``: those are never touched.

Source: facts 4 of Flink 1.20 (``KubernetesUtils``, ``Constants``).
"""

from __future__ import annotations

import base64
import contextlib
import functools
import re
import secrets
import zlib
from collections.abc import Mapping
from uuid import UUID

from hawork.core.errors import ConfigurationError, LeaderRetrievalError
from hawork.core.types import (
    RESOURCE_MANAGER,
    REST_SERVER,
    JobID,
    LeaderInformation,
    LeaderInformationRegister,
    Versioned,
)
from hawork.ha.pointer_store import Namespace

LOCK = "control-plane.alpha.kubernetes.io/leader"
CLAIMED_BY = "hawork.org/claimed-by"
MADE_BY = "hawork.org/made-by"
LEADER_PREFIX = "org.apache.flink.k8s.leader."
OURS = "hawork."
_JOBS = f"{OURS}jobs."
_COMPONENTS = {REST_SERVER: "restserver", RESOURCE_MANAGER: "resourcemanager"}
_OF_COMPONENT = {written: component_id for component_id, written in _COMPONENTS.items()}
_SUFFIX = "-config-map"
_LONGEST_KEY = 253
_BASE64 = ";base64,"
_ENTRY = re.compile(r"([0-9]{1,16})(,|;base64,)")
_UNUSUAL = re.compile(r"[^-.a-zA-Z0-9]")
_VERSIONS = 1 << 53  # what every reader of JSON can hold


class Names:
    """The names and labels of one cluster's ConfigMaps."""

    def __init__(self, cluster_id: str) -> None:
        self._cluster_id = cluster_id
        self.cluster_map = f"{cluster_id}-cluster{_SUFFIX}"
        self.labels = {
            "app": cluster_id,
            "type": "flink-native-kubernetes",
            "configmap-type": "high-availability",
        }
        self.selector = ",".join(f"{key}={value}" for key, value in self.labels.items())
        self.looser_selector = self.selector.rpartition(",")[0]
        """Finds the ConfigMaps of Flink 2, too, which have no ``configmap-type``; and others, of
        which ``has`` knows nothing."""

    def has(self, name: str) -> bool:
        """Whether a ConfigMap of this name is one of the cluster's."""
        return name == self.cluster_map or self.job_of(name) is not None

    def job_map(self, job_id: JobID) -> str:
        return f"{self._cluster_id}-{job_id}{_SUFFIX}"

    def job_of(self, name: str) -> JobID | None:
        """The job whose ConfigMap has this name."""
        text = name.removeprefix(f"{self._cluster_id}-").removesuffix(_SUFFIX)
        return JobID(text) if re.fullmatch(r"[0-9a-f]{32}", text) else None


# --- leader information ------------------------------------------------------------------


def leader_key(component_id: str) -> str:
    """``ConfigurationError`` for a component id that cannot be a key."""
    key = LEADER_PREFIX + _COMPONENTS.get(component_id, component_id)
    if len(key) > _LONGEST_KEY or not re.fullmatch(r"[-._a-zA-Z0-9]+", key):
        raise ConfigurationError(
            f"component id {component_id!r} cannot be a key of a ConfigMap: write letters, "
            "digits, '-', '_' and '.' only"
        )
    return key


def component_of(key: str) -> str:
    written = key.removeprefix(LEADER_PREFIX)
    return _OF_COMPONENT.get(written, written)


def encode_leader_information(information: LeaderInformation) -> str:
    return f"{information.session_id},{information.address}"


@functools.lru_cache(maxsize=64)
def decode_leader_information(text: str) -> LeaderInformation:
    """``LeaderRetrievalError`` for what is not leader information.

    Remembered: each renewal of the lock tells of it again.
    """
    session_id, comma, address = text.partition(",")
    try:
        if not comma:
            raise ValueError("there is no comma")
        return LeaderInformation(UUID(session_id), address)
    except ValueError:
        raise LeaderRetrievalError(
            f"{text[:80]!r} is not leader information: it should be <session id>,<address>"
        ) from None


def register_of(data: Mapping[str, str]) -> LeaderInformationRegister:
    """All leader information that can be read; the rest counts as absent."""
    register = {}
    for key, text in data.items():
        if key.startswith(LEADER_PREFIX):
            try:
                register[component_of(key)] = decode_leader_information(text)
            except LeaderRetrievalError:
                continue
    return register


# --- pointers ------------------------------------------------------------------------------


def job_key(job_id: JobID) -> str:
    """The key that says that a job has a ConfigMap of its own."""
    return f"{_JOBS}{job_id}"


def jobs_of(data: Mapping[str, str]) -> list[JobID]:
    """The jobs that have, or are about to have, a ConfigMap of their own."""
    found = (key.removeprefix(_JOBS) for key in data if key.startswith(_JOBS))
    return [JobID(text) for text in found if re.fullmatch(r"[0-9a-f]{32}", text)]


def prefix_of(namespace: Namespace) -> str:
    return f"{OURS}{namespace.kind}."


def entry_key(namespace: Namespace, name: str) -> str:
    """The key of an entry of any name; common names stay as they are.

    ``ConfigurationError`` for a name that is empty, too long or no text.
    """
    try:
        key = prefix_of(namespace) + _UNUSUAL.sub(_escape, name)
    except UnicodeEncodeError:
        raise ConfigurationError(f"entry name {name!r} is not text: use another name") from None
    if not name or len(key) > _LONGEST_KEY:
        raise ConfigurationError(
            f"entry name {name[:60]!r} is empty or too long for a key of a ConfigMap, which has "
            f"at most {_LONGEST_KEY} characters: use another name"
        )
    return key


def name_of(namespace: Namespace, key: str) -> str:
    """The inverse of ``entry_key``."""
    escaped = key.removeprefix(prefix_of(namespace))
    raw = re.sub(rb"_([0-9a-f]{2})", lambda found: bytes.fromhex(found[1].decode()),
                 escaped.encode())  # fmt: skip
    return raw.decode(errors="replace")


def _escape(found: re.Match[str]) -> str:
    return "".join(f"_{byte:02x}" for byte in found[0].encode())


def new_version() -> int:
    """Never used before: a reader of an entry knows by it which write made it."""
    return secrets.randbelow(_VERSIONS)


def encode_entry(version: int, value: bytes) -> str:
    """Readable where the value is text, as hawork's own pointers are."""
    try:
        text = value.decode()
    except UnicodeDecodeError:
        text = ""
    if text.encode() == value and "\x00" not in text:
        return f"{version},{text}"
    return f"{version}{_BASE64}{base64.b64encode(value).decode()}"


def decode_entry(text: str) -> Versioned[bytes]:
    """Whatever is there: text that hawork did not write is a value, too, for others to judge."""
    found = _ENTRY.match(text)
    if found is not None and (version := int(found[1])) < _VERSIONS:
        rest = text[found.end() :]
        if found[2] == ",":
            return Versioned(rest.encode(errors="surrogatepass"), version)
        with contextlib.suppress(ValueError):  # also of text that is not ASCII
            return Versioned(base64.b64decode(rest, validate=True), version)
    value = text.encode(errors="surrogatepass")
    return Versioned(value, _VERSIONS + zlib.crc32(value))
