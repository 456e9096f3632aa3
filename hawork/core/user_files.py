"""Files of the user: a home may be missing, read-only or another user's, as in containers."""

from __future__ import annotations

import errno
import os
import stat
import tempfile
from pathlib import Path

from hawork.core.errors import ConfigurationError

NOTHING_THERE = "there is no such file"


def expanded(path: Path | str) -> Path:
    """A path with ``~`` resolved where there is a home, and as it is elsewhere.

    >>> expanded("/a/~b")
    PosixPath('/a/~b')
    """
    return Path(os.path.expanduser(path))  # noqa: PTH111 - the other one raises without a home


def absolute(path: os.PathLike[str] | str) -> Path:
    """A path from the root on. ``ConfigurationError`` for a relative one where there is no place.

    A working directory can be removed under a kernel or a shell, by a new clone for example.

    >>> absolute("/a/../b")
    PosixPath('/a/../b')
    """
    try:
        return Path(path).absolute()
    except FileNotFoundError:
        raise ConfigurationError(
            f"path {str(path)!r} leads nowhere, because the working directory was removed: go to "
            "one that is there with cd (in a notebook %cd), or write an absolute path"
        ) from None


def where_programs_run() -> str | None:
    """``cwd`` for a program: ``None``, the working directory, or the root if that was removed.

    Java does not start in a directory that is not there.
    """
    try:
        Path.cwd()
    except FileNotFoundError:
        return os.sep
    return None


def home_directory() -> Path | None:
    """``HOME``, or what the password file says of this user; ``None`` when neither does."""
    home = expanded("~")
    return home if home.is_absolute() else None


def is_there(path: Path | str) -> bool:
    """Whether there is something at a path; what we may not look at is not there for us.

    The method of ``Path`` raises there: of ``~/.cache`` when ``HOME`` is another user's, say.
    """
    return os.path.exists(path)  # noqa: PTH110 - the other one raises


def is_file(path: Path | str) -> bool:
    """Whether there is a regular file at a path; one that we may not look at is none for us."""
    return os.path.isfile(path)  # noqa: PTH113 - the other one raises


def is_directory(path: Path | str) -> bool:
    """Whether there is a directory at a path; one that we may not look at is none for us."""
    return os.path.isdir(path)  # noqa: PTH112 - the other one raises


def why_not_there(path: Path | str) -> str | None:
    """Why nothing can be had at a path, as a part of a sentence; ``None`` when there is something.

    >>> why_not_there("/dev/null/file")
    'there is no such file'
    """
    try:
        os.stat(path)
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.ENOTDIR):
            return NOTHING_THERE
        return f"we may not look there ({error.strerror})"
    except ValueError:
        return "a path cannot hold the character NUL"
    return None


def why_not_a_file(path: Path | str) -> str | None:
    """Why there is no regular file at a path, as a part of a sentence; ``None`` for one."""
    if is_file(path):
        return None
    return why_not_there(path) or "it is not a regular file"


def is_writable(directory: Path) -> bool:
    """Whether files can be made in a directory, or it can be made itself."""
    while not is_there(directory) and directory != directory.parent:
        directory = directory.parent
    return is_directory(directory) and os.access(
        directory, os.W_OK | os.X_OK, effective_ids=_EFFECTIVE
    )


_EFFECTIVE = os.access in os.supports_effective_ids


def temporary_directory() -> Path:
    """Where temporary files go: ``TMPDIR``, or what else can be written.

    ``ConfigurationError`` where nothing can, as in a container whose root is read-only.
    """
    try:
        return Path(tempfile.gettempdir())
    except FileNotFoundError:
        named = os.environ.get("TMPDIR")
        tried = f"TMPDIR={named}, /tmp, /var/tmp" if named else "/tmp, /var/tmp"
        raise ConfigurationError(
            f"no directory for temporary files can be written ({tried}): set TMPDIR to one that "
            "can, such as a volume of the container"
        ) from None


def fallback_directory() -> Path:
    """A directory for what would be kept in the home, among the temporary files.

    It is this user's alone, and the same one next time, unless another process has taken its name.
    """
    place = temporary_directory() / f"hawork-{os.geteuid()}"
    try:
        place.mkdir(mode=0o700, exist_ok=True)
        found = place.lstat()
        if (
            stat.S_ISDIR(found.st_mode)
            and found.st_uid == os.geteuid()
            and not found.st_mode & 0o77
        ):
            return place
    except OSError:
        pass  # a file or a link of that name
    return Path(tempfile.mkdtemp(prefix="hawork-"))
