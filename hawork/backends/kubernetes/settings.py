"""The Kubernetes options as values, checked; what cannot be honoured is refused here."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from typing import Any

from hawork.backends.kubernetes.kubeconfig import (
    SERVICE_ACCOUNT,
    in_pod,
    names_a_context,
    pod_without_token,
)
from hawork.core import options
from hawork.core.configuration import Configuration, Option
from hawork.core.errors import ConfigurationError
from hawork.core.user_files import NOTHING_THERE, expanded, is_file, why_not_a_file
from hawork.ha.lease_state import LeaseTimeouts

LONGEST_CLUSTER_ID = 45
"""As Flink checks: room is left for what is appended, in names of 63 characters."""
_LABEL = re.compile(r"[a-z]([-a-z0-9]*[a-z0-9])?")
_NAMESPACE = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
_DEFAULT_FILE = "~/.kube/config"


@dataclass(frozen=True, slots=True)
class KubernetesSettings:
    """Which API server, and which ConfigMaps there. Times are in seconds."""

    cluster_id: str
    namespace: str
    kubeconfig: str | None
    """Paths as in ``KUBECONFIG``; ``None`` for the credentials of the pod we run in."""
    context: str | None
    timeouts: LeaseTimeouts
    max_retries: int

    @property
    def call_timeout(self) -> float:
        """Seconds for one request: a leader must be able to renew after one that got lost."""
        return max(1.0, min(10.0, self.timeouts.renew_deadline / 3))

    @property
    def where(self) -> str:
        """Where the credentials come from, for messages."""
        if self.kubeconfig is None:
            return "the credentials of this pod"
        return f"kubeconfig {self.kubeconfig}"

    @classmethod
    def of(cls, config: Configuration) -> KubernetesSettings:
        """``ConfigurationError`` names option, value and fix."""
        cluster_id, namespace = names_of(config)
        return cls(
            cluster_id=cluster_id,
            namespace=namespace,
            kubeconfig=_kubeconfig(config),
            context=config.get_option(options.K8S_CONTEXT),
            timeouts=LeaseTimeouts(
                config.get_option(options.K8S_LEASE_DURATION),
                config.get_option(options.K8S_RENEW_DEADLINE),
                config.get_option(options.K8S_RETRY_PERIOD),
            ),
            max_retries=config.get_option(options.K8S_MAX_RETRIES),
        )


def names_of(config: Configuration) -> tuple[str, str]:
    """Cluster-id and namespace. ``ConfigurationError`` for what Kubernetes would refuse."""
    cluster_id = str(config.require(options.K8S_CLUSTER_ID, "write a name, such as my-cluster"))
    if len(cluster_id) > LONGEST_CLUSTER_ID:
        raise _bad(
            options.K8S_CLUSTER_ID,
            cluster_id,
            f"it has {len(cluster_id)} characters; write at most {LONGEST_CLUSTER_ID}",
        )
    if not _LABEL.fullmatch(cluster_id):
        raise _bad(
            options.K8S_CLUSTER_ID,
            cluster_id,
            "write lower-case letters, digits and '-', with a letter first and no '-' last",
        )
    namespace = config.get_option(options.K8S_NAMESPACE)
    if not _NAMESPACE.fullmatch(namespace):
        raise _bad(
            options.K8S_NAMESPACE,
            namespace,
            "write the name of a namespace, at most 63 lower-case letters, digits and '-'",
        )
    return cluster_id, namespace


def _kubeconfig(config: Configuration) -> str | None:
    """The option, ``KUBECONFIG``, the file in the home directory, or the pod we run in.

    Source of the order: kubectl, and fabric8's ``Config.autoConfigure``, which Flink uses.
    """
    named = config.get_option(options.K8S_CONFIG_FILE)
    if named is not None:
        path = str(expanded(str(named)))
        if reason := why_not_a_file(path):
            raise _bad(options.K8S_CONFIG_FILE, str(named), reason)
        return path
    from_environment = os.environ.get("KUBECONFIG", "")
    if from_environment:
        return _of_the_environment(from_environment)
    # A home that is not ours, as in a container with HOME=/root that runs as another user, has no
    # kubeconfig for us: the pod's own account is used then, as Flink does.
    default = str(expanded(_DEFAULT_FILE))
    if is_file(default) and (names_a_context(default) or not in_pod()):
        return default
    if in_pod():
        return None
    pod = f"this pod has no token of a service account in {SERVICE_ACCOUNT}"
    reason = why_not_a_file(default)
    denied = f"; {default}: {reason}" if reason not in (None, NOTHING_THERE) else ""
    raise ConfigurationError(
        f"no kubeconfig was found (option {options.K8S_CONFIG_FILE.key}, KUBECONFIG or "
        f"{_DEFAULT_FILE}{denied}), and {pod if pod_without_token() else 'this is not a pod'}: "
        "set the option to the path of one"
    )


def _of_the_environment(paths: str) -> str:
    """Those of ``KUBECONFIG`` that are there; one that cannot be read counts, as for kubectl."""
    reasons = {name: why_not_a_file(name) for name in paths.split(os.pathsep) if name}
    found = [name for name, reason in reasons.items() if reason is None]
    others = {reason for reason in reasons.values() if reason not in (None, NOTHING_THERE)}
    if others or not found:
        reason = min(others, default=NOTHING_THERE)
        raise ConfigurationError(
            f"KUBECONFIG is {paths!r}: {reason}; correct it, or set option "
            f"{options.K8S_CONFIG_FILE.key}"
        )
    return os.pathsep.join(found)


def _bad(option: Option[Any], value: str, fix: str) -> ConfigurationError:
    return ConfigurationError(f"option {option.key} is {value!r}: {fix}")
