"""Importing a large package as a whole.

An interrupt in the middle of an import leaves half a package: Python forgets the package and keeps
its parts, and from then on every import of it fails until the kernel is restarted.
"""

from __future__ import annotations

import importlib
import sys
import threading

__all__ = ["import_whole"]


def import_whole(*names: str) -> None:
    """Import modules on a thread of their own, and wait for it.

    An interrupt ends the wait and not the import; whatever asks for the modules next waits for the
    rest. ``ImportError`` as ``import`` raises it.
    """
    missing = [name for name in names if name not in sys.modules]
    if not missing:
        return
    failed: list[ImportError] = []

    def run() -> None:
        try:
            for name in missing:
                importlib.import_module(name)
        except ImportError as error:
            failed.append(error)

    thread = threading.Thread(target=run, name="hawork-import", daemon=True)
    thread.start()
    thread.join()
    if failed:
        raise failed[0]
