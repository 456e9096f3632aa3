"""The token that every REST call needs, and where a cluster keeps it."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

from hawork.core import options
from hawork.core.configuration import Configuration
from hawork.core.errors import ConfigurationError


def token_path(config: Configuration) -> Path:
    """The token's file: as configured, else in the run directory, else in storageDir.

    ``ConfigurationError`` when none of the three is a local path.
    """
    configured = config.get_option(options.REST_TOKEN_FILE)
    if configured:
        return Path(configured)
    run_directory = config.get_option(options.RUN_DIRECTORY)
    if run_directory:
        return Path(run_directory) / "token"
    storage = config.get_option(options.STORAGE_DIR)
    if storage:
        from hawork.ha.storage import local_path

        directory = local_path(storage)
        if directory is not None:
            cluster_id: str = config.get_option(options.CLUSTER_ID)
            return directory / cluster_id.strip("/") / "rest-token"
    raise ConfigurationError(
        f"option {options.REST_TOKEN_FILE.key} is not set: name a file that the cluster's "
        "processes and its clients can read"
    )


def read_token(config: Configuration) -> str:
    """The cluster's token; ``ConfigurationError`` when there is no readable one."""
    path = token_path(config)
    try:
        token = path.read_text().strip()
    except OSError as error:
        raise ConfigurationError(
            f"the cluster's token cannot be read from {path} ({error.strerror}): start the "
            f"cluster first, or set {options.REST_TOKEN_FILE.key}"
        ) from None
    if not token:
        raise ConfigurationError(f"token file {path} is empty: remove it and restart the cluster")
    return token


def find_token(config: Configuration) -> str | None:
    """The cluster's token, or ``None`` where there is none, as on a real Flink cluster."""
    try:
        return read_token(config)
    except ConfigurationError:
        return None


def ensure_token(config: Configuration) -> str:
    """The cluster's token, made by whichever process of the cluster comes first.

    The file appears complete, readable by its owner only.
    """
    path = token_path(config)
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f".{path.name}-{secrets.token_hex(6)}")
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            os.write(descriptor, (secrets.token_urlsafe(32) + "\n").encode())
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        try:
            os.link(temporary, path)
        except FileExistsError:
            pass
        finally:
            temporary.unlink()
    return read_token(config)
