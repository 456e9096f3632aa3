"""The HA core in simulation: hawork's own code on a simulated clock, scheduler, network and store.

A schedule of two or three JobManagers takes milliseconds, comes from a seed, and can be had again.
"""

from hawork.simulation.defects import BROKEN_FENCE, Defect
from hawork.simulation.recorded_run import SimulatedRun, record, replay
from hawork.simulation.schedule import Outcome, run
from hawork.simulation.search import Coverage, GuidedSearch
from hawork.simulation.seed import ForeignSeedError, Seed

__all__ = [
    "BROKEN_FENCE",
    "Coverage",
    "Defect",
    "ForeignSeedError",
    "GuidedSearch",
    "Outcome",
    "Seed",
    "SimulatedRun",
    "record",
    "replay",
    "run",
]
