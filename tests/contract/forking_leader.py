"""A service that leads and forks a worker; told by ``python -m`` what the worker does.

Prints one JSON object a line: what the worker saw, then what became of the leadership.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import sys
import threading
from typing import Any

import hawork
from hawork.core.types import JobID
from hawork.testing import RecordingContender, eventually


def tell(**facts: Any) -> None:
    os.write(1, (json.dumps(facts) + "\n").encode())


def tried(action: Any) -> str:
    """What becomes of it, by the name of the error."""
    try:
        action()
    except Exception as error:  # noqa: BLE001 - whatever it is, it is told
        return type(error).__name__
    return "done"


def main(values: dict[str, Any], what: str, seconds: float) -> None:
    contender = RecordingContender()
    with hawork.open_ha_services(values) as ha:
        election = ha.leader_election("service")
        election.start(contender)
        session_id = contender.wait_for_grant()
        election.confirm_leadership(session_id, "http://127.0.0.1:1").result(30)
        stores = ha.stores(session_id)

        def work() -> None:
            tell(
                acts=tried(lambda: election.run_if_leader(session_id, lambda: None).result(30)),
                writes=tried(lambda: stores.job_graphs.remove(JobID("0" * 32))),
                joins=tried(lambda: ha.leader_election("other").start(RecordingContender())),
                retrieves=tried(lambda: ha.leader_retrieval("service", None)),
                opens=tried(lambda: hawork.open_ha_services(values).close()),
                closes=tried(election.close),
            )

        if what == "lives":
            worker = os.fork()
            if worker == 0:
                os.close(1)
                signal.pause()
                os._exit(0)
            tell(worker=worker, pid=os.getpid())
            threading.Event().wait()
        if what == "leaves":
            worker = os.fork()
            if worker == 0:
                work()
                sys.exit(0)  # as scripts end: through the with block, and what is run at exit
            _, status = os.waitpid(worker, 0)
        else:
            process = multiprocessing.get_context("fork").Process(target=work)
            process.start()
            process.join(60)
            status = process.exitcode if process.exitcode is not None else -1
            process.kill()
        # Renewed since, by this process.
        led = eventually(lambda: election.run_if_leader(session_id, lambda: True).result(30))
        threading.Event().wait(seconds)
        tell(
            status=status,
            leads=led and election.run_if_leader(session_id, lambda: True).result(30),
            calls=[kind for kind, _ in contender.calls],
        )


if __name__ == "__main__":
    main(json.loads(sys.argv[1]), sys.argv[2], float(sys.argv[3]))
