"""Whole numbers counted and added up per remainder: easy to know exactly, easy to slow down."""

from __future__ import annotations

import os
import sys
import time
from typing import Any

from hawork.job import FileSink, Pipeline, SequenceSource

KEYS = 7


def counts(config: dict[str, Any]) -> Pipeline:
    return (
        Pipeline("counts")
        .source(SequenceSource(0, config["end"], records_per_second=config["rate"]))
        .key_by(lambda number: number % KEYS)
        .aggregate(count=1, total=lambda number: number)
        .sink(FileSink(config["output"]))
    )


def copies(config: dict[str, Any]) -> Pipeline:
    """Every number comes out once: committed with each checkpoint, not only at the end."""
    return (
        Pipeline("copies")
        .source(SequenceSource(0, config["end"], records_per_second=config["rate"]))
        .map(lambda number: {"number": number})
        .sink(FileSink(config["output"]))
    )


def endless(config: dict[str, Any]) -> Pipeline:
    return (
        Pipeline("endless")
        .source(SequenceSource(0, None, records_per_second=config.get("rate", 1000)))
        .map(lambda number: {"number": number})
        .sink(FileSink(config["output"]))
    )


def raises(config: dict[str, Any]) -> Pipeline:
    def fail(number: int) -> dict[str, int]:
        if number == config.get("at", 10):
            raise ValueError(f"number {number} is one too many")
        return {"number": number}

    return _misbehaving("raises", fail, config)


def hangs(config: dict[str, Any]) -> Pipeline:
    def hang(number: int) -> dict[str, int]:
        while number == config.get("at", 10):
            time.sleep(3600)
        return {"number": number}

    return _misbehaving("hangs", hang, config)


def exits(config: dict[str, Any]) -> Pipeline:
    def leave(number: int) -> dict[str, int]:
        if number == config.get("at", 10):
            os._exit(3)
        return {"number": number}

    return _misbehaving("exits", leave, config)


def quits(config: dict[str, Any]) -> Pipeline:
    def leave(number: int) -> dict[str, int]:
        if number == config.get("at", 10):
            sys.exit("had enough")
        return {"number": number}

    return _misbehaving("quits", leave, config)


not_a_function = 7


def _misbehaving(name: str, function: Any, config: dict[str, Any]) -> Pipeline:
    return (
        Pipeline(name)
        .source(SequenceSource(0, 1000, records_per_second=1000))
        .map(function)
        .sink(FileSink(config["output"]))
    )
