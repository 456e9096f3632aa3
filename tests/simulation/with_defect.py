"""A pytest plugin: run tests with one of the deliberate defects, by its number."""

from __future__ import annotations

import os

import pytest

from tests.simulation.defects import DEFECTS

NUMBER = "HAWORK_DEFECT"


def pytest_configure(config: pytest.Config) -> None:
    defect = DEFECTS[int(os.environ[NUMBER])].applied()
    defect.__enter__()
    config.add_cleanup(lambda: defect.__exit__(None, None, None))
