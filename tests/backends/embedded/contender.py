"""A contender in a process of its own, driven by lines: ``python contender.py CONFIG``.

Tells, as JSON lines, ``{"grant": session id}``, ``{"revoke": null}``, and the answer to each
command: ``create NAME``, ``hold`` (stay in a write transaction), ``close``.
"""

from __future__ import annotations

import json
import sys
import threading
import uuid
from typing import Any

from hawork.backends.embedded.services import open_backend
from hawork.core.clock import SYSTEM_CLOCK
from hawork.core.configuration import Configuration
from hawork.core.errors import HaworkError
from hawork.core.events import NullEventSink
from hawork.core.types import DISPATCHER, LeaderInformation, LeaderInformationRegister
from hawork.ha.pointer_store import JOB_GRAPHS

_output = threading.Lock()


def tell(**values: Any) -> None:
    with _output:
        print(json.dumps(values), flush=True)


class Listener:
    session_id: uuid.UUID = uuid.UUID(int=0)

    def on_grant_leadership(self, session_id: uuid.UUID) -> None:
        self.session_id = session_id
        tell(grant=str(session_id))

    def on_revoke_leadership(self) -> None:
        tell(revoke=None)

    def on_leader_information_change(
        self, component_id: str, information: LeaderInformation | None
    ) -> None: ...

    def on_leader_information_register(self, register: LeaderInformationRegister) -> None: ...

    def on_error(self, error: Exception) -> None:
        tell(error=str(error))


def main() -> None:
    config = Configuration(json.loads(sys.argv[1]))
    backend = open_backend(config, SYSTEM_CLOCK, NullEventSink())
    listener = Listener()
    driver = backend.election_driver(listener)
    pointers = backend.pointers(JOB_GRAPHS)
    tell(ticket=driver.ticket())
    for line in sys.stdin:
        command, _, argument = line.strip().partition(" ")
        try:
            if command == "create":
                pointers.create(argument, b"value", listener.session_id)
            elif command == "publish":
                information = LeaderInformation(listener.session_id, argument)
                driver.publish_leader_information(DISPATCHER, information)
            elif command == "hold":
                with backend._store.writer.writing():
                    tell(done="hold")
                    sys.stdin.readline()
            elif command == "close":
                driver.close()
            tell(done=command)
        except HaworkError as error:
            tell(refused=type(error).__name__, message=str(error))
    driver.close()
    backend.close()


if __name__ == "__main__":
    main()
