"""What an API server says of our rights: at once, and while it has only just started."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

import pytest

from hawork.backends.kubernetes.access import check_access
from hawork.backends.kubernetes.answers import AccessDeniedError, OutcomeUnknownError
from hawork.backends.kubernetes.client import KubernetesClient
from hawork.core.errors import ConfigurationError, StoreUnavailableError

UNREAD = 'RBAC: [clusterrole.rbac.authorization.k8s.io "system:basic-user" not found]'
REFUSED = {
    "kind": "Status", "reason": "Forbidden",
    "message": 'selfsubjectaccessreviews.authorization.k8s.io is forbidden: User "jm-2" cannot '
    f'create resource "selfsubjectaccessreviews" at the cluster scope: {UNREAD}',
}  # fmt: skip


NO: dict[str, Any] = {"status": {"allowed": False}}
YES: dict[str, Any] = {"status": {"allowed": True}}


def check(
    monkeypatch: pytest.MonkeyPatch, *answers: tuple[int, dict[str, Any]], ready: int | Exception
) -> list[str]:
    """What was asked until ``check_access`` was content; the last answer is given again."""
    settings: Any = SimpleNamespace(
        namespace="hawork", call_timeout=1.0, where="kubeconfig x", cluster_id="orders"
    )
    client: Any = object.__new__(KubernetesClient)
    client._settings = settings
    client._transport = SimpleNamespace(server="the API server")
    asked, left = list[str](), list(answers)

    def send(_: object, method: str, path: str, body: object = None, *__: object) -> Any:
        asked.append(path.rpartition("/")[2])
        if "orders-cluster-config-map" in str(body):
            asked[-1] += " by name"
        if method == "GET":
            if isinstance(ready, Exception):
                raise ready
            return SimpleNamespace(status=ready, data=b"[-]informer-sync failed")
        status, answer = left.pop(0) if len(left) > 1 else left[0]
        return SimpleNamespace(status=status, data=json.dumps(answer).encode())

    monkeypatch.setattr(KubernetesClient, "_send", send)
    check_access(client, settings, ("get",))
    return asked


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
        check(monkeypatch, (status, answer), ready=200)
    assert not isinstance(refused.value, AccessDeniedError)


@pytest.mark.parametrize(
    ("ready", "why"),
    [
        (500, r"may not have read its roles yet: it is not ready \(500\)"),
        (503, "it is not ready"),
        (403, r"does not tell us whether it has read its roles \(403\)"),
        (401, "does not tell us"),
        (OutcomeUnknownError("it did not answer"), "it is not known .*it did not answer"),
        (StoreUnavailableError("it cannot be reached"), "it is not known .*it cannot be reached"),
    ],
)
def test_a_plain_refusal_is_waited_for_until_the_server_says_that_it_is_ready(
    monkeypatch: pytest.MonkeyPatch, ready: int | Exception, why: str
) -> None:
    """Of a server that has read our Role, and not the binding: it names nothing that it lacks."""
    with pytest.raises(StoreUnavailableError, match=f"may not get configmaps .*; or wait: .*{why}"):
        check(monkeypatch, (201, NO), ready=ready)


@pytest.mark.parametrize("ready", [200, 404])
def test_a_server_that_became_ready_meanwhile_is_asked_again(
    monkeypatch: pytest.MonkeyPatch, ready: int
) -> None:
    asked = check(monkeypatch, (201, NO), (201, NO), (201, YES), ready=ready)
    review = "selfsubjectaccessreviews"
    assert asked == [review, f"{review} by name", "readyz", review]


def test_a_role_may_name_the_clusters_own_config_map(monkeypatch: pytest.MonkeyPatch) -> None:
    review = "selfsubjectaccessreviews"
    asked = check(monkeypatch, (201, NO), (201, YES), ready=500)
    assert asked == [review, f"{review} by name"]


@pytest.mark.parametrize("ready", [200, 404])
@pytest.mark.parametrize("reason", [{}, {"reason": None, "evaluationError": None}])
def test_a_right_that_is_missing_on_a_server_that_is_ready_is_named_at_once(
    monkeypatch: pytest.MonkeyPatch, reason: dict[str, Any], ready: int
) -> None:
    with pytest.raises(ConfigurationError, match="may not get configmaps in namespace hawork"):
        check(monkeypatch, (201, {"status": {"allowed": False, **reason}}), ready=ready)


def test_who_has_all_rights_does_not_ask_whether_the_server_is_ready(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    answer = {"status": {"allowed": True, "reason": UNREAD}}
    assert check(monkeypatch, (201, answer), ready=500) == ["selfsubjectaccessreviews"]
