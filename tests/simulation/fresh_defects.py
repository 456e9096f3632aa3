"""Thirteen defects more, thought up when the forty were found: of other kinds, in other places.

Of the first seven the simulation found two. For the others it had to learn something, which
``docs/simulation.md`` tells. The last six break nothing that a cluster's users could see, because
something else holds; the table there says what.
"""

from __future__ import annotations

from hawork.simulation.defects import Defect

_EMBEDDED, _KUBERNETES, _ZOOKEEPER = ("embedded",), ("kubernetes",), ("zookeeper",)
_LEADER = "hawork.runtime.leader_process:LeaderProcess"
_E = "hawork.backends.embedded"
_K8S = "hawork.backends.kubernetes"
_ZK = "hawork.backends.zookeeper"

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
    Defect("a revoked leader goes on for a while", f"{_LEADER}.revoke_leadership",
           "self._loop.call_soon_threadsafe(self._want, None)",
           "self._loop.call_soon_threadsafe(self._loop.call_later, 3.0, self._want, None)"),
)

HELD_BY_SOMETHING_ELSE = (
    Defect("events of an earlier attempt count", "hawork.runtime.job_master:JobMaster.task_event",
           " or attempt.attempt != attempt_id:", ":"),
    Defect("an older state of a ConfigMap counts", f"{_K8S}.guarded_map:GuardedMap._take",
           "if self._known is None or not found.is_older_than(self._known):", "if True:",
           _KUBERNETES),
    Defect("a deposed leader reads what it remembers",
           f"{_K8S}.pointer_store:KubernetesPointerStore._current",
           "if known is not None and self._belongs_to_us(known):", "if known is not None:",
           _KUBERNETES),
    Defect("a read of ZooKeeper is not repeated", f"{_ZK}.session:ZooKeeperSession._read",
           "if attempt == self.settings.max_retries or left <= 0 or self._closed:", "if True:",
           _ZOOKEEPER),
    Defect("a contender keeps its lost node",
           f"{_ZK}.election_driver:ZooKeeperLeaderElectionDriver._advance",
           "if self._node is not None and self._node.owner != identity[0]:", "if False:",
           _ZOOKEEPER),
    Defect("versions of a rolled-back write are not forgotten",
           f"{_E}.pointer_store:EmbeddedPointerStore._fenced",
           "            self._versions.forget()\n", "", _EMBEDDED),
)
# fmt: on
