"""Six defects more, thought up when the forty were found: of other kinds, in other places.

Of these six the simulation found two. For the other four it had to learn something, which
``docs/simulation.md`` tells.
"""

from __future__ import annotations

from hawork.simulation.defects import Defect

_EMBEDDED, _KUBERNETES = ("embedded",), ("kubernetes",)
_LEADER = "hawork.runtime.leader_process:LeaderProcess"
_E = "hawork.backends.embedded"
_K8S = "hawork.backends.kubernetes"

# fmt: off
FRESH_DEFECTS = (
    Defect("a leader's address is published without the fence",
           f"{_E}.election_driver:EmbeddedElectionDriver.publish_leader_information",
           "            fence(connection, information.session_id, "
           "f\"publishing the leader of {component_id!r}\")\n", "", _EMBEDDED),
    Defect("maps are claimed without another look at the lock",
           f"{_K8S}.claims:Claims.claim_all",
           "        check_leads(self.cluster.read(), session_id, "
           "\"claiming the jobs' ConfigMaps\")\n", "", _KUBERNETES),
    Defect("who stood back does not take part again", f"{_LEADER}._stand_back",
           "                await in_own_thread(self._take_part_when_fit)\n", ""),
    Defect("a watch that broke is not opened again", f"{_K8S}.watch:ClusterWatch._run",
           "            except HaworkError as error:\n                version = None\n"
           "                self._broke(error)\n",
           "            except HaworkError:\n                return\n", _KUBERNETES),
    Defect("a watcher goes on with what it saw first", f"{_E}.store_watcher:StoreWatcher._run",
           "looked = version != seen or not isinstance(state, Snapshot)",
           "looked = not isinstance(state, Snapshot)", _EMBEDDED),
    Defect("an election ends when the store does not answer",
           f"{_E}.election_driver:EmbeddedElectionDriver._run",
           "                except HaworkError as error:\n"
           "                    self._lease.failed(self._clock.monotonic())\n"
           "                    self._report(error)\n",
           "                except HaworkError:\n                    return\n", _EMBEDDED),
)
# fmt: on
