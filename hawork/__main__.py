"""``python -m hawork``: the same as the command ``hawork``."""

from __future__ import annotations

import sys

from hawork.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
