"""Sending on a WebSocket of which only the reading side tells that it is closed."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from typing import Protocol

import tornado.websocket


class WebSocket(Protocol):
    """Either end of a connection, as Tornado has them."""

    def write_message(self, message: str) -> asyncio.Future[None]: ...


def send_json(socket: WebSocket, message: Mapping[str, object]) -> None:
    """Send without waiting; a connection that is closed, or closes meanwhile, drops it."""
    try:
        sent = socket.write_message(json.dumps(message))
    except tornado.websocket.WebSocketClosedError:
        return
    sent.add_done_callback(_look_at)


def _look_at(sent: asyncio.Future[None]) -> None:
    """An error that is not looked at is printed, with a traceback."""
    if not sent.cancelled():
        sent.exception()
