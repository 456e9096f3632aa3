"""A job's code as one zip: packed the same way each time, and unpacked with suspicion.

An artifact comes from a client. Its sha256 is verified before a byte of it is looked
at, and every entry is checked before any is written.
"""

from __future__ import annotations

import hashlib
import io
import os
import stat
import zipfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from hawork.core.errors import ArtifactError

MAX_FILES = 10_000
MAX_SIZE = 64 << 20
"""Bytes of an unpacked artifact, unless ``hawork.artifact.max-size`` says otherwise."""

_TIMESTAMP = (1980, 1, 1, 0, 0, 0)
_CHUNK = 1 << 16
_COMPRESSIONS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_Member = tuple[PurePosixPath, zipfile.ZipInfo]


def sha256_of(data: bytes) -> str:
    """The hash by which the blob store addresses an artifact, in hexadecimal."""
    return hashlib.sha256(data).hexdigest()


@dataclass(frozen=True, slots=True)
class Artifact:
    """The bytes of a zip, and what they must hash to."""

    data: bytes
    sha256: str

    @classmethod
    def pack(cls, source: str | os.PathLike[str] | Mapping[str, str | bytes]) -> Artifact:
        """See ``pack_artifact``."""
        data = pack_artifact(source)
        return cls(data, sha256_of(data))

    def verify(self) -> None:
        """``ArtifactError`` unless the bytes are those that the hash was made of."""
        found = sha256_of(self.data)
        if found != self.sha256:
            raise ArtifactError(
                f"artifact has sha256 {found[:12]}... instead of {self.sha256[:12]}...: "
                "it was damaged or replaced, submit the job again"
            )


def pack_artifact(source: str | os.PathLike[str] | Mapping[str, str | bytes]) -> bytes:
    """A zip of Python modules; the same files give the same bytes.

    ``source`` is the path of a ``.py`` file, of a package's directory, of a directory of
    modules or of a zip, or a mapping of file names to their text. Hidden files and
    ``__pycache__`` stay out. ``ArtifactError`` when there is no such thing, or it is not safe
    to unpack.

    >>> pack_artifact({"job.py": "def build(config): ..."})[:2]
    b'PK'
    """
    if isinstance(source, Mapping):
        files = {name: _encoded(text) for name, text in source.items()}
    else:
        files = _read_path(Path(source))
    if not any(name.endswith(".py") for name in files):
        raise ArtifactError(f"artifact {_named(source)} holds no Python module: add a .py file")
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in sorted(files):
            entry = zipfile.ZipInfo(name, _TIMESTAMP)
            entry.create_system = 3  # Unix, whatever machine packs it
            entry.external_attr = (stat.S_IFREG | 0o644) << 16
            entry.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(entry, files[name])
    data = buffer.getvalue()
    check_artifact(data, max_size=max(MAX_SIZE, sum(map(len, files.values()))))
    return data


def _encoded(text: str | bytes) -> bytes:
    return text.encode() if isinstance(text, str) else text


def _named(source: object) -> str:
    return "of given texts" if isinstance(source, Mapping) else str(source)


def _read_path(path: Path) -> dict[str, bytes]:
    try:
        if path.is_dir():
            return dict(_read_directory(path))
        if path.suffix == ".zip":
            return _read_zip(path.read_bytes())
        if path.suffix == ".py":
            return {path.name: path.read_bytes()}
    except OSError as error:
        raise ArtifactError(f"artifact {path} cannot be read: {error.strerror or error}") from None
    raise ArtifactError(f"artifact {path} is neither a .py file nor a directory nor a .zip file")


def _read_directory(directory: Path) -> Iterator[tuple[str, bytes]]:
    # A package is importable by its own name, loose modules by theirs.
    directory = directory.resolve()
    root = directory.parent if (directory / "__init__.py").exists() else directory
    for folder, folders, names in os.walk(directory):
        folders[:] = [name for name in folders if _wanted(name)]
        for name in filter(_wanted, names):
            path = Path(folder, name)
            if path.is_symlink() or not path.is_file():
                raise ArtifactError(f"artifact {directory} holds {path}, which is not a plain file")
            yield path.relative_to(root).as_posix(), path.read_bytes()


def _wanted(name: str) -> bool:
    return not name.startswith(".") and name != "__pycache__" and not name.endswith(".pyc")


def _read_zip(data: bytes) -> dict[str, bytes]:
    files: dict[str, bytes] = {}

    def keep(path: PurePosixPath, chunks: Iterator[bytes]) -> None:
        files[str(path)] = b"".join(chunks)

    _read_safely(data, MAX_SIZE, keep)
    return files


def check_artifact(data: bytes, max_size: int = MAX_SIZE) -> list[str]:
    """Read all of an artifact and keep nothing; the names of its files.

    ``ArtifactError``, in one sentence, for whatever ``unpack_artifact`` would refuse.
    """
    names: list[str] = []

    def count(path: PurePosixPath, chunks: Iterator[bytes]) -> None:
        names.append(str(path))
        for _ in chunks:
            pass

    _read_safely(data, max_size, count)
    return names


def unpack_artifact(
    data: bytes,
    directory: str | os.PathLike[str],
    max_size: int = MAX_SIZE,
    sha256: str | None = None,
) -> Path:
    """Write the files of an artifact below ``directory``, and return it.

    ``ArtifactError`` for a wrong ``sha256`` (before anything is opened), and for absolute
    paths, ``..``, links, devices, encrypted or doubled entries, too many files, and more
    than ``max_size`` bytes in all. What was written until then is left to the caller.
    """
    if sha256 is not None:
        Artifact(data, sha256).verify()
    root = Path(directory)

    def write(path: PurePosixPath, chunks: Iterator[bytes]) -> None:
        target = root / path
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            with target.open("xb") as file:
                file.writelines(chunks)
        except OSError as error:
            raise ArtifactError(
                f"artifact entry {path} cannot be unpacked: {error.strerror or error}"
            ) from error

    _read_safely(data, max_size, write)
    return root


def _read_safely(
    data: bytes, max_size: int, take: Callable[[PurePosixPath, Iterator[bytes]], None]
) -> None:
    """Hand each file to ``take``, which must use up its chunks; all checks are in here."""
    left = max_size

    def chunks(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> Iterator[bytes]:
        # Counted while reading: what an archive says about its sizes is its own word.
        nonlocal left
        with archive.open(entry) as file:
            while chunk := file.read(_CHUNK):
                left -= len(chunk)
                if left < 0:
                    raise ArtifactError(
                        f"artifact is larger than {max_size} bytes when unpacked: make it "
                        "smaller, or raise hawork.artifact.max-size"
                    )
                yield chunk

    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            for path, entry in _checked_members(archive):
                take(path, chunks(archive, entry))
    except (zipfile.BadZipFile, zipfile.LargeZipFile, EOFError, ValueError) as error:
        raise ArtifactError(f"artifact is not a readable zip file: {error}") from None
    except (NotImplementedError, RuntimeError) as error:
        raise ArtifactError(f"artifact uses a zip feature that is not allowed: {error}") from None
    except Exception as error:
        if type(error).__module__ != "zlib":
            raise
        raise ArtifactError(f"artifact is not a readable zip file: {error}") from None


def _checked_members(archive: zipfile.ZipFile) -> list[_Member]:
    """The files of an archive, none of them before all are known to be harmless."""
    entries = archive.infolist()
    if len(entries) > MAX_FILES:
        raise ArtifactError(f"artifact has {len(entries)} entries: at most {MAX_FILES} are allowed")
    members: dict[PurePosixPath, zipfile.ZipInfo] = {}
    for entry in entries:
        path = _checked_path(entry)
        if entry.is_dir():
            continue
        if path in members:
            raise ArtifactError(f"artifact has two entries {str(path)!r}: keep one")
        members[path] = entry
    for path in members:
        for parent in path.parents:
            if parent in members:
                raise ArtifactError(f"artifact entry {str(parent)!r} is a file and a directory")
    return list(members.items())


def _checked_path(entry: zipfile.ZipInfo) -> PurePosixPath:
    name = entry.orig_filename
    path = PurePosixPath(name)
    unsafe = "\\" in name or ":" in name or not name.isprintable()
    if unsafe or path.is_absolute() or ".." in path.parts or not path.parts:
        raise ArtifactError(
            f"artifact entry {name!r} could be written outside of its directory: "
            "use relative names without '..'"
        )
    kind = stat.S_IFMT(entry.external_attr >> 16)
    if kind not in (0, stat.S_IFREG, stat.S_IFDIR) or (kind == stat.S_IFDIR) > entry.is_dir():
        raise ArtifactError(f"artifact entry {name!r} is a link or a device: pack plain files")
    if entry.flag_bits & 0x1:
        raise ArtifactError(f"artifact entry {name!r} is encrypted: pack it without a password")
    if entry.compress_type not in _COMPRESSIONS:
        raise ArtifactError(f"artifact entry {name!r} is compressed unusually: use deflate")
    return path
