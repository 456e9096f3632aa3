"""Where everything lies in storageDir.

::

    <storageDir>/<cluster-id>/jobs/<job id>/submittedJobGraph<12 hex digits>
                                            completedCheckpoint<12 hex digits>
                                            blob/<sha256>-<12 hex of the session id>
                                            state/<name>
                                            _SUBMITTING-<session id>
    <storageDir>/job-result-store/<cluster-id>/<job id>_DIRTY.json
                                               <job id>.json
                                               ended/<hours since 1970>/<job id>.json

Source: facts 5.1 of Flink 1.20; there the files of all jobs lie side by side, here each
job has a directory, so that nothing of a finished job can be left behind.
"""

from __future__ import annotations

from hawork.core import options
from hawork.core.configuration import Configuration
from hawork.core.errors import ConfigurationError
from hawork.core.types import JobID, LeaderSessionID
from hawork.ha.state_storage import checked_path
from hawork.ha.storage import join_url

JOBS = "jobs"
SUBMITTING = "_SUBMITTING-"
JOB_GRAPH = "submittedJobGraph"
CHECKPOINT = "completedCheckpoint"
BLOBS = "blob"
STATE = "state"


def cluster_name(config: Configuration) -> str:
    """The cluster-id that the HA store goes by: for Kubernetes there is an option of its own."""
    if config.get_option(options.HA_TYPE) == "kubernetes":
        return str(config.get_option(options.K8S_CLUSTER_ID))
    return config.get_option(options.CLUSTER_ID)


def cluster_directory(config: Configuration) -> str:
    """The cluster-id as a relative path. ``ConfigurationError`` when it is none."""
    cluster_id = config.get_option(options.CLUSTER_ID)
    path = str(cluster_id).strip("/")
    try:
        if not path:
            raise ConfigurationError("it is empty")
        return checked_path(path)
    except ConfigurationError:
        raise ConfigurationError(
            f"option {options.CLUSTER_ID.key} is {cluster_id!r}: write names joined by '/', "
            "such as /default"
        ) from None


def storage_dir(config: Configuration) -> str:
    """The URL of storageDir. ``ConfigurationError`` when the option is not set."""
    return str(
        config.require(
            options.STORAGE_DIR,
            "write the URL of a directory that all JobManagers reach, such as file:/var/hawork",
        )
    )


def cluster_url(config: Configuration) -> str:
    """The URL of the cluster's own directory in storageDir."""
    return join_url(storage_dir(config), cluster_directory(config))


def job_result_url(config: Configuration) -> str:
    """The URL of the JobResultStore's directory."""
    configured = config.get_option(options.JOB_RESULT_STORAGE_PATH)
    if configured is not None:
        return str(configured)
    return join_url(storage_dir(config), f"job-result-store/{cluster_directory(config)}")


def job_directory(job_id: JobID) -> str:
    return f"{JOBS}/{job_id}"


def submitting_marker(job_id: JobID, session_id: LeaderSessionID) -> str:
    return f"{job_directory(job_id)}/{SUBMITTING}{session_id}"
