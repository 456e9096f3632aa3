"""TLS towards REST and of REST, from Flink's options ``security.ssl.rest.*``.

Source: ``SSLUtils.createRestClientSSLEngineFactory`` and ``createRestServerSSLEngineFactory``.
Other than Flink's, this client checks by default that a certificate names the host.
"""

from __future__ import annotations

import http.client
import os
import ssl
import tempfile
from pathlib import Path

from hawork.client.key_store import KeyStore
from hawork.core import options
from hawork.core.addresses import rest_address
from hawork.core.configuration import Configuration, Option
from hawork.core.errors import ConfigurationError, RestError
from hawork.core.tls_failures import Trouble, trouble_of
from hawork.core.user_files import temporary_directory

UNTRUSTED = 495
"""The status of a ``RestError`` for a certificate that is not trusted, as in nginx."""


def client_context(config: Configuration | None = None) -> ssl.SSLContext:
    """What a client of REST trusts, and how it says who it is.

    Without ``security.ssl.rest.truststore`` the authorities of the system are trusted, or those of
    the environment variable ``SSL_CERT_FILE``. ``ConfigurationError`` when a file is of no use.
    """
    context = ssl.create_default_context()
    if config is None:
        return context
    trusted = _store(config, options.SSL_REST_TRUSTSTORE, options.SSL_REST_TRUSTSTORE_PASSWORD)
    if trusted is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        _trust(context, trusted)
    context.check_hostname = config.get_option(options.SSL_VERIFY_HOSTNAME)
    if config.get_option(options.SSL_REST_AUTHENTICATION):
        _show(context, config)
    return context


def server_context(config: Configuration) -> ssl.SSLContext | None:
    """What REST listens with; ``None``: without TLS. ``ConfigurationError`` as above."""
    if not config.get_option(options.SSL_REST_ENABLED):
        return None
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    _show(context, config)
    if config.get_option(options.SSL_REST_AUTHENTICATION):
        trusted = _store(config, options.SSL_REST_TRUSTSTORE, options.SSL_REST_TRUSTSTORE_PASSWORD)
        if trusted is None:
            raise ConfigurationError(
                f"option {options.SSL_REST_AUTHENTICATION.key} is true: name the certificates of "
                f"clients in {options.SSL_REST_TRUSTSTORE.key}"
            )
        _trust(context, trusted)
        context.verify_mode = ssl.CERT_REQUIRED
    return context


class RestTrust:
    """Which certificates a client of REST trusts; made when the first ``https://`` is met.

    >>> SYSTEM_TRUST.connection("http://127.0.0.1:8081", timeout=3).port
    8081
    """

    def __init__(self, config: Configuration | None = None) -> None:
        self._config = config
        self._context: ssl.SSLContext | None = None

    def connection(self, address: str, timeout: float) -> http.client.HTTPConnection:
        """A connection to a REST endpoint, not yet open. ``RestError`` for a bad address."""
        known = rest_address(address)
        if not known.secure:
            return http.client.HTTPConnection(known.host, known.port, timeout=timeout)
        return http.client.HTTPSConnection(
            known.host, known.port, timeout=timeout, context=self.context()
        )

    def context(self) -> ssl.SSLContext:
        """The files are read once, and again after a certificate was not trusted."""
        if self._context is None:
            self._context = client_context(self._config)
        return self._context

    def refused(self, address: str, error: ssl.SSLError) -> RestError:
        """What went wrong at ``address``, as one sentence with what to do."""
        self._context = None  # the files may have been renewed
        return refused_by_tls(address, error)


SYSTEM_TRUST = RestTrust()
"""The authorities of this machine."""


def refused_by_tls(address: str, error: ssl.SSLError) -> RestError:
    """What went wrong between the sockets, as one sentence with what to do."""
    trouble = trouble_of(error)
    if isinstance(error, ssl.SSLCertVerificationError):
        authority = f"name a file of its authority in {options.SSL_REST_TRUSTSTORE.key}"
        fix = {
            Trouble.NAME: "use an address that it names, or set "
            f"{options.SSL_VERIFY_HOSTNAME.key} to false",
            Trouble.DATE: "have it renewed, or set the clock of this machine",
            Trouble.CHAIN: f"{authority}, or in SSL_CERT_FILE; or have the JobManager send the "
            "certificates in between",
        }.get(trouble or Trouble.AUTHORITY, f"{authority}, or in SSL_CERT_FILE")
        said = error.verify_message.rstrip(".")
        return RestError(f"the certificate of {address} is not trusted ({said}): {fix}", UNTRUSTED)
    if trouble is Trouble.OURS:
        return RestError(
            f"{address} wants a client certificate that it trusts ({error.reason}): set "
            f"{options.SSL_REST_AUTHENTICATION.key} to true, and name certificate and key in "
            f"{options.SSL_REST_KEYSTORE.key}",
            UNTRUSTED,
        )
    if trouble is Trouble.PLAIN:
        return RestError(f"{address} does not speak TLS: is its address http://?", UNTRUSTED)
    return RestError(f"{address} ended the TLS handshake: {error.reason or error}")


def _trust(context: ssl.SSLContext, store: KeyStore) -> None:
    try:
        context.load_verify_locations(cadata=store.certificates())
    except ssl.SSLError as error:
        raise ConfigurationError(
            f"option {store.option} is {str(store.path)!r}: it holds no certificate that can be "
            f"used ({error.reason or error})"
        ) from None


def _show(context: ssl.SSLContext, config: Configuration) -> None:
    store = _store(config, options.SSL_REST_KEYSTORE, options.SSL_REST_KEYSTORE_PASSWORD)
    if store is None:
        raise ConfigurationError(
            f"option {options.SSL_REST_KEYSTORE.key} is not set: name a file with certificate and "
            "private key, PEM or PKCS12"
        )
    password = config.get_option(options.SSL_REST_KEY_PASSWORD)
    # Python reads a key from a file only; this one is ours alone, and gone at once.
    descriptor, name = tempfile.mkstemp(prefix="hawork-key-", dir=temporary_directory())
    try:
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            file.write(store.key_and_certificates())
        # An empty password keeps OpenSSL from asking for one at the terminal.
        context.load_cert_chain(name, password=password or store.password or "")
    except (ssl.SSLError, OSError) as error:
        raise ConfigurationError(
            f"option {store.option} is {str(store.path)!r}: certificate and key cannot be used "
            f"({error}); see {options.SSL_REST_KEY_PASSWORD.key} if the key has a password"
        ) from None
    finally:
        Path(name).unlink()


def _store(
    config: Configuration, file: Option[str | None], password: Option[str | None]
) -> KeyStore | None:
    path = config.get_option(file)
    return None if path is None else KeyStore(file.key, Path(path), config.get_option(password))
