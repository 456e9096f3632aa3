"""What is said of a request that the API server refuses: its reason, and what mends it."""

from __future__ import annotations

import pytest

from hawork.backends.kubernetes.answers import ForbiddenError
from hawork.backends.kubernetes.refusals import refusal


def refused(status: int, message: str, verb: str = "create") -> Exception | None:
    return refusal(
        status, message, server="https://api:6443", verb=verb,
        path="/api/v1/namespaces/prod/configmaps", namespace="prod", where="kubeconfig k",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("status", "message", "fix"),
    [
        (
            403,
            'configmaps "a" is forbidden: exceeded quota: few, requested: count/configmaps=1, '
            "used: count/configmaps=3, limited: count/configmaps=3",
            "raise its ResourceQuota",
        ),
        (403, 'configmaps "a" is forbidden: status unknown for quota: few', "ResourceQuota"),
        (
            403,
            'configmaps "a" is forbidden: unable to create new content in namespace prod because '
            "it is being terminated",
            "wait until it is gone",
        ),
        *(
            (
                status,
                'admission webhook "validate.kyverno.svc" denied the request: \n\nlabel team',
                "except hawork's ConfigMaps from that rule",
            )
            for status in (400, 403, 406, 422)
        ),
        (
            422,
            "configmaps \"a\" is forbidden: ValidatingAdmissionPolicy 'p' with binding 'b' denied "
            "request: no",
            "except hawork's ConfigMaps",
        ),
        (
            422,
            'ConfigMap "a" is invalid: data: Forbidden: field is immutable when `immutable` is set',
            "can be changed",
        ),
        (500, "etcdserver: mvcc: database space exceeded", "compact and defragment etcd"),
    ],
)
def test_no_role_is_asked_for_where_none_helps(status: int, message: str, fix: str) -> None:
    error = refused(status, message)
    assert error is not None and not isinstance(error, ForbiddenError)
    assert fix in str(error) and "to our Role" not in str(error)
    assert "\n" not in str(error) and message.split()[0] in str(error)


def test_a_missing_right_is_a_role() -> None:
    error = refused(
        403,
        'configmaps is forbidden: User "jm" cannot create resource "configmaps" in API group "" in '
        'the namespace "prod"',
    )
    assert isinstance(error, ForbiddenError) and "add the verb create" in str(error)


@pytest.mark.parametrize("status", [404, 409, 410, 429, 500, 503])
def test_what_passes_is_no_refusal(status: int) -> None:
    assert refused(status, "busy") is None
