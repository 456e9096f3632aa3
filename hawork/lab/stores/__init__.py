"""The HA store of a lab on each backend: its servers, its settings, its faults."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hawork import moved

if not TYPE_CHECKING:  # so that mypy goes on finding names that are nowhere

    def __getattr__(name: str) -> Any:
        return moved.find(__name__, name)
