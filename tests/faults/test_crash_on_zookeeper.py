"""A crash at every step of the protocol, once, on ZooKeeper.

All other stories of crashes, pauses, damage and the soak run there with
``HAWORK_FAULTS_HA=zookeeper make test ARGS=tests/faults``.
"""

from tests.faults.crashes import crash_at_a_step, scenario_on
from tests.faults.stores import on_shared_zookeeper

scenario = scenario_on("zookeeper", on_shared_zookeeper)
test_crash_at_a_step = crash_at_a_step
