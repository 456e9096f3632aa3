"""``hawork doctor``: what is missing on this machine, and how to get it."""

from __future__ import annotations

import argparse
import json
import sys

from hawork.lab.doctor import examine


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="print one JSON object per check")


def run(arguments: argparse.Namespace) -> int:
    """Print every check; status 1 only when something is missing that everything needs."""
    findings = examine()
    for finding in findings:
        if arguments.json:
            line = {
                "what": finding.what, "found": finding.found, "ok": finding.ok,
                "needed": finding.needed, "fix": finding.fix,
            }  # fmt: skip
            sys.stdout.write(json.dumps(line) + "\n")
            continue
        sign = "ok     " if finding.ok else ("MISSING" if finding.needed else "absent ")
        sys.stdout.write(f"{sign}  {finding.what:<24}{finding.found}\n")
        if not finding.ok:
            sys.stdout.write(f"         {'':<24}{finding.fix}\n")
    broken = [finding for finding in findings if finding.needed and not finding.ok]
    return 1 if broken else 0
