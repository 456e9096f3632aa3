"""A TLS context from certificates as a kubeconfig gives them, kept in memory.

Nothing is left in a temporary directory, where a cleaner would remove it after some days: OpenSSL
takes authorities from memory, and a client's certificate from a file that is one only while it is
read.
"""

from __future__ import annotations

import contextlib
import os
import ssl
import tempfile
from collections.abc import Iterator

from hawork.backends.kubernetes.kubeconfig import ClusterEntry, KubeconfigError
from hawork.core.user_files import is_there


def context_for(
    cluster: ClusterEntry, certificate: bytes | None, key: bytes | None
) -> ssl.SSLContext:
    """``KubeconfigError`` for what OpenSSL does not take."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    # Go trusts what it is given, whether or not that signed itself.
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    if cluster.insecure:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    elif cluster.authority is not None:
        data = cluster.authority.read()
        try:
            context.load_verify_locations(cadata=data.decode("ascii", errors="ignore"))
        except (ssl.SSLError, ValueError) as error:
            raise KubeconfigError(
                f"{_name(cluster)} holds no PEM certificate that can be used: {error}"
            ) from None
    else:
        context.load_default_certs()
    if certificate is not None:
        _load_chain(context, certificate, key)
    return context


def _load_chain(context: ssl.SSLContext, certificate: bytes, key: bytes | None) -> None:
    try:
        with _readable_file(certificate + b"\n" + (key or b"")) as name:
            # An empty password keeps OpenSSL from asking for one at the terminal.
            context.load_cert_chain(name, password="")
    except (ssl.SSLError, OSError, ValueError) as error:
        if key is None and b"PRIVATE KEY" not in certificate:
            raise KubeconfigError("client-certificate stands there without client-key") from None
        raise KubeconfigError(
            f"client-certificate and client-key cannot be used ({error}): write PEM that belongs "
            "together"
        ) from None


@contextlib.contextmanager
def _readable_file(content: bytes) -> Iterator[str]:
    """The name of a file for us alone; in memory where there is such a thing."""
    descriptor = _in_memory()
    if descriptor is not None:
        with os.fdopen(descriptor, "wb", buffering=0) as file:
            file.write(content)
            yield f"/proc/self/fd/{descriptor}"
        return
    with tempfile.NamedTemporaryFile(suffix=".pem", buffering=0) as file:
        file.write(content)
        yield file.name


def _in_memory() -> int | None:
    """A file in memory that has a name; ``None`` where there is none, or a sandbox refuses it."""
    if not hasattr(os, "memfd_create"):
        return None
    try:
        descriptor = os.memfd_create("hawork-client-certificate")
    except OSError:
        return None
    if is_there(f"/proc/self/fd/{descriptor}"):
        return descriptor
    os.close(descriptor)
    return None


def _name(cluster: ClusterEntry) -> str:
    authority = cluster.authority
    assert authority is not None
    return authority.key if authority.path is None else f"{authority.key} {authority.path}"
