"""A crash at every step of the protocol, once, on Kubernetes.

All other stories of crashes, pauses, damage and the soak run there with
``HAWORK_FAULTS_HA=kubernetes make test ARGS=tests/faults``.
"""

from tests.faults.crashes import crash_at_a_step, scenario_on
from tests.faults.stores import on_shared_kubernetes

scenario = scenario_on("kubernetes", on_shared_kubernetes)
test_crash_at_a_step = crash_at_a_step
