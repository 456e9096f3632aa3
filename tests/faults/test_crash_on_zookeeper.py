"""A crash at every step of the protocol, once, on ZooKeeper.

All other stories of crashes, pauses, damage and the soak run there with
``HAWORK_FAULTS_HA=zookeeper make test ARGS=tests/faults``.
"""

from tests.faults.crashes import crash_at_a_step
from tests.faults.scenario import PATIENT
from tests.faults.shared_lab import scenario, shared_lab_on
from tests.faults.stores import on_shared_zookeeper

__all__ = ["scenario", "shared_lab", "test_crash_at_a_step"]

shared_lab = shared_lab_on(lambda: ("zookeeper", {**on_shared_zookeeper(), **PATIENT}))
test_crash_at_a_step = crash_at_a_step
