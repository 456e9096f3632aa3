"""The program that a kubeconfig names under ``exec``, for credentials that do not last.

Source: Kubernetes' ``client.authentication.k8s.io`` (v1, v1beta1). What is different from the
official Python client: the program is waited for so many seconds and then ended, with all that it
started; it never gets the terminal; and what it said is told to the operator.
"""

from __future__ import annotations

import base64
import contextlib
import datetime
import json
import os
import selectors
import shutil
import signal
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from hawork.core.clock import SYSTEM_CLOCK
from hawork.core.printable import printable
from hawork.core.redaction import Redaction
from hawork.core.user_files import is_there

PATIENCE = 30.0
"""Seconds that a program may take: some ask a server far away."""
_LARGEST = 1 << 20  # bytes of its answer
_LONGEST_WORD, _LONGEST_QUOTE = 40, 200
_GLANCE = 0.1  # seconds between looks whether it has ended
_NEVER = "0001-01-01"
"""Go's zero moment: a plugin in Go that sets no end writes it, and client-go reads it so."""
_EXTENSION = "client.authentication.k8s.io/exec"


class ExecPluginError(Exception):
    """The program gave no credentials; the message is what became of ``command``."""

    def __init__(self, command: str, reason: str) -> None:
        super().__init__(reason)
        self.command = command


@dataclass(frozen=True, slots=True)
class ExecCredential:
    """What the program answered; ``expires`` is in seconds since 1970."""

    token: str | None
    certificate: bytes | None
    key: bytes | None
    expires: float | None


def run(
    plugin: Mapping[str, Any],
    directory: str,
    cluster: Mapping[str, Any] | None,
    authority: bytes | None,
    patience: float = PATIENCE,
) -> ExecCredential:
    """Ask the program. ``directory`` is the kubeconfig's, ``cluster`` what it says of the server,
    ``authority`` the certificate that it trusts there.

    ``ExecPluginError`` says what became of it, and what it said.
    """
    command = str(plugin.get("command") or "")
    if not command:
        raise ExecPluginError("without a name", "exec names no command")
    if plugin.get("interactiveMode") == "Always":
        raise ExecPluginError(command, "it wants a terminal (interactiveMode is Always)")
    version = str(plugin.get("apiVersion") or "")
    try:
        arguments = _arguments(command, plugin, directory)
        environment = _environment(plugin, version, cluster, authority)
    except (KeyError, TypeError, AttributeError):
        raise ExecPluginError(
            command, "args is not a list, env not one of name and value, or extensions none"
        ) from None
    if not version:
        raise ExecPluginError(
            command, "exec names no apiVersion: write client.authentication.k8s.io/v1"
        )
    process = _start(command, arguments, environment, str(plugin.get("installHint") or ""))
    said, errors, ended = _answer(process, patience)
    if not ended:
        raise ExecPluginError(command, f"it did not end within {patience:g} s{_quoted(errors)}")
    status = process.returncode
    if status != 0:
        how = f"with status {status}" if status > 0 else f"by signal {-status}"
        raise ExecPluginError(command, f"it ended {how}{_quoted(errors or said)}")
    return _credential(command, said, errors, version)


def _written(value: Any) -> str:
    """A value of the kubeconfig's ``env``; without one it is empty, as in Go."""
    return "" if value is None else str(value)


def _arguments(command: str, plugin: Mapping[str, Any], directory: str) -> list[str]:
    # A path is the kubeconfig's business, a name that of our PATH, whatever env makes of it for
    # the program; as kubectl does.
    found = None if os.sep in command else shutil.which(command)
    program = str(Path(directory, command)) if os.sep in command else found or command
    arguments = plugin.get("args") or []
    if not isinstance(arguments, list):  # a text would be taken letter by letter
        raise TypeError
    return [program, *map(str, arguments)]


def _environment(
    plugin: Mapping[str, Any],
    version: str,
    cluster: Mapping[str, Any] | None,
    authority: bytes | None,
) -> dict[str, str]:
    spec: dict[str, Any] = {"interactive": False}
    if plugin.get("provideClusterInfo") and cluster is not None:
        told = {key: value for key, value in cluster.items() if key != "extensions"}
        if authority is not None:  # a plugin knows nothing of the kubeconfig's files
            told.pop("certificate-authority", None)
            told["certificate-authority-data"] = base64.b64encode(authority).decode()
        for each in cluster.get("extensions") or []:
            if each.get("name") == _EXTENSION:
                told["config"] = each.get("extension")
        spec["cluster"] = told
    info = {"apiVersion": version, "kind": "ExecCredential", "spec": spec}
    env = plugin.get("env") or []
    added = {str(each["name"]): _written(each.get("value")) for each in env}
    return {**os.environ, **added, "KUBERNETES_EXEC_INFO": json.dumps(info)}


def _start(
    name: str, arguments: list[str], environment: dict[str, str], hint: str
) -> subprocess.Popen[bytes]:
    try:
        return subprocess.Popen(
            arguments, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            env=environment, start_new_session=True,
        )  # fmt: skip
    except (FileNotFoundError, PermissionError) as error:
        if isinstance(error, PermissionError) and _is_found(arguments[0], environment):
            raise ExecPluginError(name, f"it cannot be run ({error})") from None
        if os.sep in arguments[0] and is_there(arguments[0]):
            raise ExecPluginError(
                name, "it cannot be run (the program that its first line names is not there; that "
                "line may end as on Windows)",
            ) from None  # fmt: skip
        hinted = f" ({' '.join(hint.split())[:_LONGEST_QUOTE]})" if hint.split() else ""
        raise ExecPluginError(name, f"it is not installed, or not in PATH{hinted}") from None
    except (OSError, ValueError) as error:
        raise ExecPluginError(name, f"it cannot be run ({error})") from None


def _answer(process: subprocess.Popen[bytes], patience: float) -> tuple[str, str, bool]:
    """Standard output, standard error, and whether it ended in time; it has ended afterwards."""
    try:
        return _read(process, SYSTEM_CLOCK.monotonic() + patience)
    finally:
        if process.poll() is None:
            # Also what it started, which would keep the pipes open.
            with contextlib.suppress(OSError):
                os.killpg(process.pid, signal.SIGKILL)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(1.0)
        for pipe in (process.stdout, process.stderr):
            if pipe is not None:
                pipe.close()


def _read(process: subprocess.Popen[bytes], until: float) -> tuple[str, str, bool]:
    """What it writes until it ends, and whether it ended in time."""
    written: dict[Any, bytes] = {process.stdout: b"", process.stderr: b""}
    with selectors.DefaultSelector() as selector:
        for pipe in written:
            selector.register(pipe, selectors.EVENT_READ)
        ended = False
        while selector.get_map() and (left := until - SYSTEM_CLOCK.monotonic()) > 0:
            ready = selector.select(min(left, _GLANCE))
            for key, _ in ready:
                chunk = os.read(key.fd, 1 << 16)
                written[key.fileobj] = (written[key.fileobj] + chunk)[:_LARGEST]
                if not chunk:
                    selector.unregister(key.fileobj)
            # Something that it left running may hold the pipes for as long as it likes.
            if ended and not ready:
                break
            ended = process.poll() is not None
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(max(0.0, until - SYSTEM_CLOCK.monotonic()))
    said, errors = (text.decode(errors="replace") for text in written.values())
    return said, errors, process.poll() is not None


def _credential(name: str, said: str, errors: str, version: str) -> ExecCredential:
    try:
        answer = _parsed(said)
        kind, answered, status = answer["kind"], answer["apiVersion"], answer.get("status")
    except (ValueError, KeyError, TypeError, RecursionError, AttributeError, yaml.YAMLError):
        raise ExecPluginError(
            name, f"it answered something that is not an ExecCredential{_quoted(errors or said)}"
        ) from None
    if kind != "ExecCredential" or answered != version:
        raise ExecPluginError(name, f"it answered {kind} of {answered}, not of {version}")
    status = status if isinstance(status, Mapping) else {}
    token = status.get("token")
    if isinstance(token, (Mapping, list)):
        raise ExecPluginError(name, "it answered a token that is not a text")
    certificate, key = status.get("clientCertificateData"), status.get("clientKeyData")
    if not token and not (certificate and key):
        raise ExecPluginError(
            name, f"it answered neither a token nor a certificate{_quoted(errors)}"
        )
    return ExecCredential(
        str(token) if token else None,
        str(certificate).encode() if certificate else None,
        str(key).encode() if key else None,
        _moment(name, status.get("expirationTimestamp")),
    )


def _parsed(said: str) -> Any:
    """What it answered: JSON, or YAML, which kubectl takes, too."""
    return json.loads(said) if said.lstrip().startswith("{") else yaml.safe_load(said)


def _moment(name: str, written: Any) -> float | None:
    if written is None or str(written).startswith(_NEVER):
        return None
    try:
        moment = datetime.datetime.fromisoformat(str(written))
    except ValueError:
        raise ExecPluginError(name, f"it answered {written!r} as expirationTimestamp") from None
    return (moment if moment.tzinfo else moment.replace(tzinfo=datetime.UTC)).timestamp()


def _quoted(text: str) -> str:
    """What the program said, in one line; what may be a secret is left out."""
    # An answer that is not quite one holds a token: behind a line of text, or a byte order mark.
    words = [
        "..." if len(word) > _LONGEST_WORD and not word.startswith(("https://", "/")) else word
        for word in _without_answer(text).split()
    ]
    said = printable(Redaction().text(" ".join(words)))[:_LONGEST_QUOTE]
    return f" and said: {said}" if said else ""


def _without_answer(text: str) -> str:
    """The text up to the first brace, if credentials may follow it."""
    before, brace, after = text.partition("{")
    holds = any(word in after for word in ("oken", "clientKeyData", "ExecCredential"))
    return f"{before}..." if brace and holds else text


def _is_found(program: str, environment: Mapping[str, str]) -> bool:
    """Whether there is such a file, where a closed directory of PATH says *denied*."""
    if os.sep in program:
        return True
    folders = environment.get("PATH", os.defpath).split(os.pathsep)
    return any(is_there(os.path.join(folder, program)) for folder in folders)
