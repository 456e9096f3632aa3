"""The ConfigMaps of a cluster at this moment. Only reads."""

from __future__ import annotations

import time
from collections.abc import Iterator

from hawork.backends.kubernetes.answers import AccessDeniedError, ConfigMap, OutcomeUnknownError
from hawork.backends.kubernetes.client import KubernetesClient
from hawork.backends.kubernetes.layout import LOCK, Names
from hawork.backends.kubernetes.settings import KubernetesSettings
from hawork.core.configuration import Configuration
from hawork.core.errors import StoreUnavailableError
from hawork.inspect.entries import Entry
from hawork.inspect.live_kubernetes import maps_by_name

_PATIENCE = 5.0
"""Seconds for which a look is tried again: a lab's requests may take a second each, which is little
on a machine that is busy."""


def read_entries(config: Configuration) -> list[Entry]:
    """Each annotation and key, the cluster's ConfigMap first; versions are the ConfigMap's.

    Without the right to list, of what can be read by its name.
    ``StoreUnavailableError`` when the server does not answer.
    """
    settings = KubernetesSettings.of(config)
    client, cluster = KubernetesClient(settings), Names(settings.cluster_id)
    try:
        listed = _listed(client, {"labelSelector": cluster.looser_selector})
    except AccessDeniedError as error:
        listed = [ConfigMap.of(each) for each in maps_by_name(client, cluster, error)[0]]
    finally:
        client.close()
    found = [each for each in listed if cluster.has(each.name)]
    found.sort(key=lambda each: (LOCK not in each.annotations, each.name))
    return [entry for each in found for entry in _entries(each)]


def _listed(client: KubernetesClient, query: dict[str, str]) -> list[ConfigMap]:
    """A read changes nothing: one that was not answered is asked again."""
    end = time.monotonic() + _PATIENCE
    while True:
        try:
            return client.list(query)[0]
        except OutcomeUnknownError as error:
            if time.monotonic() >= end:
                raise StoreUnavailableError(str(error)) from None


def _entries(found: ConfigMap) -> Iterator[Entry]:
    for key, text in (*sorted(found.annotations.items()), *sorted(found.data.items())):
        version = int(found.resource_version) if found.resource_version.isdigit() else None
        yield Entry("kubernetes", found.name, text.encode(), key, version=version)
