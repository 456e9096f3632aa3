"""The ZooKeeper options as values, checked; what cannot be honoured is refused here."""

from __future__ import annotations

import importlib.util
import ipaddress
import re
import ssl
from dataclasses import dataclass
from typing import Any

from hawork.core import options
from hawork.core.addresses import why_not_a_host
from hawork.core.configuration import Configuration, Option
from hawork.core.errors import ConfigurationError
from hawork.core.user_files import why_not_a_file

_DEFAULT_PORT = 2181
_LONGEST_SESSION = (2**31 - 1) // 1000  # seconds


@dataclass(frozen=True, slots=True)
class ZooKeeperSettings:
    """How to reach the ensemble. Times are in seconds."""

    servers: tuple[str, ...]
    chroot: str
    session_timeout: float
    connection_timeout: float
    retry_wait: float
    max_retries: int
    close_wait: float
    lost_share: float
    """Part of the session timeout after which a suspended connection counts as lost."""
    tolerate_suspended: bool
    track_ensemble: bool
    creator_acl: bool
    authorization: tuple[tuple[str, str], ...]
    sasl: dict[str, str] | None
    tls: ssl.SSLContext | None

    @property
    def quorum(self) -> str:
        """The connect string."""
        return ",".join(self.servers) + self.chroot

    @property
    def authentication(self) -> str:
        """How we authenticate, without secrets."""
        if self.sasl is None:
            return " and ".join(f"scheme {scheme}" for scheme, _ in self.authorization) or "none"
        user = f" as {self.sasl['username']!r}" if "username" in self.sasl else ""
        return f"SASL {self.sasl['mechanism']}{user}"

    @classmethod
    def of(cls, config: Configuration) -> ZooKeeperSettings:
        """``ConfigurationError`` names option, value and fix."""
        quorum = config.require(
            options.ZK_QUORUM, "write the servers, such as localhost:2181 or a:2181,b:2181,c:2181"
        )
        servers, chroot = parse_quorum(str(quorum))
        authorization = _authorization(config)
        sasl = _sasl(config)
        creator = config.get_option(options.ZK_ACL) == "creator"
        if creator and not authorization and sasl is None:
            raise ConfigurationError(
                f"option {options.ZK_ACL.key} is creator, but the client is not authenticated: set "
                f"{options.ZK_AUTHORIZATION.key} or {options.ZK_SASL_MECHANISM.key}"
            )
        simulated = config.get_option(options.ZK_SIMULATED_EXPIRATION)
        close_wait = config.get_option(options.ZK_MAX_CLOSE_WAIT)
        return cls(
            servers=servers,
            chroot=chroot,
            session_timeout=_session_timeout(config),
            connection_timeout=_positive(config, options.ZK_CONNECTION_TIMEOUT),
            retry_wait=config.get_option(options.ZK_RETRY_WAIT),
            max_retries=config.get_option(options.ZK_MAX_RETRIES),
            close_wait=5.0 if close_wait is None else close_wait,
            lost_share=1.0 if not simulated else simulated / 100,
            tolerate_suspended=config.get_option(options.ZK_TOLERATE_SUSPENDED),
            track_ensemble=config.get_option(options.ZK_ENSEMBLE_TRACKER),
            creator_acl=creator,
            authorization=authorization,
            sasl=sasl,
            tls=_tls(config),
        )


def parse_quorum(quorum: str) -> tuple[tuple[str, ...], str]:
    """The servers as ``host:port``, and the chroot or nothing; ``ConfigurationError``.

    Blanks and empty parts between commas are left out, as ZooKeeper's own client does. Source:
    ``org.apache.zookeeper.client.ConnectStringParser``.
    """
    hosts, slash, chroot = quorum.partition("/")
    servers = tuple(_server(quorum, host.strip()) for host in hosts.split(",") if host.strip())
    if not servers:
        raise _bad_quorum(quorum, "it names no server")
    parts = chroot.split("/")
    if chroot and any(part in ("", ".", "..") for part in parts):
        raise _bad_quorum(quorum, f"{slash + chroot!r} is not a path")
    return servers, f"/{chroot}" if chroot else ""


def _server(quorum: str, server: str) -> str:
    host, colon, port = server.rpartition(":")
    if not colon or server.endswith("]"):
        host, port = server, str(_DEFAULT_PORT)
    if not host:
        raise _bad_quorum(quorum, f"{server!r} is not a server")
    if any(c in host for c in "${}<>"):
        raise _bad_quorum(quorum, f"{host!r} is a placeholder that nothing has filled in")
    if any(c in host for c in "[]:") and not _is_ipv6(host):
        raise _bad_quorum(
            quorum, f"{server!r} is not a server; an IPv6 address stands in brackets: [::1]:2181"
        )
    if not host.endswith("]") and (reason := why_not_a_host(host)):
        raise _bad_quorum(quorum, f"{server!r} is not a server: {reason}")
    if not host.endswith("]"):  # behind an IPv6 address Java wants a number
        port = port or str(_DEFAULT_PORT)
    if not (port.isascii() and port.isdigit() and 0 < int(port) < 65536):
        raise _bad_quorum(quorum, f"{port!r} is not a port")
    return f"{host}:{int(port)}"


def _is_ipv6(host: str) -> bool:
    """Whether it is an IPv6 address in brackets."""
    if not (host.startswith("[") and host.endswith("]")):
        return False
    try:
        ipaddress.IPv6Address(host[1:-1])
    except ValueError:
        return False
    return True


def _bad_quorum(quorum: str, reason: str) -> ConfigurationError:
    return ConfigurationError(
        f"option {options.ZK_QUORUM.key} is {quorum!r}: {reason}; write host:port,host:port, "
        "and a path after the last one for a chroot"
    )


def _positive(config: Configuration, option: Option[float]) -> float:
    value: float = config.get_option(option)
    if value <= 0:
        raise ConfigurationError(f"option {option.key} is 0: write a duration above zero")
    return value


def _session_timeout(config: Configuration) -> float:
    seconds: float = config.get_option(options.ZK_SESSION_TIMEOUT)
    if seconds > _LONGEST_SESSION:
        raise ConfigurationError(
            f"option {options.ZK_SESSION_TIMEOUT.key} is {seconds:.0f} s: ZooKeeper "
            f"counts milliseconds in 32 bits, write at most {_LONGEST_SESSION} s"
        )
    return seconds


def _authorization(config: Configuration) -> tuple[tuple[str, str], ...]:
    pairs = tuple(config.get_option(options.ZK_AUTHORIZATION).items())
    for scheme, value in pairs:
        user, colon, _ = value.partition(":")
        if scheme == "digest" and not (user and colon):
            raise ConfigurationError(
                f"option {options.ZK_AUTHORIZATION.key} has the scheme digest without user and "
                "password: write digest:user:password"
            )
    return pairs


def _refuse_without_effect(
    config: Configuration, switch: Option[Any], *unused: Option[Any]
) -> None:
    """``ConfigurationError`` for an option that is set while the one it depends on is not.

    An operator may set ``switch`` to off, and keep the rest for later.
    """
    for option in () if config.contains(switch) else unused:
        if config.get_option(option) != option.default:
            raise ConfigurationError(
                f"option {option.key} is set and would have no effect without {switch.key}: set "
                "that too, or remove this"
            )


def _sasl(config: Configuration) -> dict[str, str] | None:
    """kazoo's ``sasl_options``. Flink reads them from a JAAS file, which Python has not."""
    context = config.get_option(options.SASL_LOGIN_CONTEXT)
    if context != options.SASL_LOGIN_CONTEXT.default:
        raise ConfigurationError(
            f"option {options.SASL_LOGIN_CONTEXT.key} is {context!r}: there is no JAAS file in "
            f"Python; remove it and set {options.ZK_SASL_MECHANISM.key}"
        )
    mechanism = config.get_option(options.ZK_SASL_MECHANISM)
    if config.get_option(options.SASL_DISABLE):
        return None
    contexts = config.get_option(options.KERBEROS_CONTEXTS) or ""
    if mechanism != "GSSAPI" and context in [each.strip() for each in contexts.split(",")]:
        raise ConfigurationError(
            f"option {options.KERBEROS_CONTEXTS.key} is {contexts!r}, which asks for Kerberos "
            f"towards ZooKeeper: set {options.ZK_SASL_MECHANISM.key} to gssapi and get a ticket "
            f"with 'kinit', or leave {context} out"
        )
    if mechanism == "none":
        _refuse_without_effect(
            config, options.ZK_SASL_MECHANISM,
            options.ZK_SASL_USERNAME, options.ZK_SASL_PASSWORD, options.SASL_SERVICE_NAME,
        )  # fmt: skip
        return None
    _need(options.ZK_SASL_MECHANISM, mechanism, "puresasl", "pure-sasl")
    sasl = {"mechanism": mechanism, "service": config.get_option(options.SASL_SERVICE_NAME)}
    if mechanism == "GSSAPI":
        for option in (options.ZK_SASL_USERNAME, options.ZK_SASL_PASSWORD):
            if config.contains(option):
                raise ConfigurationError(
                    f"option {option.key} is set, but {options.ZK_SASL_MECHANISM.key} is GSSAPI, "
                    "which takes the user whose ticket 'kinit' got: remove it"
                )
        _need(options.ZK_SASL_MECHANISM, mechanism, "kerberos", "kerberos")
        return sasl
    for name, option in (
        ("username", options.ZK_SASL_USERNAME),
        ("password", options.ZK_SASL_PASSWORD),
    ):
        sasl[name] = str(config.require(option, f"SASL {mechanism} needs it"))
    return sasl


def _need(option: Option[Any], value: str, module: str, package: str) -> None:
    if importlib.util.find_spec(module) is None:
        raise ConfigurationError(
            f"option {option.key} is {value}, which needs the package {package}: "
            f"run 'pip install {package}'"
        )


def _tls(config: Configuration) -> ssl.SSLContext | None:
    if not config.get_option(options.ZK_SSL_ENABLED):
        _refuse_without_effect(
            config, options.ZK_SSL_ENABLED,
            options.ZK_SSL_CA_FILE, options.ZK_SSL_CERT_FILE, options.ZK_SSL_KEY_FILE,
            options.ZK_SSL_KEY_PASSWORD, options.ZK_SSL_VERIFY_HOSTNAME,
        )  # fmt: skip
        _refuse_tls_of_java(config)
        return None
    authorities = _file(config, options.ZK_SSL_CA_FILE)
    try:
        context = ssl.create_default_context(cafile=authorities)
    except (ssl.SSLError, OSError) as error:
        raise ConfigurationError(
            f"option {options.ZK_SSL_CA_FILE.key} is {authorities!r}, which holds no certificate "
            f"that can be used ({error}): write a PEM file"
        ) from None
    context.check_hostname = config.get_option(options.ZK_SSL_VERIFY_HOSTNAME)
    certificate = _file(config, options.ZK_SSL_CERT_FILE)
    key = _file(config, options.ZK_SSL_KEY_FILE)
    if key and not certificate:
        raise ConfigurationError(
            f"option {options.ZK_SSL_KEY_FILE.key} is set without "
            f"{options.ZK_SSL_CERT_FILE.key}: set both"
        )
    if certificate:
        password = config.get_option(options.ZK_SSL_KEY_PASSWORD)
        try:
            # An empty password keeps OpenSSL from asking for one at the terminal.
            context.load_cert_chain(certificate, key, password=password or "")
        except (ssl.SSLError, OSError) as error:
            raise ConfigurationError(
                f"option {options.ZK_SSL_CERT_FILE.key} is {certificate!r}: certificate and key "
                f"cannot be used ({error}); write PEM files that belong together, and "
                f"{options.ZK_SSL_KEY_PASSWORD.key} if the key has a password"
            ) from None
    return context


def _refuse_tls_of_java(config: Configuration) -> None:
    """Flink speaks TLS to ZooKeeper when its JVM is told so: at that port we would wait for ever.

    Source: ZooKeeper's ``ZKClientConfig.SECURE_CLIENT``; Flink has no option for it.
    """
    if config.contains(options.ZK_SSL_ENABLED):
        return
    for key, value in config.items():
        if key.startswith("env.java.opts") and _SECURE.search(value):
            raise ConfigurationError(
                f"option {key} has -Dzookeeper.client.secure=true, by which Flink speaks TLS to "
                f"ZooKeeper: set {options.ZK_SSL_ENABLED.key} to true and "
                f"{options.ZK_SSL_CA_FILE.key} to a PEM file, or the first to false for a port "
                "without TLS"
            )


_SECURE = re.compile(r"-Dzookeeper\.client\.secure=[\"']?true\b", re.IGNORECASE)


def _file(config: Configuration, option: Option[str | None]) -> str | None:
    path = config.get_option(option)
    if path is not None and (reason := why_not_a_file(path)):
        raise ConfigurationError(f"option {option.key} is {path!r}: {reason}")
    return None if path is None else str(path)
