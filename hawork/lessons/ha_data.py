"""HA data of a real Flink cluster, in a folder of the reader's own: to look at, break and mend.

Two clusters of Apache Flink 1.20.5 lie in ``notebooks/cases``, one on ZooKeeper and one on
Kubernetes. Each ran four jobs and was killed while it did, and this is what an engineer had in hand
then: the configuration, a dump of the HA store, and the files. ``hawork.lessons.calls`` says what
is damaged in which copy.
"""

from __future__ import annotations

import base64
import html
import io
import json
import os
import shlex
import shutil
import subprocess
import sys
import tarfile
import tempfile
import weakref
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from hawork.core.calls import checked
from hawork.core.errors import LabError
from hawork.core.user_files import temporary_directory
from hawork.inspect.inspector import ShownInspection, inspect
from hawork.inspect.repair.repairing import plan_repair
from hawork.inspect.sources import Sources, read_store
from hawork.inspect.znodes import ZooKeeperTree
from hawork.inspect.zookeeper_dumps import write_zookeeper_dump
from hawork.lessons.names import name_of, split_key
from hawork.story.predictions import Prediction, frame_of, is_guess

if TYPE_CHECKING:
    import pandas

__all__ = ["HaData", "Held", "unpacked"]

FOLDER: Final = "cases"
ROOT: Final = "file:/srv/flink"
"""What the folder ``storage`` stands for: every URL in HA data is absolute."""
_STORES: Final = {"zookeeper.json": "--zookeeper-dump", "configmaps.json": "--configmaps"}
_PATIENCE: Final = 60.0
"""Seconds that a command may take."""


@dataclass(frozen=True)
class Held:
    """All that a copy holds: the values of the HA store by name, and the files."""

    store: Mapping[str, str]
    files: Mapping[str, bytes]


class HaData:
    """A copy of a cluster's HA data. It goes with ``close``, and with the kernel.

    ``config``, the dump and the folder ``storage`` below ``directory`` are what the command line
    is given; they may be changed with any other tool as well.
    """

    def __init__(self, name: str, directory: Path) -> None:
        self.name = name
        self.directory = directory
        self.call, self.log = "", ""
        self._remove = weakref.finalize(self, shutil.rmtree, directory, ignore_errors=True)
        self._asked: dict[str, Prediction] = {}
        self._server: Any = None
        self._removed: set[tuple[str, str | None]] = set()
        self.dump = next(each for each in map(directory.joinpath, _STORES) if each.exists())
        self.config, self.storage = directory / "config.yaml", directory / "storage"
        self.remember()

    # --- looking -------------------------------------------------------------------------

    @property
    def backend(self) -> str:
        return "zookeeper" if self.dump.name == "zookeeper.json" else "kubernetes"

    @property
    def sources(self) -> Sources:
        """What the inspector is given: the dump, or the store itself while it is served.

        >>> inspect_panel(data.sources)                                    # doctest: +SKIP
        """
        self.check_open()
        store: dict[str, Any] = {"store_itself": True}
        if self._server is None:
            name = "zookeeper_dump" if self.backend == "zookeeper" else "configmaps"
            store = {name: self.dump}
        return Sources(self.config, storage=self.storage, mapping={ROOT: "."}, **store)

    def inspect(self) -> ShownInspection:
        """What ``hawork inspect`` says of the copy as it is now. Reads only.

        >>> data.inspect().recovery.jobmanager                             # doctest: +SKIP
        'crash-loops'
        """
        return inspect(self.sources)

    def rows(self) -> pandas.DataFrame:
        """Every value of the HA store: its name, its bytes, and what they are.

        >>> data.rows()                                                    # doctest: +SKIP
        """
        import pandas

        cluster = inspect(self.sources).cluster
        told = {str(each.entry.object): _pointer(each) for each in cluster.pointers}
        for job in cluster.jobs.values():
            if job.counter is not None:
                place = job.counter.entry.object
                told[str(place)] = f"the next checkpoint is {job.counter.value}"
        rows = [
            (name, len(base64.b64decode(value)), told.get(name, ""))
            for name, value in self.held().store.items()
        ]
        return pandas.DataFrame(rows, columns=["name", "bytes", "value"])

    def held(self) -> Held:
        """All that the copy holds now; ``found`` is what it held when it was opened.

        >>> data.held() == data.found                                      # doctest: +SKIP
        True
        """
        store = {}
        for item in self._dumped():
            if self.backend == "zookeeper":
                if item["path"].count("/") > 1:  # above it lie the znodes that clusters share
                    store[item["path"]] = item["data"]
                continue
            name = item["metadata"]["name"]
            store[name] = ""
            values = {**(item.get("data") or {}), **item["metadata"].get("annotations", {})}
            for key, text in values.items():
                store[f"{name}[{key}]"] = base64.b64encode(text.encode()).decode()
        files = {
            path.relative_to(self.storage).as_posix(): path.read_bytes()
            for path in sorted(self.storage.rglob("*"))
            if path.is_file()
        }
        return Held(store, files)

    def __repr__(self) -> str:
        if not self._remove.alive:
            return f"{self.name}: closed"
        files = sum(path.is_file() for path in self.storage.rglob("*"))
        what = "ConfigMaps, as kubectl prints them"
        if self.backend == "zookeeper":
            what = "znode" if len(self._dumped()) == 1 else "znodes"
        lines = [
            f"{self.name}: {self.call}" if self.call else self.name,
            f"in {self.directory}",
            "    config.yaml        the configuration of its JobManagers",
            f"    {self.dump.name:<18} {len(self._dumped())} {what}",
            f"    storage/           what was below {ROOT}: {files} files",
        ]
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        return f"<pre>{html.escape(repr(self))}</pre>"

    # --- changing ------------------------------------------------------------------------

    @checked
    def remove(self, name: str, key: str | None = None) -> None:
        """Remove a znode with all below it, a ConfigMap or a key of one, a file or a folder.

        A file is named as below ``storage``, a key of a ConfigMap by itself or as in ``rows``.
        ``LabError`` when there has been no such thing: a cell may be run again.

        >>> data.remove("/flink/flights-prod/jobs/534f.../checkpoints")    # doctest: +SKIP
        >>> data.remove("flights-prod-cluster-config-map", "jobGraph-f9f7...")  # doctest: +SKIP
        """
        self._check_changes()
        items, before = self._dumped(), self.held()
        asked, key = self._named(name, key)
        if asked.startswith("/"):
            self._check_zookeeper(asked)
            kept = [each for each in items if not f"{each['path']}/".startswith(f"{asked}/")]
            self._dump(kept)
        elif key is not None or any(each["metadata"]["name"] == asked for each in self._maps()):
            self._remove_map(asked, key)
        else:
            self._remove_file(asked)
        if self.held() != before:
            self._removed.add((asked, key))
        elif (asked, key) not in self._removed:
            shown = name if key is None else f"{name}[{key}]"
            raise LabError(f"there is no {shown}: copy the name from data.rows() or data.storage")

    @checked
    def write(self, name: str, value: bytes, key: str | None = None) -> None:
        """Write a znode, a key of a ConfigMap, or a file below ``storage``; new or over the old.

        ``LabError`` for a znode whose parent is not there: ZooKeeper makes none by itself.

        >>> data.write("/flink/flights-prod/jobs", b"")                    # doctest: +SKIP
        """
        self._check_changes()
        items = self._dumped()
        name, key = self._named(name, key)
        if name.startswith("/"):
            self._check_zookeeper(name)
            self._write_znode(items, name, value)
        elif key is not None:
            self._write_key(items, name, key, value)
        else:
            self._write_file(name, value)

    def undo(self) -> None:
        """Make the copy again what it was when it was opened.

        >>> data.undo()                                                    # doctest: +SKIP
        """
        self._check_changes()
        shutil.rmtree(self.storage, ignore_errors=True)
        for path, content, changed in self._kept:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
            os.utime(path, (changed, changed))

    def remember(self) -> None:
        """Take the copy as it is for what was found, and what would mend it."""
        self.found = self.held()
        self.plan = plan_repair(self.sources)
        paths = [self.dump, *(path for path in self.storage.rglob("*") if path.is_file())]
        self._kept = [(path, path.read_bytes(), path.stat().st_mtime) for path in paths]

    def _write_znode(self, items: list[dict[str, Any]], name: str, value: bytes) -> None:
        data = base64.b64encode(value).decode()
        for each in items:
            if each["path"] == name:
                each["data"], each["version"] = data, each["version"] + 1
                break
        else:
            parent = name.rpartition("/")[0]
            if parent and all(each["path"] != parent for each in items):
                raise LabError(f"there is no {parent}: write that first, as ZooKeeper wants it")
            items.append({"path": name, "data": data, "ephemeralOwner": None, "version": 0})
        self._dump(items)

    def _write_key(self, items: list[dict[str, Any]], name: str, key: str, value: bytes) -> None:
        maps = [each for each in self._maps(items) if each["metadata"]["name"] == name]
        if not maps:
            raise LabError(f"there is no ConfigMap {name}")
        try:
            maps[0]["data"] = {**(maps[0].get("data") or {}), key: value.decode()}
        except UnicodeDecodeError:
            raise LabError(f"{value!r} is not text, and a ConfigMap holds text only") from None
        self._dump(items)

    def _write_file(self, name: str, value: bytes) -> None:
        path = self._file(name)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(value)
        except OSError as error:
            raise LabError(f"{name} cannot be written: {error.strerror or error}") from None

    def _remove_map(self, name: str, key: str | None) -> None:
        items = self._maps()
        if key is None:
            self._dump([each for each in items if each["metadata"]["name"] != name])
            return
        for each in items:
            if each["metadata"]["name"] == name:
                (each.get("data") or {}).pop(key, None)
                each["metadata"].get("annotations", {}).pop(key, None)
        self._dump(items)

    def _remove_file(self, name: str) -> None:
        path = self._file(name)
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)

    def _file(self, name: str) -> Path:
        path, root = (self.storage / name).resolve(), self.storage.resolve()
        if path == root:
            raise LabError(f"{name!r} is all of {self.storage}: name a file or a folder below it")
        if not path.is_relative_to(root):
            raise LabError(f"{name} leads out of {self.storage}: name a file below it")
        return path

    def _named(self, name: str, key: str | None) -> tuple[str, str | None]:
        """What a reader means, who copies a name from a table, a finding or a log."""
        meant = name_of(name, self.storage) or ""
        if meant.startswith("/"):
            return meant.rstrip("/") or "/", key
        return (meant, key) if key is not None else split_key(meant)

    def _maps(self, items: list[dict[str, Any]] | None = None) -> list[dict[str, Any]]:
        if self.backend != "kubernetes":
            return []
        return self._dumped() if items is None else items

    def _check_zookeeper(self, path: str) -> None:
        if self.backend != "zookeeper":
            raise LabError(
                f"there is no {path}: this copy is of Kubernetes, "
                "whose entries are keys of ConfigMaps"
            )

    def check_open(self) -> None:
        """``LabError`` when the copy was closed."""
        if not self._remove.alive:
            raise LabError(f"this copy is closed: open it again with ha_data({self.name!r})")

    def _check_changes(self) -> None:
        self.check_open()
        if self._server is not None:
            raise LabError(
                "the copy is in a ZooKeeper server now: change it with 'hawork repair', or open "
                "another one"
            )

    def _dumped(self) -> list[dict[str, Any]]:
        self.check_open()
        if self._server is not None:
            tree = read_store(self.sources)
            assert isinstance(tree, ZooKeeperTree)
            return list(json.loads(write_zookeeper_dump(tree.znodes)))
        found = json.loads(self.dump.read_bytes())
        return list(found if isinstance(found, list) else found["items"])

    def _dump(self, items: list[dict[str, Any]]) -> None:
        """Write the dump, which stays as old as it was: ages are judged against it."""
        taken = self.dump.stat().st_mtime
        whole: Any = items
        if self.backend == "kubernetes":
            whole = {"apiVersion": "v1", "kind": "List", "items": items}
        self.dump.write_text(json.dumps(whole, indent=1))
        os.utime(self.dump, (taken, taken))

    # --- guesses -------------------------------------------------------------------------

    def predict(self, question: str, guess: Any = ..., unit: str = "") -> None:
        """Keep a guess until ``observe`` tells how it came out, as ``lab.predict`` does.

        >>> data.predict("jobs that run again", 2, unit="jobs")            # doctest: +SKIP
        """
        asked = self._asked.setdefault(question, Prediction(question))
        asked.guessed(guess if is_guess(guess) else None, unit)

    def observe(self, question: str, value: Any) -> Any:
        """Keep what came out; returns ``value``. ``LabError`` for what was not asked.

        >>> data.observe("jobs that run again", 0)                         # doctest: +SKIP
        0
        """
        if question not in self._asked:
            raise LabError(f"no question {question!r} was asked: call predict first")
        self._asked[question].saw(value)
        return value

    def compare(self) -> pandas.DataFrame:
        """Every guess beside what came out.

        >>> data.compare()                                                 # doctest: +SKIP
        """
        return frame_of(self._asked.values())

    # --- commands ------------------------------------------------------------------------

    @checked
    def run(self, command: str) -> int:
        """Run ``hawork`` on the copy, print what it prints, and return its exit status.

        ``inspect`` and ``repair`` are given the copy's files, ``restore`` its configuration.

        >>> data.run("repair")                                             # doctest: +SKIP
        1
        """
        self.check_open()
        words = shlex.split(command)
        given = ["--config", "config.yaml"]
        if words[:1] != ["restore"]:
            if self._server is None:
                given += [_STORES[self.dump.name], self.dump.name]
            given += ["--storage", "storage", "--map", f"{ROOT}=."]
        asked = [*words[:1], *given, *words[1:]]
        done = subprocess.run(
            [sys.executable, "-m", "hawork", *asked], cwd=self.directory, capture_output=True,
            text=True, timeout=_PATIENCE, check=False,
        )  # fmt: skip
        sys.stdout.write(f"$ hawork {shlex.join(asked)}\n{done.stdout}{done.stderr}")
        return done.returncode

    def serve(self) -> None:
        """Put the copy into a ZooKeeper server of this machine, where it can be repaired.

        From now on ``run`` and ``inspect`` ask the server. ``LabError`` for a copy of Kubernetes,
        and where ZooKeeper is missing.

        >>> data.serve()                                                   # doctest: +SKIP
        """
        from hawork.lessons.served import serve_znodes

        self.check_open()
        if self.backend != "zookeeper":
            raise LabError(f"{self.name} lay on Kubernetes: take one that lay on ZooKeeper")
        if self._server is None:
            self._server = serve_znodes(self.dump, self.config, self.directory / "server")

    def close(self) -> None:
        """Remove the copy.

        >>> data.close()                                                   # doctest: +SKIP
        """
        if self._server is not None:
            self._server.stop()
            self._server = None
        self._remove()


def _pointer(stored: Any) -> str:
    if stored.pointer is None:
        return f"cannot be read: {stored.reason}"
    said = f"points to {stored.pointer.path.removeprefix(f'{ROOT}/')}"
    if stored.file is not None and stored.file.missing:
        return f"{said}, which is not there"
    return f"{said}, marked for deletion" if stored.marked else said


def unpacked(name: str, archive: Path) -> HaData:
    """A new copy of what lies in ``archive``. ``LabError`` when it is missing or damaged."""
    directory = Path(tempfile.mkdtemp(prefix="hawork-case-", dir=temporary_directory()))
    try:
        with tarfile.open(fileobj=io.BytesIO(archive.read_bytes())) as tar:
            for member in tar:
                file = tar.extractfile(member)
                path = (directory / member.name).resolve()
                if file is None or not path.is_relative_to(directory.resolve()):
                    raise tarfile.TarError(f"{member.name} is not a file below it")
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(file.read())
                os.utime(path, (member.mtime, member.mtime))
        data = HaData(name, directory)
    except (OSError, EOFError, ValueError, tarfile.TarError, StopIteration) as error:
        shutil.rmtree(directory, ignore_errors=True)
        said = error.strerror if isinstance(error, OSError) and error.strerror else error
        raise LabError(
            f"{archive} cannot be read ({said}): start the notebook in the folder of the notebooks"
        ) from None
    return data
