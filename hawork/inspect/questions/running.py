"""Rights, and where storageDir lies: what a cluster that runs can be asked (questions 16, 25)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from urllib.parse import urlsplit

from hawork.backends.kubernetes.rights import FLINK_JOB_MANAGER_VERBS, JOB_MANAGER_VERBS
from hawork.inspect.cluster import Cluster
from hawork.inspect.finding import Finding, Object
from hawork.inspect.probes import SHARED_MOUNTS, VOLATILE_MOUNTS
from hawork.inspect.questions.facts import Check, Facts, named, several

__all__ = ["CHECKS", "is_shared", "loads_told"]

_OPTION = Object("option", "high-availability.storageDir")
_HOST = re.compile(r"[a-z.]+://(?:[^@/]*@)?(\[[^]]*\]|[^:/]*)")


def rights(facts: Facts) -> Iterator[Finding]:
    """May these credentials do what a JobManager does?"""
    rights = facts.cluster.probes.rights
    needed = FLINK_JOB_MANAGER_VERBS if facts.cluster.stored_jobs else JOB_MANAGER_VERBS
    missing = [verb for verb in needed if not rights.get(verb, True)]
    if missing:
        proven = _leads_now(facts.cluster) and "delete" not in missing
        namespace = facts.cluster.settings.get("kubernetes.namespace") or "default"
        yield Finding(
            "rights-missing", "info" if proven else "warning", (16,),
            (Object("option", "kubernetes.config.file"),),
            f"the credentials of this configuration may not {_lacking(facts, missing)} in "
            f"namespace {namespace}",
            ("asked with a SelfSubjectAccessReview for each verb",
             *(("a JobManager renewed its lease just now: it has them",) if proven else ())),
            "a JobManager with the same credentials cannot lead, or cannot write a pointer; these "
            "may be yours, and its service account may have others",
            safe=f"add {'the verb' if len(missing) == 1 else 'the verbs'} {', '.join(missing)} to "
            "the Role of Flink's service account; 'hawork manifests' prints one",
            unsafe="cluster-admin for the service account",
        )  # fmt: skip


def _lacking(facts: Facts, missing: list[str]) -> str:
    """The verbs, apart by whether a Role allows them on the cluster's own ConfigMap."""
    only = facts.cluster.probes.only
    wholly = [verb for verb in missing if verb not in only]
    said = [f"{', '.join(wholly)} ConfigMaps"] if wholly else []
    if others := [verb for verb in missing if verb in only]:
        said.append(f"{', '.join(others)} ConfigMaps other than {only[others[0]]}")
    return ", nor ".join(said)


def _leads_now(cluster: Cluster) -> bool:
    """Whether a lease runs. Its holder has every right but that to delete, which only the end of a
    job needs.
    """
    record = None if cluster.leadership is None else cluster.leadership.record
    now = cluster.moment.latest
    if record is None or not record.holder or record.renew_time is None or now is None:
        return False
    return record.renew_time <= now < record.renew_time + record.lease_duration


def storage(facts: Facts) -> Iterator[Finding]:
    """Does storageDir outlive a machine, and do all JobManagers see it?"""
    cluster = facts.cluster
    kind = cluster.probes.mount
    if not kind:
        return
    hosts = _hosts(cluster)
    if len(hosts) > 1 and not _is_shared_mount(kind):
        yield Finding(
            "storage-not-shared", "warning", (25,), (_OPTION,),
            f"JobManagers run on {several(len(hosts), 'host')}, and storageDir is a directory of "
            f"this machine ({kind})",
            (f"addresses are published of {named(sorted(hosts))}",),
            "each JobManager sees its own files: the next leader ends, since no pointer has a file",
            safe="move storageDir to a file system that all of them see",
            unsafe="copy the directory from one machine to the other while a JobManager runs",
        )  # fmt: skip
    elif kind in VOLATILE_MOUNTS:
        yield Finding(
            "storage-not-durable", "info", (25,), (_OPTION,),
            f"storageDir lies on {kind}, which goes with this machine or this container", (),
            "harmless on a machine that is for tests; pointers outlive their files else",
            safe="move storageDir to a file system that stays", unsafe="",
        )  # fmt: skip


def _hosts(cluster: Cluster) -> set[str]:
    leadership = cluster.leadership
    published = [] if leadership is None else leadership.published
    addresses = [each.information.address for each in published if each.information is not None]
    return {match[1] for address in addresses if (match := _HOST.match(address))}


def _is_shared_mount(kind: str) -> bool:
    return kind in SHARED_MOUNTS or kind.startswith("fuse")


def is_shared(cluster: Cluster) -> tuple[bool, str]:
    """Whether question 25 can be answered, and what is known or missing."""
    url = cluster.settings.storage_dir
    if url is None:
        return False, "no configuration with high-availability.storageDir was given (--config)"
    scheme = urlsplit(url).scheme if "://" in url or url.startswith("file:") else "file"
    if scheme != "file":
        return True, f"{scheme} is a store that all machines see"
    kind = cluster.probes.mount
    if not kind:
        return False, (
            "storageDir is a directory: whether its file system is shared and stays is seen on "
            "the JobManagers' machines only; run 'hawork inspect --config FILE' there"
        )
    return True, f"storageDir lies on {kind}"


def loads_told(cluster: Cluster) -> str:
    """How many connections and watches each server has."""
    return "; ".join(
        f"{load.server} has {several(load.connections, 'connection')} and "
        f"{several(load.watches, 'watch', 'watches')} of all its clients"
        for load in cluster.probes.loads
    )


CHECKS: tuple[Check, ...] = (rights, storage)
