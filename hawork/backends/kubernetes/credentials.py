"""How to reach the API server *now*: as whom, over which TLS and through which proxy.

Credentials do not last. A token is replaced on disk each hour, a certificate by the program that
renews it, an exec plugin's token expires. So files are looked at again, a plugin is asked before
its credentials end, and either again when the server refuses us. What has changed makes a new
``Session``; connections of the one before end when they are idle.

All of this may wait for a program, a disk or another network: it runs on the threads of requests,
which are waited for a bounded time (``transport``), and one thread at a time does it.
"""

from __future__ import annotations

import contextlib
import os
import ssl
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import urllib3

from hawork.backends.kubernetes import exec_plugin
from hawork.backends.kubernetes.answers import AccessDeniedError
from hawork.backends.kubernetes.auth_provider import token_of
from hawork.backends.kubernetes.kubeconfig import (
    Kubeconfig,
    KubeconfigError,
    NoSuchContextError,
    read_kubeconfig,
    read_service_account,
)
from hawork.backends.kubernetes.proxies import Proxy, UnusableProxyError, proxy_for
from hawork.backends.kubernetes.settings import KubernetesSettings
from hawork.backends.kubernetes.tls import context_for
from hawork.core import options
from hawork.core.clock import SYSTEM_CLOCK
from hawork.core.errors import ConfigurationError, HaworkError, StoreUnavailableError

MakePool = Callable[[ssl.SSLContext | None, str | None, Proxy | None], urllib3.PoolManager]

_GLANCE = 1.0
"""Seconds between looks at files that may have been renewed."""
_EARLY, _SHARE = 60.0, 0.2
"""A plugin is asked anew so many seconds before the end, at most this share of the whole."""
_AGAIN = 10.0
"""Seconds after which a plugin is asked again whose credentials are over when they come: the
wall clocks of the two machines differ."""
_FAILED_PAUSE = 1.0
_UNUSABLE = (KubeconfigError, UnusableProxyError, exec_plugin.ExecPluginError)


@dataclass(frozen=True, slots=True, eq=False)
class Session:
    """What requests need; replaced as a whole, never changed."""

    server: str
    headers: Mapping[str, str] = field(repr=False)
    pool: urllib3.PoolManager
    proxy: Proxy | None


@dataclass(frozen=True, slots=True)
class _Plugged:
    """What an exec plugin gave, and when it is asked again."""

    credential: exec_plugin.ExecCredential
    obtained: float

    def _left(self) -> float:
        expires = self.credential.expires
        return float("inf") if expires is None else expires - SYSTEM_CLOCK.time()

    def is_over(self) -> bool:
        return self._left() <= 0 and SYSTEM_CLOCK.monotonic() >= self.obtained + _AGAIN

    def is_ending(self) -> bool:
        age = SYSTEM_CLOCK.monotonic() - self.obtained
        left = self._left()
        return left < min(_EARLY, _SHARE * (left + age)) and age >= _AGAIN


class Credentials:
    """The present ``Session`` of one process. Thread-safe."""

    def __init__(self, settings: KubernetesSettings, make_pool: MakePool) -> None:
        """``ConfigurationError`` for a kubeconfig that cannot be used."""
        self._settings = settings
        self._make_pool = make_pool
        # Held by the one thread that looks, and perhaps waits for a program.
        self._looking = threading.Lock()
        self._stamps: tuple[object, ...] = ()
        self._plugged: _Plugged | None = None
        self._session: Session | None = None
        self._refused: Session | None = None
        self._looked = self._failed = float("-inf")
        self._failure: HaworkError | None = None
        try:
            self._config = self._read()
        except KubeconfigError as error:
            raise self._bad(error) from None

    @property
    def server(self) -> str:
        return self._config.cluster.server

    def close(self) -> None:
        if self._session is not None:
            self._session.pool.clear()

    def session(self, seconds: float) -> Session:
        """What a request is to use now; waits so many seconds for a thread that finds out.

        ``AccessDeniedError`` names the exec plugin that gave nothing; ``ConfigurationError``
        for what is on disk, ``StoreUnavailableError`` when there was no time.
        """
        present = self._session
        if present is not None and SYSTEM_CLOCK.monotonic() < self._looked + _GLANCE:
            return present
        good = present is not None and present is not self._refused and not self._is_over()
        if self._looking.acquire(timeout=0.0 if good else max(0.0, seconds)):
            try:
                return self._look(good)
            finally:
                self._looking.release()
        if present is None or not good:
            raise StoreUnavailableError(
                f"the credentials of {self._settings.where} are being renewed, which takes long: "
                "see what its exec plugin waits for"
            )
        return present

    def refused(self, session: Session) -> None:
        """The server did not accept this one: look for newer credentials, at the next request."""
        self._refused = session
        self._looked = float("-inf")

    # --- by the thread that looks -----------------------------------------------------------

    def _look(self, good: bool) -> Session:
        """``good``: what we have will do, should there be nothing newer."""
        if self._failure and SYSTEM_CLOCK.monotonic() < self._failed + _FAILED_PAUSE:
            raise type(self._failure)(str(self._failure))
        self._failure = None
        stamps = self._stamp()
        try:
            if not good or stamps != self._stamps:
                self._renew()
            elif self._plugged is not None and self._plugged.is_ending():
                early = threading.Thread(
                    target=self._renew_early, name="kubernetes-credentials", daemon=True
                )
                with contextlib.suppress(RuntimeError):  # no thread is left: the next look tries
                    early.start()
        except _UNUSABLE as error:
            # With good ones: what is on disk is half written, perhaps, and looked at again.
            if not good:
                self._failure, self._failed = self._bad(error), SYSTEM_CLOCK.monotonic()
                raise self._failure from None
        self._looked = SYSTEM_CLOCK.monotonic()
        assert self._session is not None
        return self._session

    def _renew_early(self) -> None:
        # A failure is told when the present credentials are over.
        with self._looking, contextlib.suppress(*_UNUSABLE):
            self._renew()

    def _is_over(self) -> bool:
        plugged = self._plugged
        return plugged is not None and plugged.is_over()

    def _stamp(self) -> tuple[object, ...]:
        return tuple(_stamp(path) for path in self._config.watched())

    def _read(self) -> Kubeconfig:
        settings = self._settings
        if settings.kubeconfig is None:
            return read_service_account()
        return read_kubeconfig(settings.kubeconfig, settings.context)

    def _renew(self) -> None:
        stamps = self._stamp()  # from before it is read: what is written meanwhile is seen again
        config = self._read()
        cluster, user = config.cluster, config.user
        certificate = None if user.certificate is None else user.certificate.read()
        key = None if user.key is None else user.key.read()
        headers, plugged = urllib3.HTTPHeaderDict(user.impersonation), None
        if user.token is not None:
            headers["Authorization"] = _bearer(user.token.name, user.token.read())
        elif user.exec_plugin is not None:
            plugged = self._ask(config, user.exec_plugin)
            given = plugged.credential
            if given.token is not None:
                headers["Authorization"] = _bearer("the plugin's token", given.token.encode())
            if given.certificate is not None:
                certificate, key = given.certificate, given.key
        elif user.auth_provider is not None:
            headers["Authorization"] = token_of(config)
        elif user.basic is not None:
            made = urllib3.make_headers(basic_auth=":".join(user.basic))
            headers["Authorization"] = made["authorization"]
        tls = cluster.server.startswith("https://")
        context = context_for(cluster, certificate, key) if tls else None
        proxy = proxy_for(cluster.server, cluster.proxy_url, self._settings.where)
        before = self._session
        self._session = Session(
            cluster.server, headers, self._make_pool(context, cluster.tls_server_name, proxy), proxy
        )
        same_files = config.watched() == self._config.watched()
        self._config, self._plugged = config, plugged
        self._stamps = stamps if same_files else self._stamp()
        if before is not None:
            before.pool.clear()

    def _ask(self, config: Kubeconfig, plugin: Mapping[str, Any]) -> _Plugged:
        """Ask the plugin, unless what it gave last will do."""
        last, now = self._plugged, SYSTEM_CLOCK.monotonic()
        if last is not None and self._config.user.exec_plugin == plugin:
            refused = self._session is self._refused and now >= last.obtained + _GLANCE
            if not (refused or last.is_over() or last.is_ending()):
                return last
        authority = config.cluster.authority
        given = exec_plugin.run(
            plugin, config.user.directory, config.cluster.raw,
            None if authority is None else authority.read(),
        )  # fmt: skip
        return _Plugged(given, SYSTEM_CLOCK.monotonic())

    # --- errors -------------------------------------------------------------------------------

    def _bad(self, error: Exception) -> HaworkError:
        settings, reason = self._settings, " ".join(str(error).split())
        if isinstance(error, exec_plugin.ExecPluginError):
            return AccessDeniedError(
                f"the exec plugin {error.command} of {settings.where} gave no credentials: "
                f"{reason}; see that it is installed and logged in, or correct exec there"
            )
        if isinstance(error, UnusableProxyError):
            return ConfigurationError(reason)
        if isinstance(error, NoSuchContextError) and settings.context is None:
            return ConfigurationError(
                f"{settings.where} cannot be used ({reason}): correct it, or set option "
                f"{options.K8S_CONTEXT.key} to one of its contexts"
            )
        if isinstance(error, NoSuchContextError):
            return ConfigurationError(
                f"option {options.K8S_CONTEXT.key} is {settings.context!r}: {settings.where} has "
                "no such context; 'kubectl config get-contexts' lists them"
            )
        return ConfigurationError(
            f"{settings.where} cannot be used ({reason[:400]}): correct it, or set option "
            f"{options.K8S_CONFIG_FILE.key} to another one"
        )


def _bearer(what: str, token: bytes) -> str:
    """The header's value. ``KubeconfigError`` for what is half written, or belongs elsewhere."""
    text = token.strip().decode("ascii", "replace")
    if not text or not text.isprintable() or " " in text or not text.isascii():
        raise KubeconfigError(f"{what} is empty, or holds characters that no token has")
    return f"Bearer {text}"


def _stamp(path: str) -> Any:
    """What is another one after the file was written or replaced."""
    try:
        found = os.stat(path)
    except OSError as error:
        return error.errno
    return found.st_dev, found.st_ino, found.st_mtime_ns, found.st_size
