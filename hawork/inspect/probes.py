"""What only a cluster that runs can be asked: rights, connections and watches, and its mounts.

Reads only: a ``SelfSubjectAccessReview`` is answered and not kept, ``mntr`` is a question.
"""

from __future__ import annotations

import re
import socket
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from hawork.backends.kubernetes.rights import FLINK_JOB_MANAGER_VERBS
from hawork.core import options
from hawork.core.clock import SYSTEM_CLOCK
from hawork.core.configuration import Configuration
from hawork.core.errors import HaworkError
from hawork.ha.configuration_file import load_configuration

__all__ = ["SHARED_MOUNTS", "VERBS", "VOLATILE_MOUNTS", "Probes", "ServerLoad", "probe"]

VERBS: Final = FLINK_JOB_MANAGER_VERBS
"""What is asked for; hawork itself does without ``update``."""
SHARED_MOUNTS: Final = frozenset((
    "9p", "afs", "beegfs", "ceph", "cifs", "glusterfs", "gpfs", "lustre", "nfs", "nfs4", "smb3",
    "virtiofs",
))  # fmt: skip
"""Types of file systems that several machines see; those of FUSE besides."""
VOLATILE_MOUNTS: Final = frozenset(("overlay", "ramfs", "tmpfs"))
"""Types that go with the machine, or with the container."""
_SECONDS: Final = 2.0
"""For one server's whole answer."""
_OCTAL: Final = re.compile(r"\\([0-7]{3})")


@dataclass(frozen=True, slots=True)
class ServerLoad:
    """What one ZooKeeper server says of its clients, all of them."""

    server: str
    connections: int
    watches: int


@dataclass(frozen=True, slots=True)
class Probes:
    """Answers; ``why_not`` says by what is missing why there is none."""

    rights: Mapping[str, bool] = field(default_factory=dict)
    """By verb, on ConfigMaps, for the credentials of the configuration."""
    only: Mapping[str, str] = field(default_factory=dict)
    """By verb that is missing: the one ConfigMap on which it is there."""
    loads: tuple[ServerLoad, ...] = ()
    mount: str = ""
    """The type of the file system that storageDir lies on, on this machine."""
    why_not: Mapping[str, str] = field(default_factory=dict)


def probe(given: Path | str | Configuration, storage: str | None) -> Probes:
    """Ask the servers of a configuration, and this machine for the mount of ``storage``, a path."""
    why_not: dict[str, str] = {}
    rights: Mapping[str, bool] = {}
    only: Mapping[str, str] = {}
    loads: tuple[ServerLoad, ...] = ()
    try:
        config = given if isinstance(given, Configuration) else load_configuration(given)
        kind = str(config.get_option(options.HA_TYPE))
        if kind == "kubernetes":
            rights, only = _rights(config)
        elif kind == "zookeeper":
            loads, why_not["watches"] = _loads(config)
    except (HaworkError, ImportError) as error:
        why_not |= {"rights": str(error), "watches": str(error)}
    return Probes(rights, only, loads, "" if storage is None else mount_of(storage), why_not)


def _rights(config: Configuration) -> tuple[Mapping[str, bool], Mapping[str, str]]:
    from hawork.backends.kubernetes.client import KubernetesClient
    from hawork.backends.kubernetes.layout import Names
    from hawork.backends.kubernetes.settings import KubernetesSettings

    settings = KubernetesSettings.of(config)
    client, name = KubernetesClient(settings), Names(settings.cluster_id).cluster_map
    try:
        rights = {verb: client.may(verb) for verb in VERBS}
        missing = [verb for verb, there in rights.items() if not there and verb != "create"]
        return rights, {verb: name for verb in missing if client.may(verb, name)}
    finally:
        client.close()


def _loads(config: Configuration) -> tuple[tuple[ServerLoad, ...], str]:
    from hawork.backends.zookeeper.settings import ZooKeeperSettings

    settings = ZooKeeperSettings.of(config)
    if settings.tls is not None:
        return (), "the servers speak TLS, over which their command 'mntr' is not asked"
    found, why = [], ""
    for server in settings.servers:
        answer = _four_letters(server, "mntr")
        values = dict(line.partition("\t")[::2] for line in answer.splitlines())
        try:
            connections = int(values["zk_num_alive_connections"])
            found.append(ServerLoad(server, connections, int(values["zk_watch_count"])))
        except (KeyError, ValueError):
            why = f"{server} does not answer 'mntr': add it to its 4lw.commands.whitelist"
    return tuple(found), why


def _four_letters(server: str, command: str) -> str:
    host, _, port = server.rpartition(":")
    until = SYSTEM_CLOCK.monotonic() + _SECONDS
    try:
        with socket.create_connection((host.strip("[]"), int(port)), _SECONDS) as connection:
            connection.sendall(command.encode())
            answer = b""
            while len(answer) < 1 << 20 and (left := until - SYSTEM_CLOCK.monotonic()) > 0:
                connection.settimeout(left)
                more = connection.recv(1 << 16)
                if not more:
                    return answer.decode("utf-8", "replace")
                answer += more
            return ""  # it drips, or is longer than any answer to this
    except (OSError, ValueError):
        return ""


def mount_of(path: str, table: Path = Path("/proc/self/mountinfo")) -> str:
    """The type of the file system below ``path``; empty where this system does not tell.

    Source: ``proc_pid_mountinfo(5)``: later lines lie over former ones.
    """
    try:
        lines = table.read_text("utf-8", "surrogateescape").splitlines()
        wanted = f"{Path(path).resolve()}/"
    except (OSError, RuntimeError, ValueError):
        return ""
    best, kind = "", ""
    for line in lines:
        parts = line.split(" ")
        if len(parts) < 10 or "-" not in parts:
            continue
        point = _OCTAL.sub(lambda found: chr(int(found[1], 8)), parts[4]).rstrip("/") + "/"
        if wanted.startswith(point) and len(point) >= len(best):
            best, kind = point, parts[parts.index("-") + 1]
    return kind
