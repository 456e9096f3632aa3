"""A thousand faults per backend, in drills of a hundred; every seed is printed.

``HAWORK_NEMESIS_DRILLS`` is how many of them; ``HAWORK_SEED`` the first seed.
"""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import sys
from collections import Counter

import pytest

FAULTS = 100
DRILLS = int(os.environ.get("HAWORK_NEMESIS_DRILLS", "10"))
BACKENDS = {"embedded": 1, "zookeeper": 3, "kubernetes": 1}
"""And the servers of their stores."""


@pytest.mark.soak
@pytest.mark.timeout(900 * DRILLS)
@pytest.mark.parametrize("ha", BACKENDS)
def test_a_thousand_faults(ha: str) -> None:
    first = int(os.environ.get("HAWORK_SEED") or secrets.randbelow(1_000_000))
    broken, done, jobs = list[str](), Counter[str](), 0
    for seed in range(first, first + DRILLS):
        drill = subprocess.run(
            [
                sys.executable, "-P", "-m", "hawork.cli.main", "drill", "--json", "--ha", ha,
                "--servers", str(BACKENDS[ha]), "--seed", str(seed), "--faults", str(FAULTS),
            ],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert drill.stdout, drill.stderr
        report = json.loads(drill.stdout)
        done.update(report["faults"])
        jobs += report["jobs"]
        print(f"\n{ha}, seed {report['seed']}: {sum(report['faults'].values())} faults, "
              f"{report['jobs']} jobs, {report['leaders']} leaders, {report['writes']} writes, "
              f"{report['seconds']} s, {len(report['breaches'])} promises broken")  # fmt: skip
        broken += [f"{report['seed']}: {each}" for each in report["breaches"]]
    print(f"{ha}: {done.total()} faults, {jobs} jobs: {dict(done)}")
    assert not broken, "\n".join(broken)
