"""Another user of the machine, as a process of its own; only root can make one."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

NOBODY = 65534
needs_root = pytest.mark.skipif(
    os.geteuid() != 0, reason="not run: only root can act as another user of this machine"
)


def let_in(folder: Path) -> Path:
    """``folder``, which every user of the machine can get to now."""
    for each in (folder, *folder.parents):
        if each.stat().st_uid == os.geteuid() and not each.stat().st_mode & 0o001:
            each.chmod(0o711)
    return folder


_BECOME = f"""
import http.client, json, os, socket, ssl, stat, struct, sys, urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
"x".encode("idna")  # which is loaded now: this user may not read Python's files later
given = json.loads(sys.stdin.read())
os.setgroups([]); os.setgid({NOBODY}); os.setuid({NOBODY})
def tell(found):
    print(json.dumps(found))
"""


def as_neighbour(code: str, given: Any = None) -> Any:
    """What ``code`` tells, as another user, of what it is ``given``. Its imports came before."""
    done = subprocess.run(
        [sys.executable, "-c", _BECOME + code],
        input=json.dumps(given), capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout) if done.stdout else None
