"""Files and directories that no other user of the machine can have made, read or exchanged.

A secret, or a directory in which processes find their orders, is created and not found: another
user may have put something there first. What exists already is accepted only when it belongs to
this user, and when every directory on the way to it can be changed by this user and root alone (or
is sticky, as ``/tmp`` is). OpenSSH checks the way to ``authorized_keys`` by the same rule.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import stat
from collections.abc import Iterator
from pathlib import Path

from hawork.core.errors import UntrustedPathError
from hawork.core.user_files import absolute

_MOST_LINKS = 40
_OTHERS = 0o077
_LARGEST = 1 << 20
_SHARED_PLACES = ("/", "/tmp", "/var/tmp", "/dev/shm")
_PLACES_OF_ROOT = frozenset({
    *_SHARED_PLACES, "/dev", "/etc", "/home", "/mnt", "/opt", "/run", "/run/user", "/srv",
    "/usr", "/var",
})  # fmt: skip
_NOT_MAPPED = 65534
"""The user id that a user namespace shows for every user that it does not map, root perhaps."""


def check_way(path: Path) -> None:
    """Check every directory on the way to ``path``; what does not exist yet is in order.

    Symbolic links on the way have to belong to this user or root, too. ``path`` itself is not
    looked at. ``UntrustedPathError`` says which directory another user could change.
    """
    place, links = Path("/"), 0
    pending = list(reversed(absolute(path).parts[1:]))
    while pending:
        part = pending.pop()
        if part == "..":
            place = place.parent
            continue
        found = place / part
        try:
            status = found.lstat()
        except (FileNotFoundError, NotADirectoryError):
            return
        if stat.S_ISLNK(status.st_mode):
            _check_owner(found, status)
            links += 1
            if links > _MOST_LINKS:
                raise UntrustedPathError(
                    f"{path} leads through too many symbolic links: see where {found} leads, or "
                    "choose another place"
                )
            target = found.readlink()
            place = Path("/") if target.is_absolute() else place
            pending += [each for each in reversed(target.parts) if each != "/"]
        elif pending:
            if not stat.S_ISDIR(status.st_mode):
                return  # there is nothing below a device such as /dev/null, which all may write
            _check_directory(found, status)
            place = found


def private_directory(path: Path) -> None:
    """Make a directory that only this user can look into, or check one that is there.

    One of ours that others can look into, but not write, holds nothing of theirs, and is closed to
    them (mode 0700). So is one that they can write when it is empty or, where it is sticky as the
    root of a new tmpfs, holds nothing but files of ours. ``UntrustedPathError`` for any other, for
    a symbolic link, and for a place that the whole machine shares; ``OSError`` when it cannot be
    made.
    """
    check_way(path)
    missing = [path]
    while not missing[-1].parent.exists():
        missing.append(missing[-1].parent)
    for each in reversed(missing):
        with contextlib.suppress(FileExistsError):
            each.mkdir(mode=0o700)
    check_way(path)
    with _opened(path, os.O_RDONLY | os.O_DIRECTORY) as descriptor:
        status = os.fstat(descriptor)
        if status.st_uid != os.geteuid():
            raise UntrustedPathError(
                f"{path} belongs to the user with id {status.st_uid}, this process runs as "
                f"{os.geteuid()}: run it as that user, or choose a directory of your own"
            )
        mode = stat.S_IMODE(status.st_mode)
        if not mode & _OTHERS:
            return
        if _is_shared_place(status):
            raise UntrustedPathError(
                f"{path} is a place of the whole machine, which stays open to other users: choose "
                "a directory below it"
            )
        writable = mode & 0o022
        if not writable or _holds_nothing_of_others(descriptor, mode):
            os.fchmod(descriptor, 0o700)
            if not writable or _holds_nothing_of_others(descriptor, mode):  # nor in between
                return
            os.fchmod(descriptor, mode)
        raise UntrustedPathError(
            f"{path} can be written by other users (mode {mode:04o}) and is not empty: choose a "
            f"new directory, or make sure that its contents are yours and run 'chmod 700 {path}'"
        )


def _is_shared_place(status: os.stat_result) -> bool:
    for place in _SHARED_PLACES:
        with contextlib.suppress(OSError):
            if os.path.samestat(status, os.stat(place)):
                return True
    return False


def _holds_nothing_of_others(directory: int, mode: int) -> bool:
    """Whether no other user can have made, or exchanged, what is in a directory they can write.

    Where it is sticky they cannot rename what is ours; a second name that they gave to a file of
    ours counts as theirs, and so does all that is below a directory.
    """
    with os.scandir(directory) as entries:
        for entry in entries:
            status = entry.stat(follow_symlinks=False)
            ours = status.st_uid == os.geteuid() and stat.S_ISREG(status.st_mode)
            if not (mode & stat.S_ISVTX and ours and status.st_nlink == 1):
                return False
    return True


def read_private(path: Path) -> str:
    """The text of a file that only this user or root can have written, and others cannot read.

    A file of root is accepted as it is, and so is a link within its directory, as Kubernetes
    mounts a Secret. ``UntrustedPathError`` for any other file, ``OSError`` when it cannot be read.
    """
    check_way(path)
    if path.is_symlink():
        target = Path(os.path.realpath(path))
        if Path(os.path.realpath(path.parent)) not in target.parents:
            raise UntrustedPathError(
                f"{path} is a symbolic link to another directory: write the file itself there"
            )
        path = target
    with _opened(path, os.O_RDONLY | os.O_NONBLOCK) as descriptor:
        status = os.fstat(descriptor)
        _check_owner(path, status)
        mode = stat.S_IMODE(status.st_mode)
        if not stat.S_ISREG(status.st_mode):
            raise UntrustedPathError(f"{path} is not a regular file: write one")
        if mode & (_OTHERS if status.st_uid == os.geteuid() else 0o022):
            raise UntrustedPathError(
                f"{path} is open to other users (mode {mode:04o}): remove it, so that a new one is "
                f"made, or run 'chmod 600 {path}' if none of them has seen it"
            )
        return os.read(descriptor, _LARGEST).decode()


def create_private(path: Path, text: str) -> bool:
    """Create a file with ``text``, which appears whole, for this user alone.

    Missing directories are made. Returns False, and writes nothing, when there is one.
    ``UntrustedPathError`` when another user could exchange it, ``OSError`` when it cannot be made.
    """
    if not path.parent.exists():
        private_directory(path.parent)
    check_way(path)
    temporary = _written(path, text, flush=True)
    try:
        os.link(temporary, path, follow_symlinks=False)
    except FileExistsError:
        return False
    finally:
        temporary.unlink()
    return True


def write_private(path: Path, text: str) -> None:
    """Write a file for this user alone, whole, in place of what is there."""
    temporary = _written(path, text, flush=False)
    try:
        temporary.replace(path)
    except BaseException:
        temporary.unlink()
        raise


def _written(path: Path, text: str, *, flush: bool) -> Path:
    temporary = path.with_name(f".{path.name}-{secrets.token_hex(6)}")
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
    descriptor = os.open(temporary, flags, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(text.encode())
            file.flush()
            if flush:
                os.fsync(file.fileno())
    except BaseException:
        temporary.unlink()
        raise
    return temporary


@contextlib.contextmanager
def _opened(path: Path, flags: int) -> Iterator[int]:
    try:
        descriptor = os.open(path, flags | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        if path.is_symlink():
            raise UntrustedPathError(
                f"{path} is a symbolic link, which another user may have made: name what it "
                "leads to"
            ) from None
        raise
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _check_owner(path: Path, status: os.stat_result) -> None:
    if status.st_uid not in (0, os.geteuid()) and not _is_roots(path, status):
        raise UntrustedPathError(
            f"{path} belongs to the user with id {status.st_uid}, who could exchange what is "
            f"there; this process runs as {os.geteuid()}: run it as that user, or choose a place "
            "of your own"
        )


def _is_roots(path: Path, status: os.stat_result) -> bool:
    """Whether a place that has root's owner everywhere has it here, where root is not mapped.

    So it is in a container without root, or in a sandbox, which sees root as it sees all others.
    """
    return (
        status.st_uid == _NOT_MAPPED
        and str(path) in _PLACES_OF_ROOT
        and status.st_uid == os.stat("/").st_uid
        and _some_users_are_not_mapped()
    )


def _some_users_are_not_mapped() -> bool:
    try:
        mapped = Path("/proc/self/uid_map").read_text().split()
    except OSError:
        return False
    return sum(map(int, mapped[2::3])) < (1 << 32) - 1


def _check_directory(path: Path, status: os.stat_result) -> None:
    _check_owner(path, status)
    mode = stat.S_IMODE(status.st_mode)
    if mode & stat.S_ISVTX or not mode & 0o022:
        return
    if mode & 0o002 or not _is_private_group(status.st_gid):
        raise UntrustedPathError(
            f"{path} can be written by other users (mode {mode:04o}), who could exchange what is "
            f"there: run 'chmod go-w {path}', or choose another place"
        )


def _is_private_group(group_id: int) -> bool:
    """Whether a group has this user as its only member, as most distributions make one each."""
    import grp
    import pwd

    if group_id != os.getegid():
        return False
    try:
        group, user = grp.getgrgid(group_id), pwd.getpwuid(os.geteuid())
    except KeyError:
        return False
    return group.gr_name == user.pw_name and not set(group.gr_mem) - {user.pw_name}
