"""``python -m hawork.cli.jupyter``: JupyterLab, without the slowest of its imports.

``jsonschema`` from version 4.25 on imports ``rfc3987_syntax`` where it is installed, as it is
beside JupyterLab: 38 parsers are made at once, more than half of what the imports of JupyterLab
cost (1.4 of 2.4 s of a processor). They check values of format ``iri``, which no schema of Jupyter
has. Without that package ``jsonschema`` leaves this format unchecked, as it did before.
"""

from __future__ import annotations

import sys

UNUSED = "rfc3987_syntax"


def main() -> int:
    """Become JupyterLab, with the arguments of this process."""
    sys.modules.setdefault(UNUSED, None)  # type: ignore[arg-type]  # what cannot be imported
    from jupyterlab.labapp import main as jupyterlab  # type: ignore[import-untyped]

    status: int = jupyterlab() or 0
    return status


if __name__ == "__main__":
    sys.exit(main())
