"""Requests over urllib3, each answered or given up on within its time.

A connection's own timeouts do not bound a request: resolving a name has none, and an answer that
comes byte by byte begins them anew with each. So a request runs on a thread that may hang, and is
waited for. One that is given up on before it was sent is never sent.
"""

from __future__ import annotations

import contextvars
import http.client
import ssl
import threading
from collections.abc import Mapping
from typing import Any

import urllib3
from urllib3.connection import HTTPConnection, HTTPSConnection

from hawork.backends.kubernetes.answers import AccessDeniedError, OutcomeUnknownError
from hawork.backends.kubernetes.credentials import Credentials, Session
from hawork.backends.kubernetes.exec_plugin import PATIENCE
from hawork.backends.kubernetes.proxies import Proxy
from hawork.backends.kubernetes.settings import KubernetesSettings
from hawork.core.clock import SYSTEM_CLOCK
from hawork.core.errors import StoreUnavailableError
from hawork.core.tls_failures import Trouble, trouble_of
from hawork.ha.bounded_calls import BoundedCalls, CallHangsError, NoThreadError

_NOT_CONNECTED = (urllib3.exceptions.NewConnectionError, urllib3.exceptions.ConnectTimeoutError)
_MOST_HANGING = 32
_CONNECTIONS = 16


class _GivenUpError(Exception):
    """The caller does not wait any more: do not send."""


class _Request:
    """One request on its thread, and whether it may still be sent."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._sent = self._given_up = False
        self.doing = "its credentials are looked for"

    def about_to_send(self) -> None:
        with self._lock:
            if self._given_up:
                raise _GivenUpError
            self._sent = True

    def give_up(self) -> bool:
        """Send it no more; whether it was sent already."""
        with self._lock:
            self._given_up = True
            return self._sent

    @property
    def sent(self) -> bool:
        return self._sent

    def ended(self, response: urllib3.BaseHTTPResponse) -> urllib3.BaseHTTPResponse:
        """The answer, unless it comes too late."""
        with self._lock:
            if self._given_up:
                response.close()
        return response


_request: contextvars.ContextVar[_Request] = contextvars.ContextVar("request")


class _Connection(HTTPConnection):
    def request(self, *args: Any, **named: Any) -> None:
        _request.get().about_to_send()
        super().request(*args, **named)


class _SecureConnection(HTTPSConnection):
    def connect(self) -> None:
        super().connect()
        # The kubeconfig says whether a certificate is looked at: urllib3 would warn of each request
        # to a server whose certificate is not, and end it where warnings are errors.
        self.is_verified = True

    def request(self, *args: Any, **named: Any) -> None:
        _request.get().about_to_send()
        super().request(*args, **named)


class _Pool(urllib3.HTTPConnectionPool):
    ConnectionCls = _Connection


class _SecurePool(urllib3.HTTPSConnectionPool):
    ConnectionCls = _SecureConnection


class Transport:
    """Sends requests to the API server. Thread-safe."""

    def __init__(self, settings: KubernetesSettings) -> None:
        """``ConfigurationError`` or ``AccessDeniedError`` for credentials that cannot be had."""
        self._settings = settings
        self._calls = BoundedCalls("kubernetes-request", _MOST_HANGING)
        self._credentials = Credentials(settings, _make_pool)
        try:
            # Now, with the time that an exec plugin needs, and not at the first request.
            self._calls.call(lambda: self._credentials.session(PATIENCE), PATIENCE + 1)
        except CallHangsError as error:
            raise StoreUnavailableError(
                f"the credentials of {settings.where} cannot be had ({error}): see what hangs"
            ) from None

    @property
    def server(self) -> str:
        return self._credentials.server

    def close(self) -> None:
        self._calls.close()
        self._credentials.close()

    def send(
        self,
        method: str,
        path: str,
        headers: Mapping[str, str],
        body: bytes | None,
        seconds: float,
        silence: float | None = None,
    ) -> urllib3.BaseHTTPResponse:
        """The answer within ``seconds``; with ``silence`` as soon as its body begins.

        That one is then read by the caller, and breaks when nothing comes for so long.
        ``StoreUnavailableError`` when it was surely not sent, ``OutcomeUnknownError`` when it
        may have been, ``AccessDeniedError`` when we trust the server or a plugin not.
        """
        until = SYSTEM_CLOCK.monotonic() + seconds
        request = _Request()

        def run() -> tuple[Session, urllib3.BaseHTTPResponse]:
            session = self._credentials.session(until - SYSTEM_CLOCK.monotonic())
            left = max(0.01, until - SYSTEM_CLOCK.monotonic())
            return session, self._request(
                session, request, method, path, headers, body,
                urllib3.Timeout(total=left) if silence is None
                else urllib3.Timeout(connect=left, read=silence), silence is not None,
            )  # fmt: skip

        if seconds <= 0:
            raise StoreUnavailableError(f"no time was left to ask {self.server}")
        try:
            session, response = self._calls.call(run, seconds)
        except NoThreadError as error:
            raise StoreUnavailableError(f"{self.server} was not asked: {error}") from None
        except CallHangsError as error:
            if request.give_up():
                raise OutcomeUnknownError(f"{self.server} did not answer: {error}") from None
            raise StoreUnavailableError(
                f"the Kubernetes API server {self.server} cannot be reached, {request.doing} "
                f"({error}): look at the name service, or correct {self._settings.where}"
            ) from None
        if response.status == 401:
            self._credentials.refused(session)
        return response

    def _request(
        self,
        session: Session,
        request: _Request,
        method: str,
        path: str,
        headers: Mapping[str, str],
        body: bytes | None,
        timeout: urllib3.Timeout,
        stream: bool,
    ) -> urllib3.BaseHTTPResponse:
        server = session.server
        request.doing = f"which is being resolved and connected to{_through(session.proxy)}"
        token = _request.set(request)
        complete = urllib3.HTTPHeaderDict(session.headers)
        complete.update(headers)
        try:
            return request.ended(
                session.pool.request(
                    method, server + path, body=body, headers=complete, timeout=timeout,
                    retries=False, redirect=False, preload_content=not stream,
                )
            )  # fmt: skip
        except _GivenUpError:
            raise StoreUnavailableError(f"nothing was sent to {server} in time") from None
        except urllib3.exceptions.ProxyError as error:
            cause = error.original_error
            if isinstance(cause, ssl.SSLCertVerificationError):
                raise self._untrusted(cause) from None
            if request.sent and not isinstance(cause, _NOT_CONNECTED):
                # urllib3 says so of a connection that was made, too, when it has broken since.
                raise OutcomeUnknownError(
                    f"{server} did not answer through the {session.proxy}: {_last(cause)}"
                ) from None
            raise StoreUnavailableError(
                f"the {session.proxy} does not lead to {server} ({_last(cause)}): start it, "
                "correct it, or except the server with NO_PROXY"
            ) from None
        except _NOT_CONNECTED:
            raise StoreUnavailableError(
                f"the Kubernetes API server {server} cannot be reached{_through(session.proxy)}: "
                f"start it, or correct {self._settings.where}"
            ) from None
        except urllib3.exceptions.SSLError as error:
            if isinstance(error.args[0], ssl.SSLCertVerificationError):
                raise self._untrusted(error.args[0]) from None
            trouble = trouble_of(error.args[0])
            if trouble is Trouble.PLAIN:
                raise StoreUnavailableError(
                    f"what listens at {server} does not speak TLS ({_last(error)}): correct server "
                    f"in {self._settings.where}"
                ) from None
            if trouble is Trouble.OURS:
                # It ended the handshake, or what follows it: no request of ours was looked at.
                raise AccessDeniedError(
                    f"{server} wants a client certificate that it trusts ({_last(error)}): set, or "
                    f"renew, client-certificate and client-key in {self._settings.where}"
                ) from None
            # A server that goes down, say; it may be while the answer is on its way.
            raise OutcomeUnknownError(
                f"{server} broke off the connection ({_last(error)})"
            ) from None
        except urllib3.exceptions.HTTPError as error:
            raise OutcomeUnknownError(f"{server} did not answer: {type(error).__name__}") from None
        except (ValueError, http.client.HTTPException) as error:
            # A header, say, that HTTP does not allow.
            raise StoreUnavailableError(
                f"no request can be made of {self._settings.where} ({error}): correct it"
            ) from None
        finally:
            _request.reset(token)

    def _untrusted(self, error: ssl.SSLCertVerificationError) -> AccessDeniedError:
        where, trouble = self._settings.where, trouble_of(error)
        if trouble is Trouble.NAME:
            fix = f"correct server in {where}, or set tls-server-name there to a name that it has"
        elif trouble is Trouble.DATE:
            fix = "have it renewed, or set the clock of this machine"
        else:
            fix = f"correct certificate-authority in {where}"
            if trouble is Trouble.CHAIN:
                fix += ", or have the server send the certificates in between"
        said = _last(error).rstrip(".")
        return AccessDeniedError(
            f"the certificate of {self.server} cannot be trusted ({said}): {fix}"
        )


def _make_pool(
    context: ssl.SSLContext | None, server_name: str | None, proxy: Proxy | None
) -> urllib3.PoolManager:
    named: dict[str, Any] = {"maxsize": _CONNECTIONS, "ssl_context": context}
    if server_name is not None:
        named["server_hostname"] = server_name
    if proxy is None:
        pool = urllib3.PoolManager(**named)
    else:
        login = urllib3.make_headers(proxy_basic_auth=proxy.login) if proxy.login else None
        pool = urllib3.ProxyManager(proxy.url, proxy_headers=login, **named)
    pool.pool_classes_by_scheme = {"http": _Pool, "https": _SecurePool}
    return pool


def _through(proxy: Proxy | None) -> str:
    return "" if proxy is None else f" through the {proxy}"


def _last(error: BaseException) -> str:
    """The reason in OpenSSL's words, without the place in its source."""
    return str(error).rpartition("] ")[2].partition(" (_ssl")[0] or str(error)
