"""Expiring the ZooKeeper session of another client, as a test of ZooKeeper's own would.

A session's password is what Java's random numbers say with the session id as the seed
(``ZooKeeperServer.generatePasswd``): enough against mistakes, not against anybody who wants.
So every client that reaches the servers can take over and close any session, which is one more
reason to use ACLs and to keep strangers off the network.
"""

from __future__ import annotations

_SUPER_SECRET = 0xB3415C00
_MULTIPLIER = 0x5DEECE66D  # of java.util.Random
_INCREMENT = 0xB
_MASK = (1 << 48) - 1
_LENGTH = 16


def session_password(session_id: int) -> bytes:
    """The password that the servers gave to a session.

    >>> session_password(0x1000000000000).hex()
    'f22acd4a97e69d6d20a49bb638eadb38'
    """
    seed = ((session_id ^ _SUPER_SECRET) ^ _MULTIPLIER) & _MASK
    password = bytearray()
    while len(password) < _LENGTH:
        seed = (seed * _MULTIPLIER + _INCREMENT) & _MASK
        password += (seed >> 16).to_bytes(4, "little")
    return bytes(password)


def session_ticket(session_id: int) -> dict[str, str]:
    """The ticket with which ``release_leadership`` closes the session."""
    return {"session": f"{session_id:#x}", "password": session_password(session_id).hex()}
