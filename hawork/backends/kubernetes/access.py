"""What we must be allowed to do, asked of the API server before we begin.

``hawork manifests`` prints the Role.
"""

from __future__ import annotations

from collections.abc import Sequence

from hawork.backends.kubernetes.answers import AbsentError, OutcomeUnknownError
from hawork.backends.kubernetes.client import KubernetesClient
from hawork.backends.kubernetes.settings import KubernetesSettings
from hawork.core.errors import ConfigurationError, StoreUnavailableError


def check_access(
    client: KubernetesClient, settings: KubernetesSettings, verbs: Sequence[str]
) -> None:
    """``ConfigurationError`` names each verb that we lack."""
    try:
        missing = [verb for verb in verbs if not client.may(verb)]
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
    if missing:
        raise ConfigurationError(
            f"the credentials of {settings.where} may not {', '.join(missing)} configmaps in "
            f"namespace {settings.namespace}: add {', '.join(missing)} for configmaps to our "
            "Role, as 'hawork manifests' prints it"
        )
