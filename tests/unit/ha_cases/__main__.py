"""Pack the cases below a directory."""

import sys
from pathlib import Path

from ha_cases import pack

pack(Path(sys.argv[1]))
