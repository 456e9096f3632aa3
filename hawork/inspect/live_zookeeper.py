"""The znodes of a cluster at this moment, whole. Only reads."""

from __future__ import annotations

from hawork.backends.zookeeper.multi_read import Denied, Stat, read_children, read_nodes
from hawork.backends.zookeeper.paths import ZNodePaths
from hawork.backends.zookeeper.session import ZooKeeperSession
from hawork.core.clock import SYSTEM_CLOCK, Clock
from hawork.core.configuration import Configuration
from hawork.inspect.znode_tree import MARKS
from hawork.inspect.znodes import ZNode, ZooKeeperTree, kind_of
from hawork.inspect.zookeeper_session import open_to_look

__all__ = ["read_live_zookeeper"]


def read_live_zookeeper(config: Configuration, clock: Clock = SYSTEM_CLOCK) -> ZooKeeperTree:
    """All znodes of the cluster, and those beside its root, which are other clusters.

    A level of the tree after the other: what changes in between is seen before or after its
    change. A znode that may not be read is named in ``notes``. ``StoreUnavailableError`` when no
    server answers.
    """
    paths = ZNodePaths.of(config)
    session = open_to_look(config, clock)
    try:
        return _read(session, paths, clock)
    finally:
        session.close()


def _read(session: ZooKeeperSession, paths: ZNodePaths, clock: Clock) -> ZooKeeperTree:
    znodes: list[ZNode] = []
    notes: list[str] = []
    (beside,) = read_children(session, [paths.root])
    level = [paths.cluster]
    if isinstance(beside, list):
        level += [path for name in beside if (path := _below(paths.root, name)) != paths.cluster]
    elif isinstance(beside, Denied):
        notes.append(_denied("the children of", paths.root))
    while level:
        parents: list[str] = []
        for path, found in zip(level, read_nodes(session, level), strict=True):
            if isinstance(found, Denied):
                notes.append(_denied("", path))
                parents.append(path)
            elif found is not None:
                znodes.append(_znode(path, *found))
                if found[1].num_children and f"{path}/".startswith(f"{paths.cluster}/"):
                    parents.append(path)
        level = []
        for path, names in zip(parents, read_children(session, parents), strict=True):
            if isinstance(names, Denied):
                notes.append(_denied("the children of", path))
            else:
                level += [_below(path, name) for name in names or ()]
    if not any(znode.path.startswith(f"{paths.cluster}/") for znode in znodes):
        znodes += _elsewhere(session, paths, beside if isinstance(beside, list) else None)
    znodes.sort(key=lambda znode: znode.path)
    zxid = max((max(znode.mzxid, znode.pzxid) for znode in znodes), default=None)
    return ZooKeeperTree(tuple(znodes), zxid, clock.time(), notes=tuple(dict.fromkeys(notes)))


def _elsewhere(
    session: ZooKeeperSession, paths: ZNodePaths, beside: list[str] | None
) -> list[ZNode]:
    """What tells the clusters that there are instead: ``leader`` and the like, without the rest.

    Those beside the cluster, or in any folder of the first level when its own is not there.
    """

    def below(parents: list[str]) -> list[str]:
        found = read_children(session, parents) if parents else []
        return [_below(parent, name) for parent, names in zip(parents, found, strict=True)
                for name in (names if isinstance(names, list) else ())]  # fmt: skip

    if beside is not None:
        roots = [_below(paths.root, name) for name in beside]
    else:
        roots = below([path for path in below(["/"]) if path != "/zookeeper"])
    marks = [path for path in below(roots) if path.rpartition("/")[2] in MARKS]
    found = zip(marks, read_nodes(session, marks) if marks else [], strict=True)
    return [_znode(path, *node) for path, node in found
            if node is not None and not isinstance(node, Denied)]  # fmt: skip


def _below(parent: str, name: str) -> str:
    return f"{parent.rstrip('/')}/{name}"


def _denied(what: str, path: str) -> str:
    shown = f"{what} znode {path}".strip()
    return f"{shown} may not be read: its access list gives us no right 'read'"


def _znode(path: str, data: bytes | None, stat: Stat) -> ZNode:
    kind, owner = kind_of(stat.ephemeral_owner)
    return ZNode(
        path, data, owner, stat.version, stat.cversion, stat.aversion, stat.czxid, stat.mzxid,
        stat.pzxid, stat.ctime, stat.mtime, stat.num_children, kind,
    )  # fmt: skip
