"""Why the API server does not take a request of ours, and what mends it.

Status 403 has more reasons than a missing right: a quota, an admission webhook or policy, and a
namespace that is being removed answer with it, too, and no Role helps there. Webhooks may choose
any other status. And an etcd whose room is used up refuses what any client writes, with status
500, until its administrator has made room.

Source: ``ForbiddenMessage`` of the API server's ``responsewriters``; its admission plug-ins
``resourcequota``, ``lifecycle`` and ``webhook``, and the validation of ConfigMaps; ``ErrNoSpace``
of etcd, which it answers before it proposes a write, or in place of carrying it out.
"""

from __future__ import annotations

from hawork.backends.kubernetes.answers import AccessDeniedError, ForbiddenError
from hawork.core.errors import StoreUnavailableError

_NOBODY = "system:anonymous"
_QUOTA = ("exceeded quota", "failed quota", "status unknown for quota")
_ETCD_IS_FULL = "database space exceeded"
_LONGEST = 300  # characters of what the server says


def refusal(
    status: int, message: str, *, server: str, verb: str, path: str, namespace: str, where: str
) -> StoreUnavailableError | None:
    """The error for a request that surely changed nothing; ``None`` for any other answer.

    ``path`` is that of the request, ``where`` says whence our credentials are.
    """
    name = path.rpartition("/")[2]
    what = "ConfigMaps" if name == "configmaps" else f"ConfigMap {name}"
    said = " ".join(message.split())[:_LONGEST]
    if status == 401:
        return AccessDeniedError(
            f"{server} does not accept our credentials: renew the token or the certificate in "
            f"{where}"
        )
    if "immutable" in said and status == 422:
        return AccessDeniedError(
            f"{what} in namespace {namespace} is immutable, so that nothing can be kept in it "
            f"({said}): find out who made it so, and replace it by one that can be changed"
        )
    if "denied" in said and "dmission" in said:  # a webhook, or a ValidatingAdmissionPolicy
        return AccessDeniedError(
            f"{server} does not let us {verb} {what} in namespace {namespace} ({said}): except "
            "hawork's ConfigMaps from that rule; no Role helps"
        )
    if _ETCD_IS_FULL in said:
        return StoreUnavailableError(
            f"{server} could not {verb} {what}, nor write anything else: the room of its etcd is "
            f"used up ({said}); have its administrator compact and defragment etcd, and end the "
            "alarm with 'etcdctl alarm disarm'"
        )
    if status != 403:
        return None
    if _NOBODY in said:
        return AccessDeniedError(
            f"{server} takes us for {_NOBODY}: {where} has no credentials for it; add a token, a "
            "certificate or an exec plugin to its user"
        )
    if any(words in said for words in _QUOTA):
        return AccessDeniedError(
            f"namespace {namespace} has no room for another ConfigMap ({said}): raise its "
            "ResourceQuota, or remove ConfigMaps there"
        )
    if "being terminated" in said:
        return AccessDeniedError(
            f"namespace {namespace} is being removed ({said}): wait until it is gone and create it "
            "again, or correct option kubernetes.namespace"
        )
    return ForbiddenError(
        f"we may not {verb} configmaps in namespace {namespace} ({said}): add the verb {verb} for "
        "configmaps to our Role, as 'hawork manifests' prints it"
    )
