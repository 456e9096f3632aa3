"""``python -m hawork.inspect.decoding_process``: decodes checkpoints for a large look."""

from __future__ import annotations

import contextlib
import gc
import sys

from hawork.inspect.decoding import serve

if __name__ == "__main__":
    gc.set_threshold(50_000)  # as in ``inspector``: a stream makes thousands of objects at a time
    with contextlib.suppress(KeyboardInterrupt, BrokenPipeError):
        serve(sys.stdin.buffer, sys.stdout.buffer)
