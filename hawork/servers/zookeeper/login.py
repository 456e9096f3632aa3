"""A ZooKeeper that lets in its own lab only: SASL DIGEST-MD5, on every connection.

A session that does not log in is refused, and so is a peer of the ensemble: its election and
synchronisation ports would otherwise hand out all data. DIGEST-MD5 never sends the password, and
the server proves with it that it knows the password, too.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field

_LOGIN_MODULE = "org.apache.zookeeper.server.auth.DigestLoginModule"
_PROVIDER = "org.apache.zookeeper.server.auth.SASLAuthenticationProvider"


@dataclass(frozen=True, slots=True)
class DigestLogin:
    """The one user of a lab's servers, and its password."""

    user: str = "lab"
    password: str = field(default_factory=lambda: secrets.token_urlsafe(24), repr=False)

    def server_jaas(self, package: str) -> str:
        """The servers' JAAS file; ``package`` is in front of ZooKeeper's class names."""
        users = f"user_{self.user}={_quoted(self.password)}"
        return (
            _section("Server", package, users)
            + _section("QuorumServer", package, users)
            + self.client_jaas(package, "QuorumLearner")
        )

    def client_jaas(self, package: str, section: str = "Client") -> str:
        """What a client written in Java logs in with."""
        login = f"username={_quoted(self.user)} password={_quoted(self.password)}"
        return _section(section, package, login)

    def settings(self, package: str, servers: int) -> Mapping[str, str]:
        """Lines of ``zoo.cfg``."""
        ensemble = dict.fromkeys(
            (
                "quorum.auth.enableSasl",
                "quorum.auth.learnerRequireSasl",
                "quorum.auth.serverRequireSasl",
            ),
            "true",
        )
        return {
            "authProvider.1": f"{package}{_PROVIDER}",
            "sessionRequireClientSASLAuth": "true",
            **(ensemble if servers > 1 else {}),
        }


def _section(name: str, package: str, login: str) -> str:
    return f"{name} {{\n  {package}{_LOGIN_MODULE} required {login};\n}};\n"


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
