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
) -> list[str]:
    """``NotAllowedError`` names each verb that we lack on the cluster's own ConfigMap.

    A Role may name it in ``resourceNames``: that is enough for an election and for looking for a
    leader, and not for the ConfigMaps of jobs, which each have a name of their own. What is
    allowed on that one ConfigMap alone is returned.
    ``StoreUnavailableError`` names it where the server may not have read its RoleBindings yet:
    it answers by those that it has read, and a right that it does not know of is a plain no.
    """
    missing, named = _missing(client, settings, verbs)
    if not missing:
        return named
    doubt = client.unready()
    if not doubt:  # what was asked before may have been asked too early
        missing, more = _missing(client, settings, missing)
        named += more
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
    return named


def check_access_to_jobs(
    client: KubernetesClient, settings: KubernetesSettings, verbs: Sequence[str]
) -> None:
    """``NotAllowedError`` names each of ``verbs`` that we lack on the ConfigMaps of jobs."""
    missing = [verb for verb in verbs if not client.may(verb)]
    if missing:
        raise NotAllowedError(
            f"the credentials of {settings.where} may {', '.join(missing)} ConfigMap "
            f"{_map_of(settings)} in namespace {settings.namespace} and no other one, and jobs "
            "have ConfigMaps of their own: leave resourceNames out of our Role, as 'hawork "
            "manifests' prints it"
        )


def _missing(
    client: KubernetesClient, settings: KubernetesSettings, verbs: Sequence[str]
) -> tuple[list[str], list[str]]:
    """Verbs that we lack, and those that we have on the cluster's own ConfigMap alone."""
    try:
        restricted = [verb for verb in verbs if not client.may(verb)]
        named = [
            verb for verb in restricted if verb != _CREATE and client.may(verb, _map_of(settings))
        ]
        return [verb for verb in restricted if verb not in named], named
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
