"""From ``high-availability.type`` to the backend of that name, imported when it is used.

The package of a backend has a module ``services`` with ``open_backend(config, clock,
events)``, and a module ``supervision`` with ``release_leadership(config, ticket)`` and
``write_lock_holder(config)``.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hawork.core import options
from hawork.core.clock import Clock
from hawork.core.configuration import Configuration
from hawork.core.errors import ConfigurationError
from hawork.core.events import EventSink

if TYPE_CHECKING:  # a supervisor loads this module and stays small
    from hawork.ha.backend import Backend


@dataclass(frozen=True, slots=True)
class _Entry:
    """Where a backend is, and which extra of hawork brings the packages that it needs."""

    package: str
    extra: str | None = None
    needs: str | None = None
    """The package that the extra is about; what is missing may be one that this one needs."""


_BACKENDS: Mapping[str, _Entry] = {
    "embedded": _Entry("hawork.backends.embedded"),
    "zookeeper": _Entry("hawork.backends.zookeeper", extra="zookeeper", needs="kazoo"),
    "kubernetes": _Entry("hawork.backends.kubernetes", extra="kubernetes", needs="kubernetes"),
}


def open_backend(config: Configuration, clock: Clock, events: EventSink) -> Backend:
    """The HA store that ``config`` asks for, as this process sees it.

    ``ConfigurationError`` for an unknown type, a missing package or a wrong set-up,
    ``StoreUnavailableError`` or ``CorruptStateError`` when the store cannot be used.
    """
    backend: Backend = _function(config, "services:open_backend")(config, clock, events)
    return backend


def check_backend(config: Configuration) -> None:
    """``ConfigurationError`` unless a backend has the configured type, and its package is here."""
    _function(config, "services:open_backend")


def release_leadership(config: Configuration, ticket: Mapping[str, str]) -> bool:
    """Give up the leadership of a contender that is dead; whether it had any.

    ``ticket`` is what the contender's driver gave. Nothing happens when the contender
    turns out to be alive. May be repeated. Errors as those of ``open_backend``.
    """
    return bool(_function(config, "supervision:release_leadership")(config, ticket))


def write_lock_holder(config: Configuration) -> int | None:
    """The process, if any, that must not be stopped now because it would stop all others.

    That is one inside a write transaction of a store that is a file. ``None`` on a store
    that is a server. Errors as those of ``open_backend``.
    """
    pid: int | None = _function(config, "supervision:write_lock_holder")(config)
    return pid


def _function(config: Configuration, name: str) -> Callable[..., Any]:
    """The function ``module:function`` of the configured backend's package."""
    written = config.get_option(options.HA_TYPE)
    entry = _BACKENDS.get(written)
    if entry is None:
        raise ConfigurationError(
            f"option {options.HA_TYPE.key} is {written}: write one of {', '.join(_BACKENDS)}"
        )
    module, _, function = name.partition(":")
    try:
        found = importlib.import_module(f"{entry.package}.{module}")
    except ModuleNotFoundError as error:
        if entry.extra is None or (error.name or "").startswith("hawork"):
            raise
        raise ConfigurationError(
            f"option {options.HA_TYPE.key} is {written}, which needs the package {entry.needs}: "
            f"install it with pip install 'hawork[{entry.extra}]'"
        ) from error
    function_of: Callable[..., Any] = getattr(found, function)
    return function_of
