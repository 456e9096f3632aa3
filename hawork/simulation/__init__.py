"""The HA core in simulation: hawork's own code on a simulated clock, scheduler, network and store.

A schedule of three JobManagers takes milliseconds, comes from a seed, and can be had again.
"""

from hawork.simulation.schedule import Outcome, replay, run
from hawork.simulation.seed import ForeignSeedError, Seed

__all__ = ["ForeignSeedError", "Outcome", "Seed", "replay", "run"]
