"""What a kubeconfig says, or the pod we run in: which API server, and as whom.

Read as kubectl reads it (client-go's ``clientcmd``): of several files the first one that says
something has it; paths are relative to the file that names them; inline data win over files. The
official Python client reads kubeconfigs, too, but it swallows what an exec plugin says, waits for
one without limit, keeps certificates in the temporary directory until a cleaner finds them, and
reads what is renewed on disk once.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import yaml

from hawork.core.addresses import why_not_a_host
from hawork.core.user_files import absolute, is_file
from hawork.ha import core_schema

_SHOWN = 80  # characters of an address that is none
_ONE_WORD = re.compile(r"\S+")
SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
"""Where a pod finds its token and the certificate of the API server's authority."""
_SERVICE_HOST, _SERVICE_PORT = "KUBERNETES_SERVICE_HOST", "KUBERNETES_SERVICE_PORT"


class KubeconfigError(Exception):
    """Why a kubeconfig cannot be used, as a part of a sentence."""


class UnreadableError(KubeconfigError):
    """The file is there, or is not, and cannot be read by us."""


class NoSuchContextError(KubeconfigError):
    """The context that was asked for is not there."""


@dataclass(frozen=True, slots=True)
class Material:
    """Certificates, a key or a token: inline, or in a file that others may renew."""

    key: str
    path: str | None
    data: bytes = b""

    @property
    def name(self) -> str:
        """What it is called, for messages."""
        return self.key if self.path is None else f"{self.key} {self.path}"

    def read(self) -> bytes:
        if self.path is None:
            return self.data
        try:
            return Path(self.path).read_bytes()
        except OSError as error:
            raise KubeconfigError(f"{self.name}: {error.strerror}") from None


@dataclass(frozen=True, slots=True)
class ClusterEntry:
    """The API server."""

    server: str
    authority: Material | None = None
    insecure: bool = False
    tls_server_name: str | None = None
    proxy_url: str | None = None
    raw: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class UserEntry:
    """Who we are to it. ``directory`` is that of the file which says so."""

    token: Material | None = None
    certificate: Material | None = None
    key: Material | None = None
    basic: tuple[str, str] | None = None
    exec_plugin: Mapping[str, Any] | None = None
    auth_provider: Mapping[str, Any] | None = None
    impersonation: tuple[tuple[str, str], ...] = ()
    directory: str = ""


@dataclass(frozen=True, slots=True)
class Kubeconfig:
    """The entries of one context, and the files that were read for them."""

    cluster: ClusterEntry
    user: UserEntry
    files: tuple[str, ...] = ()

    def watched(self) -> tuple[str, ...]:
        """Every file that may be renewed."""
        user = self.user
        parts = (self.cluster.authority, user.token, user.certificate, user.key)
        return (*self.files, *(part.path for part in parts if part is not None and part.path))


def read_kubeconfig(paths: str, context: str | None) -> Kubeconfig:
    """``paths`` as in ``KUBECONFIG``. ``KubeconfigError``."""
    files = tuple(path for path in paths.split(os.pathsep) if path)
    documents = [(path, _document(path)) for path in files]
    name = context or next(
        (str(found["current-context"]) for _, found in documents if found.get("current-context")),
        None,
    )
    if name is None:
        raise NoSuchContextError("it has no current-context")
    found = _entry(documents, "context", name)
    if found is None:
        raise NoSuchContextError(f"it has no context {name!r}")
    chosen, _ = found
    cluster = _entry(documents, "cluster", str(chosen.get("cluster")))
    if cluster is None:
        raise KubeconfigError(
            f"context {name!r} names cluster {chosen.get('cluster')!r}, not there"
        )
    user: tuple[Mapping[str, Any], str] | None = {}, ""
    if chosen.get("user"):
        user = _entry(documents, "user", str(chosen["user"]))
    if user is None:
        raise KubeconfigError(f"context {name!r} names user {chosen['user']!r}, who is not there")
    return Kubeconfig(_cluster(*cluster), _user(*user), files)


def names_a_context(path: str) -> bool:
    """Whether a kubeconfig leads anywhere; the file that tools leave behind is often empty."""
    try:
        return bool(_document(path).get("contexts"))
    except UnreadableError:
        return False  # of another user, whose home this is
    except KubeconfigError:
        return True  # to be told about


def in_pod() -> bool:
    """Whether we run in a pod that has a token of its service account."""
    return bool(os.environ.get(_SERVICE_HOST)) and is_file(SERVICE_ACCOUNT / "token")


def pod_without_token() -> bool:
    return bool(os.environ.get(_SERVICE_HOST)) and not in_pod()


def read_service_account() -> Kubeconfig:
    """The API server of the pod's cluster, and the pod's own account. ``KubeconfigError``."""
    host, port = os.environ.get(_SERVICE_HOST, ""), os.environ.get(_SERVICE_PORT, "443")
    if not host:
        raise KubeconfigError(f"{_SERVICE_HOST} is not set")
    bracketed = f"[{host}]" if ":" in host else host
    return Kubeconfig(
        ClusterEntry(
            f"https://{bracketed}:{port}",
            authority=Material("the authority's certificate", str(SERVICE_ACCOUNT / "ca.crt")),
        ),
        UserEntry(token=Material("token", str(SERVICE_ACCOUNT / "token"))),
    )


def _document(path: str) -> Mapping[str, Any]:
    try:
        found = _first_document(Path(path).read_bytes())
    except OSError as error:
        raise UnreadableError(f"{path}: {error.strerror}") from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        # Never in PyYAML's own words, which quote the line: it may hold the token.
        raise KubeconfigError(f"{path} is not YAML: {core_schema.reason_of(error)}") from None
    if found is None:
        return {}
    if not isinstance(found, Mapping):
        raise KubeconfigError(f"{path} holds no mapping")
    for kind in ("clusters", "contexts", "users"):
        entries = found.get(kind) or []
        if not isinstance(entries, list) or not all(isinstance(each, Mapping) for each in entries):
            raise KubeconfigError(f"{kind} of {path} is not a list of entries")
    return found


def _first_document(data: bytes) -> Any:
    """Of a file in JSON, which may hold tabs, or YAML; kubectl, too, reads no second document."""
    if data.lstrip().startswith(b"{"):
        with contextlib.suppress(ValueError):
            return json.loads(data)
    loader = _Loader(data)
    try:
        return loader.get_data()
    finally:
        loader.dispose()


class _Whole(int):
    """A number, and how it was written: a token or a name of digits is a text."""

    written: str

    def __str__(self) -> str:
        return self.written


class _Fraction(float):
    written: str

    def __str__(self) -> str:
        return self.written


class _Loader(yaml.SafeLoader):
    """Remembers what numbers were written as, and takes a date for the text that it is."""


def _construct(loader: _Loader, node: Any) -> Any:
    kind = node.tag.rpartition(":")[2]
    if kind == "timestamp":
        return node.value
    number: _Whole | _Fraction = (
        _Whole(loader.construct_yaml_int(node))
        if kind == "int"
        else _Fraction(loader.construct_yaml_float(node))
    )
    number.written = node.value
    return number


for _kind in ("int", "float", "timestamp"):
    _Loader.add_constructor(f"tag:yaml.org,2002:{_kind}", _construct)


def _entry(
    documents: list[tuple[str, Mapping[str, Any]]], kind: str, name: str
) -> tuple[Mapping[str, Any], str] | None:
    """The entry of that name, and the directory of its file."""
    for path, document in documents:
        for each in document.get(f"{kind}s") or []:
            if str(each.get("name")) == name:
                found = each.get(kind) or {}
                if not isinstance(found, Mapping):
                    raise KubeconfigError(f"{kind} {name!r} of {path} holds no mapping")
                return found, str(absolute(path).parent)
    return None


def _cluster(found: Mapping[str, Any], directory: str) -> ClusterEntry:
    written = str(found.get("server") or "")
    server = written.rstrip("/")
    if "://" not in server:
        server = f"https://{server}" if server else ""  # as kubectl completes it
    scheme, between, rest = server.partition("://")
    server = scheme.lower() + between + rest
    if not _is_address(server):
        # Without what stands before an @: it may be a password.
        shown = written if "@" not in written else f"...@{written.rpartition('@')[2]}"
        raise KubeconfigError(f"server is {shown[:_SHOWN]!r}: write https://host:port")
    name = _text(found, "tls-server-name")
    if name and (reason := why_not_a_host(name)):
        raise KubeconfigError(f"tls-server-name is {name[:_SHOWN]!r}: {reason}")
    return ClusterEntry(
        server,
        _material(found, "certificate-authority", directory),
        str(found.get("insecure-skip-tls-verify")).lower() == "true",
        name,
        _text(found, "proxy-url"),
        found,
    )


def _is_address(server: str) -> bool:
    try:
        url = urlsplit(server)
        if url.scheme not in ("https", "http") or not url.hostname or url.port == 0:
            return False
    except ValueError:  # a port that is none
        return False
    if ":" not in url.hostname and why_not_a_host(url.hostname):
        return False
    return _ONE_WORD.fullmatch(server) is not None and "@" not in url.netloc


def _user(found: Mapping[str, Any], directory: str) -> UserEntry:
    token = _text(found, "token")
    basic = _text(found, "username"), _text(found, "password")
    plugin, provider = found.get("exec"), found.get("auth-provider")
    for key, entry in (("exec", plugin), ("auth-provider", provider)):
        if entry is not None and not isinstance(entry, Mapping):
            raise KubeconfigError(f"{key} holds no mapping")
    return UserEntry(
        token=_file(found, "tokenFile", directory)
        or (Material("token", None, token.encode()) if token else None),
        certificate=_material(found, "client-certificate", directory),
        key=_material(found, "client-key", directory),
        basic=(basic[0] or "", basic[1] or "") if any(basic) else None,
        exec_plugin=plugin,
        auth_provider=provider,
        impersonation=tuple(_impersonation(found)),
        directory=directory,
    )


def _impersonation(found: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Headers that say for whom we act, where the user entry does."""
    headers = [("Impersonate-User", str(found["as"]))] if found.get("as") else []
    if found.get("as-uid"):
        headers.append(("Impersonate-Uid", str(found["as-uid"])))
    headers += [("Impersonate-Group", group) for group in _texts(found, "as-groups")]
    extra = found.get("as-user-extra") or {}
    if not isinstance(extra, Mapping):
        raise KubeconfigError("as-user-extra holds no mapping")
    for key in extra:
        headers += [(f"Impersonate-Extra-{key}", value) for value in _texts(extra, key)]
    return headers


def _texts(found: Mapping[str, Any], key: str) -> list[str]:
    """A list of texts; one text would be taken letter by letter."""
    values = found.get(key) or []
    if not isinstance(values, list):
        raise KubeconfigError(f"{key} is not a list")
    return list(map(str, values))


def _text(found: Mapping[str, Any], key: str) -> str | None:
    return str(found[key]) if found.get(key) else None


def _file(found: Mapping[str, Any], key: str, directory: str) -> Material | None:
    path = _text(found, key)
    return None if path is None else Material(key, str(Path(directory, path)))


def _material(found: Mapping[str, Any], key: str, directory: str) -> Material | None:
    inline = _text(found, f"{key}-data")
    if inline is None:
        return _file(found, key, directory)
    try:
        data = base64.b64decode("".join(inline.split()), validate=True)
    except (binascii.Error, ValueError):
        raise KubeconfigError(f"{key}-data is not base64") from None
    return Material(f"{key}-data", None, data)
