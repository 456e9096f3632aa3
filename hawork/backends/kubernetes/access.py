"""What we must be allowed to do, asked of the API server before we begin.

``hawork manifests`` prints the Role.
"""

from __future__ import annotations

from collections.abc import Sequence

from hawork.backends.kubernetes.answers import AbsentError, OutcomeUnknownError
from hawork.backends.kubernetes.client import KubernetesClient
from hawork.backends.kubernetes.layout import Names
from hawork.backends.kubernetes.settings import KubernetesSettings
from hawork.core.errors import ConfigurationError, NotAllowedError, StoreUnavailableError

_CREATE = "create"
"""What is to be created has no name yet when the server asks its rules."""


def check_access(
    client: KubernetesClient, settings: KubernetesSettings, verbs: Sequence[str]
) -> None:
    """``NotAllowedError`` names each verb that we lack on the cluster's own ConfigMap.

    A Role may name it in ``resourceNames``: that is enough for an election and for looking for a
    leader, and not for the ConfigMaps of jobs, which each have a name of their own.
    ``StoreUnavailableError`` names it where the server may not have read its RoleBindings yet:
    it answers by those that it has read, and a right that it does not know of is a plain no.
    """
    missing = _missing(client, settings, verbs)
    if not missing:
        return
    doubt = client.unready()
    if not doubt:  # what was asked before may have been asked too early
        missing = _missing(client, settings, missing)
    if missing:
        lacking = (
            f"the credentials of {settings.where} may not {', '.join(missing)} configmaps in "
            f"namespace {settings.namespace}: add {', '.join(missing)} for configmaps to our "
            "Role, as 'hawork manifests' prints it"
        )
        if _CREATE in missing and client.may(_CREATE, _map_of(settings)):
            lacking += f"; {_CREATE} without resourceNames, which can never allow it"
        if doubt:
            raise StoreUnavailableError(f"{lacking}; or wait: {doubt}")
        raise NotAllowedError(lacking)


def _missing(
    client: KubernetesClient, settings: KubernetesSettings, verbs: Sequence[str]
) -> list[str]:
    try:
        return [
            verb for verb in verbs
            if not client.may(verb)
            and (verb == _CREATE or not client.may(verb, _map_of(settings)))
        ]  # fmt: skip
    except AbsentError:
        raise ConfigurationError(
            f"{client.server} does not know SelfSubjectAccessReview: it is not a Kubernetes API "
            f"server, or one before 1.6; correct {settings.where}"
        ) from None
    except (OutcomeUnknownError, KeyError, TypeError) as error:
        raise StoreUnavailableError(
            f"{client.server} did not say what we may do ({error}): try again, or correct "
            f"{settings.where}"
        ) from None


def _map_of(settings: KubernetesSettings) -> str:
    return Names(settings.cluster_id).cluster_map
