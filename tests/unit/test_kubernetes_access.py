"""What an API server says of our rights: at once, and while it has only just started."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

import pytest

from hawork.backends.kubernetes.access import check_access
from hawork.backends.kubernetes.answers import AccessDeniedError
from hawork.backends.kubernetes.client import KubernetesClient
from hawork.core.errors import ConfigurationError, StoreUnavailableError

UNREAD = 'RBAC: [clusterrole.rbac.authorization.k8s.io "system:basic-user" not found]'
REFUSED = {
    "kind": "Status", "reason": "Forbidden",
    "message": 'selfsubjectaccessreviews.authorization.k8s.io is forbidden: User "jm-2" cannot '
    f'create resource "selfsubjectaccessreviews" at the cluster scope: {UNREAD}',
}  # fmt: skip


def check(monkeypatch: pytest.MonkeyPatch, status: int, answer: dict[str, Any]) -> None:
    settings: Any = SimpleNamespace(namespace="hawork", call_timeout=1.0, where="kubeconfig x")
    client: Any = object.__new__(KubernetesClient)
    client._settings = settings
    client._transport = SimpleNamespace(server="the API server")
    response = SimpleNamespace(status=status, data=json.dumps(answer).encode())
    monkeypatch.setattr(KubernetesClient, "_send", lambda *_: response)
    check_access(client, settings, ("get",))


@pytest.mark.parametrize(("status", "answer"), [
    (403, REFUSED),
    (201, {"status": {"allowed": False, "reason": UNREAD}}),
    (201, {"status": {"allowed": False, "evaluationError": UNREAD}}),
])  # fmt: skip
def test_a_server_that_has_not_read_its_roles_yet_is_waited_for(
    monkeypatch: pytest.MonkeyPatch, status: int, answer: dict[str, Any]
) -> None:
    """A JobManager that started just after the API server ended for it (seed n2-9000)."""
    with pytest.raises(StoreUnavailableError, match="has not read its roles yet") as refused:
        check(monkeypatch, status, answer)
    assert not isinstance(refused.value, AccessDeniedError)


@pytest.mark.parametrize("reason", [{}, {"reason": None, "evaluationError": None}])
def test_a_right_that_is_missing_is_named_at_once(
    monkeypatch: pytest.MonkeyPatch, reason: dict[str, Any]
) -> None:
    with pytest.raises(ConfigurationError, match="may not get configmaps in namespace hawork"):
        check(monkeypatch, 201, {"status": {"allowed": False, **reason}})
    check(monkeypatch, 201, {"status": {"allowed": True, "reason": UNREAD}})
