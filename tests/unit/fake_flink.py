"""A Flink cluster that is none: its REST, and whom leader retrieval tells of."""

from __future__ import annotations

import contextlib
import json
import threading
import time
import uuid
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from hawork.core.events import EventSink
from hawork.core.types import DISPATCHER, RESOURCE_MANAGER, REST_SERVER, LeaderInformation
from hawork.ha.leader_retrieval import LeaderRetrievalListener

JOB = "0" * 31 + "a"


class FakeJobManager:
    """Answers what Flink's REST does, for one job and some TaskManagers."""

    def __init__(self) -> None:
        self.taskmanagers = {"10.0.0.7:6122-ab12cd": 2}
        self.status = "RUNNING"
        self.restored: int | None = None
        self.electing = False
        self.began = round(time.time() * 1000) - 5_000  # milliseconds, as Flink tells them
        self.answers = threading.Event()
        self.answers.set()
        owner = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self._say(owner.answer(self.path.removeprefix("/v1")))

            def do_PATCH(self) -> None:
                owner.status = "CANCELED"
                self._say({})

            def _say(self, answer: dict[str, Any] | None) -> None:
                owner.answers.wait()
                if owner.electing:
                    answer = {"errors": ["Service temporarily unavailable"]}
                self.send_response(503 if owner.electing else 404 if answer is None else 200)
                self.end_headers()
                with contextlib.suppress(ConnectionError):
                    self.wfile.write(json.dumps(answer or {"errors": ["no such thing"]}).encode())

            def log_message(self, format: str, *args: object) -> None:
                """Nothing: the test's output is for failures."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))
        self._thread.start()
        self.name = f"127.0.0.1:{self._server.server_port}"
        self.address = f"http://{self.name}"

    def answer(self, path: str) -> dict[str, Any] | None:
        began = self.began
        job = {
            "jid": JOB, "name": "flights", "state": self.status, "start-time": began,
            "end-time": -1, "last-modification": began + 1_000, "duration": 5, "timestamps": {},
        }  # fmt: skip
        restored = {
            "id": self.restored,
            "restore_timestamp": self.began + 2_000,
            "is_savepoint": False,
        }
        return {
            "/overview": {"flink-version": "1.20.5"},
            "/jobs/overview": {"jobs": [job]},
            f"/jobs/{JOB}": {**job, "vertices": [{"parallelism": 2}], "plan": {}},
            f"/jobs/{JOB}/checkpoints": {
                "counts": {"completed": 3},
                "latest": {"completed": {"id": 3}, "restored": restored if self.restored else None},
                "history": [],
            },
            "/taskmanagers": {
                "taskmanagers": [
                    {"id": name, "slotsNumber": slots} for name, slots in self.taskmanagers.items()
                ]
            },
        }.get(path)

    def close(self) -> None:
        self.answers.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


class FakeDiscovery:
    """In the place of the HA services: a test says who leads."""

    def __init__(self) -> None:
        self.own: EventSink | None = None
        self._listeners: dict[str, LeaderRetrievalListener] = {}

    def open(self, _: object, *, events: EventSink) -> FakeDiscovery:
        self.own = events
        return self

    def leader_retrieval(self, component: str, listener: LeaderRetrievalListener) -> None:
        self._listeners[component] = listener

    def publish(self, manager: FakeJobManager, session_id: uuid.UUID | None = None) -> uuid.UUID:
        """All components of ``manager`` lead under one session, as in Flink."""
        session_id = session_id or uuid.uuid4()
        for component in (DISPATCHER, RESOURCE_MANAGER, REST_SERVER):
            rpc = f"pekko.tcp://flink@10.0.0.1:6123/user/rpc/{component}"
            address = manager.address if component == REST_SERVER else rpc
            self._listeners[component].notify_leader(LeaderInformation(session_id, address))
        return session_id

    def without_leader(self) -> None:
        for listener in self._listeners.values():
            listener.notify_leader(None)

    def close(self) -> None:
        """Nothing is open."""
