"""``auth-provider`` of a kubeconfig, as kubectl knew it before exec plugins: the official client's.

Only ``oidc`` is left in kubectl; ``gcp`` and ``azure`` went with 1.26. What is in the file is used
and, where the client can, renewed.
"""

from __future__ import annotations

from typing import Any

from hawork.backends.kubernetes.kubeconfig import Kubeconfig, KubeconfigError


def token_of(config: Kubeconfig) -> str:
    """The value of the header ``Authorization``. ``KubeconfigError``."""
    provider = config.user.auth_provider or {}
    name = provider.get("name")
    # Imported here: it takes half a second and 20 MB, and few kubeconfigs need it.
    import kubernetes

    entries = {
        "current-context": "only",
        "contexts": [{"name": "only", "context": {"cluster": "only", "user": "only"}}],
        "clusters": [{"name": "only", "cluster": {"server": config.cluster.server}}],
        "users": [{"name": "only", "user": {"auth-provider": dict(provider)}}],
    }
    client: Any = kubernetes
    configuration = client.client.Configuration()
    try:
        client.config.load_kube_config_from_dict(
            entries, client_configuration=configuration, persist_config=False
        )
        setting = configuration.auth_settings().get("BearerToken") or {}
    except Exception as error:  # noqa: BLE001 - it raises whatever it meets, also of the network
        raise KubeconfigError(f"auth-provider {name} gave no token: {error}") from None
    token = setting.get("value")
    if not token:
        raise KubeconfigError(
            f"auth-provider {name} gave no token: log in again, or use an exec plugin, which "
            "kubectl wants since 1.26"
        )
    return str(token)
