"""What the lab's API server was asked, from its audit log."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

POLICY = """\
apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
  - level: None
    userGroups: ["system:masters"]
  - level: Metadata
"""
"""Every request of every user but the lab's administrator and the server itself."""


@dataclass(frozen=True, slots=True)
class AuditedRequest:
    """One request. ``received`` is in seconds of the epoch; ``status`` is the HTTP status."""

    received: float
    user: str
    verb: str
    resource: str
    name: str
    status: int
    agent: str


def audited_requests(log: Path) -> list[AuditedRequest]:
    """All requests so far, in the order of their answers.

    A watch counts once, and may be told of when it ends only.
    """
    text = log.read_text(encoding="utf-8") if log.exists() else ""
    known: dict[str, AuditedRequest] = {}
    for line in text.splitlines(keepends=True):
        if line.endswith("\n"):  # the last one may be half written
            record = json.loads(line)
            known.setdefault(record["auditID"], _request(record))
    return list(known.values())


def by_user_and_verb(requests: Iterable[AuditedRequest]) -> Counter[tuple[str, str]]:
    """How often each user asked for each verb."""
    return Counter((request.user, request.verb) for request in requests)


def _request(record: dict[str, object]) -> AuditedRequest:
    user, thing, answer = (record.get(key) or {} for key in ("user", "objectRef", "responseStatus"))
    assert isinstance(user, dict)
    assert isinstance(thing, dict)
    assert isinstance(answer, dict)
    received = datetime.fromisoformat(str(record["requestReceivedTimestamp"]))
    return AuditedRequest(
        received.timestamp(), user.get("username", ""), str(record["verb"]),
        thing.get("resource", ""), thing.get("name", ""), int(answer.get("code", 0)),
        str(record.get("userAgent", "")),
    )  # fmt: skip
