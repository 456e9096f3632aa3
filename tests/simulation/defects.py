"""Forty deliberate defects in the HA core: fences left out, wrong orders, lost retries."""

from __future__ import annotations

from hawork.simulation.defects import BROKEN_FENCE, Defect

_EMBEDDED, _KUBERNETES, _ZOOKEEPER = ("embedded",), ("kubernetes",), ("zookeeper",)
_RESULTS = "hawork.ha.job_result_store:JobResultStore"
_CHECKPOINTS = "hawork.ha.checkpoint_store:CompletedCheckpointStore"
_HANDLES = "hawork.ha.state_handle_store:StateHandleStore"
_CLEANUP = "hawork.ha.cleanup:JobCleanup"
_COUNTER = "hawork.ha.checkpoint_id_counter:CheckpointIDCounter"
_GRAPHS = "hawork.ha.job_graph_store:JobGraphStore"
_ELECTION = "hawork.ha.leader_election_service:DefaultLeaderElectionService"
_LEASE = "hawork.ha.lease_state:LeaseState"
_DISPATCHER = "hawork.runtime.dispatcher:Dispatcher"
_COORDINATOR = "hawork.runtime.checkpoint_coordinator:CheckpointCoordinator"
_MASTER = "hawork.runtime.job_master:JobMaster"
_LEADER = "hawork.runtime.leader_process:LeaderProcess"
_ROWS = "hawork.backends.embedded.lease_table"
_ZK = "hawork.backends.zookeeper"
_K8S = "hawork.backends.kubernetes"

# fmt: off
DEFECTS = (
    # --- results ----------------------------------------------------------------------------
    Defect("a result is not decided before it is written", f"{_RESULTS}.create_dirty",
           "            self._decide(job_id, payload)\n        except StoreFullError",
           "            pass\n        except StoreFullError"),
    Defect("a result file is written without asking the fence", f"{_RESULTS}.create_dirty",
           "        self._fence(job_id)\n", ""),
    Defect("the decision stays", f"{_RESULTS}.mark_clean",
           "        self._remove_decision(job_id)\n", ""),
    Defect("decisions are not looked at in a takeover", f"{_RESULTS}.dirty_results",
           "in self._pointers.entries():", "in ():"),
    Defect("files are set aside without asking the fence", f"{_RESULTS}._still_lead",
           "self._pointers.delete(_NO_JOB, self._session_id)", "pass"),
    # --- cleanup ----------------------------------------------------------------------------
    Defect("an ended job is not remembered", f"{_CLEANUP}.run",
           "            self._job_results.remember(result.job_id, submission)\n"
           "            self._job_results.carry_out(result.job_id)\n"
           "        self.remove(result.job_id)\n"
           "        self._job_results.remember(result.job_id, submission)\n",
           "            pass\n        self.remove(result.job_id)\n"),
    Defect("a result is clean before the job is removed", f"{_CLEANUP}.run",
           "        submission = submission or self._submission(result.job_id)\n",
           "        submission = submission or self._submission(result.job_id)\n"
           "        self._job_results.remember(result.job_id, submission)\n"
           "        self._job_results.mark_clean(result.job_id)\n"),
    Defect("the counter is forgotten", f"{_CLEANUP}.remove",
           "        self._backend.drop(counters(job_id), self._session_id)\n", ""),
    Defect("files are removed before the pointers", f"{_CLEANUP}.remove",
           "        self._backend.drop(checkpoints(job_id), self._session_id)\n",
           "        for path in JobFiles(self._storage, job_id).all():\n"
           "            self._storage.delete(path)\n"
           "        self._job_graphs.recover(job_id)\n"
           "        self._backend.drop(checkpoints(job_id), self._session_id)\n"),
    # --- job graphs, checkpoints --------------------------------------------------------------
    Defect("what is being submitted is swept", f"{_GRAPHS}._sweep",
           "            if under_way or self._handles.has(job_id):\n",
           "            if False:\n"),
    Defect("a pointer goes before its file", f"{_HANDLES}._write",
           "        handle = files.write(self._kind, payload)\n",
           "        from hawork.ha.job_files import describe\n"
           "        handle = describe(files.path(self._kind), payload)\n"
           "        self._reported(operation, name, lambda: point(encode_handle(handle)))\n"
           "        self._storage.write(handle.path, payload)\n"
           "        return handle\n"),
    Defect("a file goes before its pointer", f"{_HANDLES}.supersede",
           "            if self._pointers.create(name, value, self._session_id, there):\n",
           "            for each in there:\n"
           "                self._discard(each, before[each])\n"
           "            if self._pointers.create(name, value, self._session_id, there):\n"),
    Defect("what is in doubt is deleted", f"{_HANDLES}._write",
           "        except PossibleInconsistentStateError:\n            raise\n", ""),
    Defect("the newest checkpoint is subsumed", f"{_CHECKPOINTS}._split",
           "        kept = readable[-self._retained :]\n"
           "        return sorted(each for each in ids - {*kept} if each < readable[-1]), kept\n",
           "        kept = readable[: self._retained]\n"
           "        return sorted(ids - {*kept}), kept\n"),
    Defect("older checkpoints go before the newer is there", f"{_CHECKPOINTS}.add",
           "        older = self._subsumed_by(number)\n",
           "        for each in self.all_ids():\n            self._remove(each, frozenset())\n"
           "        older: list[int] = []\n"),
    Defect("a job begins anew in a takeover", f"{_CHECKPOINTS}.recover",
           "            return RecoveredCheckpoint(checkpoint, tuple(skipped))",
           "            return RecoveredCheckpoint(None, ())"),
    Defect("the counter begins anew", f"{_COUNTER}._next",
           "return max(stored, self._least)", "return FIRST_ID"),
    # --- election -----------------------------------------------------------------------------
    Defect("a leader believes from the answer on", f"{_LEASE}.renewed",
           "            self._belief_until = sent_at + self._timeouts.renew_deadline\n",
           "            self._belief_until = now + 2 * self._timeouts.lease_duration\n",
           ("embedded", "kubernetes")),
    Defect("a challenger does not outwait the lease", f"{_LEASE}._may_try_at",
           "return self._changed_at + max(record.lease_duration, self._timeouts.lease_duration)",
           "return self._changed_at", ("embedded", "kubernetes")),
    Defect("the contenders do not hear of a revocation", f"{_ELECTION}.revoke",
           "                self._revoke_from(registration)\n", "                pass\n"),
    Defect("a term goes on beside the next one", f"{_LEADER}._serve",
           "                term.cancel()\n                await asyncio.wait([term])\n",
           "                pass\n"),
    # --- runtime --------------------------------------------------------------------------------
    Defect("a job is acknowledged before it is stored", f"{_DISPATCHER}._store_and_start",
           "            try:\n                stores.job_graphs.put(stored)\n"
           "            except PossibleInconsistentStateError:\n"
           "                stores.job_graphs.put(stored)  # changes nothing if it landed\n", ""),
    Defect("a repeated submission of an ended job runs again", f"{_DISPATCHER}._has_ended_before",
           "        if not stores.job_results.has_entry(job_id):\n", "        if True:\n"),
    Defect("dirty results are not cleaned up in a takeover", f"{_DISPATCHER}.recover",
           "            await self._clean_up(result)\n", ""),
    Defect("ended jobs are recovered", f"{_DISPATCHER}.recover",
           "        over = {*ended, *self._ended}\n", "        over = set()\n"),
    Defect("a result that cannot be stored is given up", f"{_DISPATCHER}._decide",
           "                await asyncio.sleep(pause.next())\n",
           "                return result\n"),
    Defect("a cleanup that failed is not tried again", f"{_DISPATCHER}._clean_up",
           "            self._spawn(self._clean_up_later(result, submission))\n",
           "            pass\n"),
    Defect("output is committed before the checkpoint is stored", f"{_COORDINATOR}._complete",
           "        try:\n            await self._run_io",
           "        self._send({\"type\": \"notify_complete\", "
           "\"checkpoint_id\": checkpoint.checkpoint_id})\n"
           "        try:\n            await self._run_io"),
    Defect("the last checkpoint is tried once", f"{_COORDINATOR}._go_on_after",
           "            self._schedule(self._retry_pause.next() if self._last_wanted else None)\n",
           "            if not self._last_wanted:\n                self._schedule(None)\n"),
    Defect("a job is finished before its output is committed", f"{_MASTER}._checkpoint_completed",
           "            self._check_finished(self.attempt)\n",
           "            if self._final is not None:\n"
           "                self.attempt.finish(AttemptEnd(Outcome.FINISHED))\n"),
    Defect("a revoked leader goes on", f"{_LEADER}.revoke_leadership",
           "        self._loop.call_soon_threadsafe(self._want, None)\n", "        pass\n"),
    # --- embedded -------------------------------------------------------------------------------
    BROKEN_FENCE,
    Defect("a lease is taken without a look", f"{_ROWS}:acquire_lease",
           "        return False\n", "        pass\n", _EMBEDDED),
    Defect("removing all pointers of a job is not fenced",
           "hawork.backends.embedded.services:EmbeddedBackend.drop",
           "            if session_id is not None:\n                fence(",
           "            if False:\n                fence(", _EMBEDDED),
    # --- ZooKeeper ------------------------------------------------------------------------------
    Defect("transactions do not check the latch node", f"{_ZK}.latch:_transaction",
           "        transaction.check(path, -1)\n",
           "        transaction.check(\"/\", -1)\n", _ZOOKEEPER),
    Defect("who is not the first leads",
           f"{_ZK}.election_driver:ZooKeeperLeaderElectionDriver._stand",
           "while (predecessor := self._latch.predecessor(node)) is not None:",
           "while (predecessor := None) is not None:", _ZOOKEEPER),
    Defect("a create without an answer counts as done",
           f"{_ZK}.pointer_store:ZooKeeperPointerStore._create",
           "                entry = self._read_back(path, error)\n", "                return\n"
           "                entry = self._read_back(path, error)\n", _ZOOKEEPER),
    # --- Kubernetes -----------------------------------------------------------------------------
    Defect("patches name no resource version", f"{_K8S}.client:KubernetesClient.patch",
           "metadata: dict[str, Any] = {\"resourceVersion\": before.resource_version}",
           "metadata: dict[str, Any] = {}", _KUBERNETES),
    Defect("the jobs' maps are not claimed", f"{_K8S}.claims:Claims.claim_all",
           "        if not noted:\n", "        if True:\n", _KUBERNETES),
    Defect("the claim of a map is not looked at", f"{_K8S}.claims:check_claim",
           "    if not is_claimed(found, session_id):\n", "    if False:\n", _KUBERNETES),
)
# fmt: on
