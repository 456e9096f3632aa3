"""The token that every REST call needs, and where a cluster keeps it."""

from __future__ import annotations

import contextlib
import os
import secrets
from pathlib import Path

from hawork.core import options
from hawork.core.configuration import Configuration
from hawork.core.errors import ConfigurationError, UntrustedPathError
from hawork.core.private_files import create_private, read_private
from hawork.core.redaction import secrets_in

TOKEN_FILE = "rest-token"
"""Its name in storageDir."""
SHORTEST = 16
"""Characters of a token: a shorter one could be guessed from the answer to a challenge."""

_OF_OTHERS = (
    f"; where storageDir belongs to others, set {options.REST_TOKEN_FILE.key} to a file of your own"
)


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
            return directory / cluster_id.strip("/") / TOKEN_FILE
    raise ConfigurationError(
        f"option {options.REST_TOKEN_FILE.key} is not set: name a file that the cluster's "
        "processes and its clients can read"
    )


def read_token(config: Configuration) -> str:
    """The cluster's token.

    ``ConfigurationError`` when there is no readable one, or another user may know or have made it.
    """
    path = token_path(config)
    try:
        token = read_private(path).strip()
    except UntrustedPathError as error:
        raise UntrustedPathError(f"the cluster's token is not read: {error}{_OF_OTHERS}") from None
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not text"
        raise ConfigurationError(
            f"the cluster's token cannot be read from {path} ({reason}): start the "
            f"cluster first, or set {options.REST_TOKEN_FILE.key}"
        ) from None
    if not token:
        raise ConfigurationError(f"token file {path} is empty: remove it and restart the cluster")
    if not (token.isascii() and token.isprintable()) or " " in token:
        raise ConfigurationError(
            f"token file {path} holds characters that no HTTP header takes, such as a line break, "
            "a byte order mark or an umlaut: write one line, as 'openssl rand -hex 32' makes it, "
            "or remove the file"
        )
    if len(token) < SHORTEST:
        raise ConfigurationError(
            f"token file {path} holds {len(token)} characters, which can be guessed: write at "
            f"least {SHORTEST}, as 'openssl rand -hex 32' makes them, or remove the file"
        )
    return token


def find_token(config: Configuration) -> str | None:
    """The cluster's token, or ``None`` where there is none, as on a real Flink cluster.

    ``ConfigurationError`` when there is one that cannot be used.
    """
    try:
        path = token_path(config)
    except ConfigurationError:
        return None
    return read_token(config) if os.path.lexists(path) else None


def known_secrets(config: Configuration) -> tuple[str, ...]:
    """The secrets that the options of a cluster do not hold, but lead to; those it can read."""
    found: list[str] = []
    with contextlib.suppress(ConfigurationError):
        found.append(find_token(config) or "")
    kubeconfig = config.get_option(options.K8S_CONFIG_FILE)
    if kubeconfig:
        with contextlib.suppress(OSError, UnicodeDecodeError):
            found += secrets_in(Path(kubeconfig).expanduser().read_text(encoding="utf-8"))
    return tuple(found)


def ensure_token(config: Configuration) -> str:
    """The cluster's token, made by whichever process of the cluster comes first.

    The file appears complete, readable by its owner only.
    """
    path = token_path(config)
    if not os.path.lexists(path):
        try:
            create_private(path, secrets.token_urlsafe(32) + "\n")
        except UntrustedPathError as error:
            raise UntrustedPathError(f"no token is made: {error}{_OF_OTHERS}") from None
        except OSError as error:
            raise ConfigurationError(
                f"the cluster's token cannot be written to {path} ({error.strerror}): set "
                f"{options.REST_TOKEN_FILE.key} to a file of your own"
            ) from None
    return read_token(config)
