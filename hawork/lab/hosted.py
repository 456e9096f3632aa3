"""Notebooks on foreign hosts, and what of a lab does not work there.

Source: what the two set in the environment of a kernel, and https://anywidget.dev about Colab.
"""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class HostedNotebook:
    """One of the services, and a sentence about its limits."""

    name: str
    limits: str


_COLAB = HostedNotebook(
    "Google Colab",
    "live panels stay tables unless a cell before them runs 'from google.colab import output; "
    "output.enable_custom_widget_manager()'; labs on ZooKeeper, Kubernetes and real Flink need "
    "servers that are not installed there; the lab ends with the runtime",
)
_KAGGLE = HostedNotebook(
    "Kaggle",
    "live panels stay tables, because its pages show no custom widgets; pip needs 'Internet on' in "
    "the settings; labs on ZooKeeper, Kubernetes and real Flink need servers that are not "
    "installed there; the lab ends with the session",
)
_told = False


def hosted_notebook() -> HostedNotebook | None:
    """Where this process runs, if that is one of them."""
    if "COLAB_RELEASE_TAG" in os.environ or "google.colab" in sys.modules:
        return _COLAB
    if "KAGGLE_KERNEL_RUN_TYPE" in os.environ:
        return _KAGGLE
    return None


def tell_limits() -> None:
    """Write the sentence once, below the cell that starts the first lab."""
    global _told
    hosted = hosted_notebook()
    if hosted is not None and not _told:
        _told = True
        sys.stderr.write(f"On {hosted.name}: {hosted.limits}.\n")
