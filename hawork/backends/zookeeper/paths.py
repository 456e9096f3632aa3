"""Where everything lies in ZooKeeper: drawn here, and built nowhere else.

::

    <chroot of the quorum><path.root>/<cluster-id>            shared with Apache Flink 1.20:
        /leader/latch/_c_<session id>-latch-<10 digits>       a contender   ephemeral, empty
        /leader/<component id>/connection_info                its address   ephemeral, Java
        /jobgraphs/<job id>                                   Flink's own pointers: read only
        /jobs/<job id>/checkpoints/<19 digits>
        /jobs/<job id>/checkpoint_id_counter
                                                              hawork's own, JSON:
        /hawork/<path.jobgraphs>/<job id>                     job graph pointer
        /hawork/results/<job id>                              decided job result
        /hawork/jobs/<job id>/checkpoints/<19 digits>         completed checkpoint pointer
        /hawork/jobs/<job id>/checkpoint_id_counter/<name>    next checkpoint id

Election and discovery stand where Flink's do. Pointers have a child of their own, so that
neither side meets the other's bytes: Flink would take a pointer without ``locks`` for one
that is marked for deletion, and hawork must never remove a pointer of Flink's.
"""

from __future__ import annotations

import re
import urllib.parse
from dataclasses import dataclass
from uuid import UUID

from hawork.core import options
from hawork.core.configuration import Configuration
from hawork.core.errors import ConfigurationError
from hawork.core.types import LeaderSessionID
from hawork.ha.pointer_store import Namespace

CONNECTION_INFO = "connection_info"
_LATCH_NAME = "latch-"  # Curator's: contenders are sorted by what follows the last of these
_PROTECTED = "_c_"  # Curator's: a create whose outcome is unclear is found again by its id


@dataclass(frozen=True, slots=True)
class ZNodePaths:
    """The paths of one cluster, relative to the chroot."""

    root: str
    cluster: str
    job_graphs: str

    @classmethod
    def of(cls, config: Configuration) -> ZNodePaths:
        """``ConfigurationError`` when an option is not a path of znodes."""
        root, cluster, job_graphs = (
            _checked(option.key, config.get_option(option), empty)
            for option, empty in (
                (options.ZK_ROOT, True),
                (options.CLUSTER_ID, False),
                (options.ZK_JOBGRAPHS, False),
            )
        )
        return cls(root or "/", root + cluster, job_graphs)

    @property
    def leader(self) -> str:
        return f"{self.cluster}/leader"

    @property
    def latch(self) -> str:
        return f"{self.leader}/latch"

    @property
    def pointers(self) -> str:
        return f"{self.cluster}/hawork"

    def latch_prefix(self, session_id: LeaderSessionID) -> str:
        """The path of a contender's node, without the number that the server appends."""
        return f"{self.latch}/{_PROTECTED}{session_id}-{_LATCH_NAME}"

    def component(self, component_id: str) -> str:
        return f"{self.leader}/{component_id}"

    def connection_info(self, component_id: str) -> str:
        return f"{self.component(component_id)}/{CONNECTION_INFO}"

    def namespace(self, namespace: Namespace) -> str:
        if namespace.job_id is None:
            kind = self.job_graphs if namespace.kind == "jobgraphs" else f"/{namespace.kind}"
            return f"{self.pointers}{kind}"
        kind = "checkpoint_id_counter" if namespace.kind == "counters" else namespace.kind
        return f"{self.job(namespace)}/{kind}"

    @property
    def jobs(self) -> str:
        """The parent of all jobs that have namespaces of their own."""
        return f"{self.pointers}/jobs"

    def job(self, namespace: Namespace) -> str:
        """The parent of a job's own namespaces."""
        return f"{self.jobs}/{namespace.job_id}"


def in_latch_order(children: list[str]) -> list[str]:
    """The contenders in the order in which they will lead. Source: Curator's ``LockInternals``.

    Other than there, a server that has counted beyond 2^31, and goes on with negative numbers,
    does not put every newcomer before the leader.
    """
    return sorted(children, key=_turn)


def _turn(child: str) -> tuple[int, str]:
    text = child[child.rfind(_LATCH_NAME) + len(_LATCH_NAME) :] if _LATCH_NAME in child else child
    found = re.fullmatch(r"-?[0-9]{9,10}", text)
    return (int(text) % 2**32, "") if found else (2**32, text)


def session_id_of(child: str) -> LeaderSessionID | None:
    """The id in a contender's protected name: in hawork that of the leadership it waits for."""
    text, separator, _ = child.removeprefix(_PROTECTED).partition(f"-{_LATCH_NAME}")
    try:
        return UUID(text) if separator and child.startswith(_PROTECTED) else None
    except ValueError:
        return None


def entry_name(name: str) -> str:
    """A znode name for an entry of any name; common names stay as they are."""
    if not name:
        raise ConfigurationError("an entry of the HA store has an empty name: give it a name")
    quoted = urllib.parse.quote(name, errors="surrogatepass", safe=" !$&'()*+,;=:@[]{}|^~#<>?\"\\`")
    return quoted.replace(".", "%2E") if name in (".", "..", "zookeeper") else quoted


def name_of_entry(child: str) -> str:
    """The inverse of ``entry_name``; also of names that it would not give, each another one."""
    try:
        return urllib.parse.unquote(child, errors="surrogatepass")
    except UnicodeDecodeError:
        return urllib.parse.unquote(child, errors="surrogateescape")


def _checked(key: str, value: str, may_be_empty: bool) -> str:
    """``value`` as an absolute path, or as nothing when it is the root."""
    parts = [part for part in value.split("/") if part]
    bad = [part for part in parts if part in (".", "..") or not part.isprintable()]
    if bad or not (parts or may_be_empty):
        raise ConfigurationError(
            f"option {key} is {value!r}: write names joined by '/', such as {'/flink'!r}"
        )
    if parts[:1] == ["zookeeper"] and may_be_empty:
        raise ConfigurationError(
            f"option {key} is {value!r}: /zookeeper belongs to the servers, choose another path"
        )
    return "".join(f"/{part}" for part in parts)
