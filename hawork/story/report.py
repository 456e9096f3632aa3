"""A run as one page of HTML: opens offline, loads nothing, runs nothing."""

from __future__ import annotations

import html
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from hawork.core.events import Event, EventKind
from hawork.story.bundle import RunBundle
from hawork.story.display import clock_time, html_table
from hawork.story.predictions import is_guess, predictions
from hawork.story.timeline import mimebundle

_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
_STYLE = """
:root { color-scheme: light dark; }
body { font: 15px/1.45 system-ui, sans-serif; max-width: 75rem; margin: 2rem auto; }
body { padding: 0 1rem; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.15rem; margin-top: 2rem; }
table { border-collapse: collapse; margin: .5rem 0; font-size: .85rem; }
th, td { text-align: left; vertical-align: top; padding: .2rem .6rem; }
th, td { border-bottom: 1px solid #8884; }
td { overflow-wrap: break-word; } .wide { overflow-x: auto; }
img { max-width: 100%; } .good { color: #009e73; } .bad { color: #d55e00; }
@media print {
  body { max-width: none; margin: 0; font-size: 11px; } .wide { overflow: visible; }
  table { width: 100%; } td { overflow-wrap: anywhere; min-width: 4.5em; }
  tr, img { break-inside: avoid; } h2 { break-after: avoid; }
}
"""
_LONGEST = 2000
"""Characters of a cell; whole words are kept."""


def report(run: RunBundle) -> str:
    """The page: verdict, guesses, timeline, jobs, faults, HA store, storageDir, options."""
    verdict = run.verdict()
    open_end = not verdict.judged or verdict.unheard_since is not None
    look = "bad" if not verdict.valid else "open" if open_end else "good"
    moment = time.strftime("%Y-%m-%d %H:%M:%S %z", time.localtime(run.created))
    events = run.event_list()
    parts = [
        f"<h1>A run of {html.escape(run.cluster)}: "
        f"<span class='{look}'>{html.escape(verdict.headline)}</span></h1>",
        f"<p>Written {moment} by hawork {html.escape(run.version)}; {len(events):,} events.</p>",
        *(f"<p>Without {html.escape(name)}: {html.escape(why)}</p>"
          for name, why in run.missing.items()),
        _section("Verdict", verdict._repr_html_()),
        _section("Guesses", _table(_guesses(events))),
        # Open, since paper cannot be unfolded.
        _section("Timeline", str(mimebundle(run.timeline())["text/html"]).replace(
            "<details>", "<details open>"
        )),
        _section("Jobs", _table(_jobs(events))),
        _section("Faults", _table(_faults(events))),
        _section("HA store", _table(_short(run.store_rows().to_dict("records")))),
        _section("storageDir", _table(_short(run.storage_tree().to_dict("records")))),
        _section("Options", _table(
            [{"option": key, "value": value} for key, value in sorted(run.options.items())]
        )),
    ]  # fmt: skip
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">'
        f"<title>A run of {html.escape(run.cluster)}</title><style>{_STYLE}</style></head>\n"
        f"<body>{''.join(parts)}</body></html>\n"
    )


def _section(title: str, content: str) -> str:
    return f"<h2>{title}</h2><div class='wide'>{content}</div>\n"


def _table(rows: Sequence[Mapping[Any, Any]]) -> str:
    return html_table(rows[0], (row.values() for row in rows)) if rows else "<p>none</p>"


def _short(rows: Iterable[Mapping[Any, Any]]) -> list[dict[Any, Any]]:
    return [{key: shortened(str(value)) for key, value in row.items()} for row in rows]


def shortened(text: str, longest: int = _LONGEST) -> str:
    """A long text up to the end of a word or a number, and how long the whole is.

    >>> shortened("checkpoint 1234567", 13)
    'checkpoint … (18 characters)'
    """
    if len(text) <= longest:
        return text
    end = longest
    while end > longest // 2 and text[end - 1].isalnum() and text[end].isalnum():
        end -= 1
    return f"{text[:end].rstrip()} … ({len(text):,} characters)"


def _guesses(events: Sequence[Event]) -> list[dict[str, Any]]:
    return [
        {
            "question": each.question,
            "guess": f"{each.guess} {each.unit}".strip() if is_guess(each.guess) else "",
            "observed": f"{each.observed} {each.unit}".strip() if each.is_observed else "",
            "remark": each.remark,
        }
        for each in predictions(events).values()
    ]


def _jobs(events: Sequence[Event]) -> list[dict[str, Any]]:
    """What became of each job, as far as the events tell."""
    jobs: dict[str, dict[str, Any]] = {}
    for event in events:
        if event.job_id is None:
            continue
        job = jobs.setdefault(
            event.job_id,
            {"job": event.job_id, "name": "", "status": "", "checkpoints": 0, "restored from": ""},
        )
        job["name"] = job["name"] or event.job_name or ""
        if event.kind is EventKind.JOB_STATUS:
            job["status"] = event.facts.get("status", "")
        elif event.kind is EventKind.CHECKPOINT_COMPLETED:
            job["checkpoints"] += 1
        elif event.kind is EventKind.JOB_RESTORED:
            number = event.facts.get("checkpoint_id")
            before = f"{job['restored from']}, " if job["restored from"] else ""
            job["restored from"] = f"{before}{'nothing' if number is None else number}"
    return list(jobs.values())


def _faults(events: Sequence[Event]) -> list[dict[str, Any]]:
    return [
        {
            "clock": clock_time(event.wall),
            "seconds": f"{event.monotonic - events[0].monotonic:.3f}",
            "verb": event.facts.get("verb", ""),
            "target": event.facts.get("target", ""),
            "how": event.facts.get("how", ""),
        }
        for event in events
        if event.kind is EventKind.FAULT
    ]
