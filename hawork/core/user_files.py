"""Files of the user: a home may be missing, or be read-only, as in many containers."""

from __future__ import annotations

import os
import stat
import tempfile
from pathlib import Path


def expanded(path: Path | str) -> Path:
    """A path with ``~`` resolved where there is a home, and as it is elsewhere.

    >>> expanded("/a/~b")
    PosixPath('/a/~b')
    """
    return Path(os.path.expanduser(path))  # noqa: PTH111 - the other one raises without a home


def home_directory() -> Path | None:
    """``HOME``, or what the password file says of this user; ``None`` when neither does."""
    home = expanded("~")
    return home if home.is_absolute() else None


def is_writable(directory: Path) -> bool:
    """Whether files can be made in a directory, or it can be made itself."""
    while not directory.exists() and directory != directory.parent:
        directory = directory.parent
    return directory.is_dir() and os.access(directory, os.W_OK | os.X_OK, effective_ids=_EFFECTIVE)


_EFFECTIVE = os.access in os.supports_effective_ids


def fallback_directory() -> Path:
    """A directory for what would be kept in the home, among the temporary files.

    It is this user's alone, and the same one next time, unless another process has taken its name.
    """
    place = Path(tempfile.gettempdir()) / f"hawork-{os.geteuid()}"
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
