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
from pathlib import Path

from hawork.backends.kubernetes.kubeconfig import ClusterEntry, KubeconfigError


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
                f"{_name(cluster)} holds no certificate that can be used: {error}"
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
        raise KubeconfigError(
            f"client-certificate and client-key cannot be used ({error}): write PEM that belongs "
            "together"
        ) from None


@contextlib.contextmanager
def _readable_file(content: bytes) -> Iterator[str]:
    """The name of a file for us alone; in memory where there is such a thing."""
    if hasattr(os, "memfd_create") and Path("/proc/self/fd").exists():
        descriptor = os.memfd_create("hawork-client-certificate")
        with os.fdopen(descriptor, "wb", buffering=0) as file:
            file.write(content)
            yield f"/proc/self/fd/{descriptor}"
        return
    with tempfile.NamedTemporaryFile(suffix=".pem", buffering=0) as file:
        file.write(content)
        yield file.name


def _name(cluster: ClusterEntry) -> str:
    authority = cluster.authority
    assert authority is not None
    return authority.key if authority.path is None else f"{authority.key} {authority.path}"
