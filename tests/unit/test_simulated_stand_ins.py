"""What the simulation puts in the place of a client has all that hawork asks of the real one."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Iterator
from types import ModuleType

import pytest

from hawork.backends.kubernetes import client
from hawork.backends.zookeeper import election_driver, latch, services, session
from hawork.simulation.stores import kubernetes, zookeeper_client


def _asked_of(name: str, *modules: ModuleType) -> set[str]:
    """The attributes of ``self.<name>`` that the modules use."""
    return {
        node.attr
        for module in modules
        for node in ast.walk(ast.parse(inspect.getsource(module)))
        if isinstance(node, ast.Attribute)
        and isinstance(node.value, ast.Attribute)
        and node.value.attr == name
    }


def _has(stand_in: type) -> Iterator[str]:
    yield from dir(stand_in)
    for node in ast.walk(ast.parse(inspect.getsource(stand_in))):
        if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            yield node.attr


@pytest.mark.parametrize(
    ("name", "modules", "stand_in", "one"),
    [
        ("_client", (session, latch, election_driver, services),
         zookeeper_client.SimulatedClient, "refused_for"),
        ("_transport", (client,), kubernetes.SimulatedTransport, "send"),
    ],
)  # fmt: skip
def test_a_stand_in_has_what_is_asked_of_it(
    name: str, modules: tuple[ModuleType, ...], stand_in: type, one: str
) -> None:
    """``refused_for`` was missing: a session that did not open at once ended its process."""
    asked = _asked_of(name, *modules)
    assert one in asked
    assert not asked - set(_has(stand_in))
