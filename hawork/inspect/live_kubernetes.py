"""The ConfigMaps of a namespace at this moment, whole. Only reads."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from hawork.backends.kubernetes.answers import AccessDeniedError
from hawork.backends.kubernetes.client import KubernetesClient
from hawork.backends.kubernetes.layout import Names, jobs_of
from hawork.backends.kubernetes.settings import KubernetesSettings
from hawork.core.configuration import Configuration
from hawork.core.errors import StoreUnavailableError
from hawork.core.types import JobID
from hawork.inspect.configmaps import ConfigMap, Dump, config_map_of

__all__ = ["maps_by_name", "read_live_kubernetes"]

_JOB_KEY: Final = re.compile(r"(?:jobGraph|executionPlan)-([0-9a-f]{32})")


def read_live_kubernetes(config: Configuration) -> Dump:
    """All ConfigMaps of the namespace; without the right to list them, those of the cluster.

    ``problems`` name each right that is missing. ``StoreUnavailableError`` when the API server does
    not answer, or lets us read nothing at all.
    """
    settings = KubernetesSettings.of(config)
    client = KubernetesClient(settings)
    try:
        try:
            found = [item for page in client.pages({}) for item in page["items"]]
            problems: tuple[str, ...] = ()
        except AccessDeniedError as error:
            found, problems = maps_by_name(client, Names(settings.cluster_id), error)
    finally:
        client.close()
    maps = [config_map_of(item) for item in found]
    return Dump(tuple(each for each in maps if each is not None), problems)


def maps_by_name(
    client: KubernetesClient, names: Names, denied: AccessDeniedError
) -> tuple[list[Mapping[str, Any]], tuple[str, ...]]:
    """What can be found without listing: the cluster's ConfigMap, and those of its jobs.

    And what is not seen, for rights that are missing. ``StoreUnavailableError`` without any right.
    """
    try:
        cluster = client.written(names.cluster_map)
    except AccessDeniedError as error:
        raise StoreUnavailableError(f"{denied}; and {error}") from None
    found = [] if cluster is None else [cluster]
    problems = [f"{denied}; ConfigMaps of jobs without a job graph are not seen"]
    try:
        for job_id in _jobs(None if cluster is None else config_map_of(cluster)):
            of_job = client.written(names.job_map(job_id))
            if of_job is not None:
                found.append(of_job)
    except AccessDeniedError as error:  # a Role that names the cluster's ConfigMap only
        problems.append(str(error))
    return found, tuple(problems)


def _jobs(cluster: ConfigMap | None) -> Iterator[JobID]:
    for key in () if cluster is None else cluster.data:
        match = _JOB_KEY.fullmatch(key)
        if match is not None:
            yield JobID(match[1])
    yield from () if cluster is None else jobs_of(cluster.data)
