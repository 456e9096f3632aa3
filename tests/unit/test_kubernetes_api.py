"""The lab's own calls of an API server."""

from __future__ import annotations

from pathlib import Path

import pytest

from hawork.core.errors import LabError
from hawork.servers.kubernetes.api import KubernetesApi


def test_a_server_that_stands_still_is_told_in_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    """``grant_right`` while the store is paused, which was an error of Python's."""

    def call(*_: object) -> None:
        raise TimeoutError("the handshake operation timed out")

    monkeypatch.setattr(KubernetesApi, "call", call)
    api = KubernetesApi(1, Path("ca"), "token")
    with pytest.raises(LabError, match="the API server does not answer: the handshake"):
        api.apply("/apis/x/roles", {"metadata": {"name": "tm-1"}})
