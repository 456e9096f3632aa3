"""Run in a mount namespace of its own, on a file system of a few megabytes that fills up."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from hawork.core.errors import HaworkError
from hawork.lab import LabCluster
from hawork.testing import eventually
from tests.faults.scenario import FAST, Scenario


def fill(directory: Path) -> Path:
    filler = directory / "filler"
    with filler.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(b"x" * 65536)
        except OSError:
            return filler


def main(directory: Path) -> None:
    storage = directory / "lab" / "storage"
    storage.parent.mkdir(mode=0o700)  # a run directory that is found must be ours alone
    storage.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "none", storage], check=True)
    # The HA store lies elsewhere: on a full disk nobody could renew a lease, either.
    options = {**FAST, "high-availability.embedded.directory": str(directory / "ha")}
    with LabCluster(2, 1, directory=directory / "lab", options=options, slots=4, keep=True) as lab:
        scenario = Scenario(lab, directory)
        running = scenario.submit("counts", end=6000, rate=2000, parallelism=1)
        eventually(lambda: running.details.checkpoints > 0)
        filler = fill(storage)
        try:
            refused = scenario.submit("counts", parallelism=1)
        except HaworkError as error:
            print(f"refused: {error}")
        else:
            raise AssertionError(f"{refused} was accepted although the disk is full")
        filler.unlink()
        scenario.check_exact(running, 6000)
        accepted = scenario.submit("counts", parallelism=1)
        scenario.check_exact(accepted)
        scenario.check_nothing_left(accepted)
        print("went on")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
