"""Static views of panels: what they show, as a table and as text, without any script."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from hawork.panels.feed import Json
from hawork.story.display import html_table

Table = tuple[str, Sequence[str], list[Sequence[str]]]
"""A title, its header, and its rows."""


def static_views(state: Mapping[str, Json], names: Iterable[str]) -> dict[str, str]:
    """``state`` is what the controller's sections give; unknown names are left out."""
    tables = [_TABLES[name](state[name]) for name in names if name in _TABLES and name in state]
    plain = "\n\n".join(_text(table) for table in tables) or "nothing to show yet"
    return {
        "text/plain": plain,
        "text/html": "".join(html_table(head, rows, title) for title, head, rows in tables),
    }


def _cluster(section: Json) -> Table:
    rows: list[Sequence[str]] = []
    for name in section.get("order", ()):
        card = section["cards"][name]
        said = ", ".join(f"{key} {value}" for key, value in card["facts"])
        leads = "leads" if card["leads"] else ""
        rows.append((name, card["state"], leads, card["session"], str(card["pid"] or ""), said))
    store = section.get("store", {})
    said = ", ".join(f"{key} {value}" for key, value in store.get("facts", ()))
    rows.append((f"HA store ({store.get('kind', '')})", store.get("state", ""), "", "", "", said))
    return (
        _title("Cluster", section),
        ("process", "state", "leader", "session id", "pid", "more"),
        rows,
    )


def _jobs(section: Json) -> Table:
    rows: list[Sequence[str]] = []
    for job_id in section.get("order", ()):
        job = section["jobs"][job_id]
        restored = str(job.get("restored", ""))
        rows.append(
            (
                job["name"], _status(job), f"{job['records']:,}", f"{job['rate']:,}",
                str(job["checkpoints"]), restored, job.get("result", ""),
            )
        )  # fmt: skip
    header = ("job", "status", "records", "per second", "checkpoints", "restored from", "result")
    return _title("Jobs", section), header, rows


def _status(job: Json) -> str:
    stale = job.get("stale")
    return f"not known ({job['status']} at {stale})" if stale else str(job["status"])


def _store(section: Json) -> Table:
    rows = [section["rows"][key] for key in section.get("order", ())]
    shown: list[Sequence[str]] = [(row[1], row[2], row[3], row[4], row[6]) for row in rows]
    title = " ".join((_title("HA store and storageDir", section), *section.get("trouble", ())))
    return title, ("place", "name", "version", "value", "file"), shown


def _stepper(section: Json) -> Table:
    held = {step: process for process, step, _ in section.get("held", ())}
    reached = section.get("reached", {})
    rows: list[Sequence[str]] = [
        (name, meaning, str(reached.get(name, [0])[0]), held.get(name, ""))
        for name, meaning, _, _ in section.get("steps", ())
    ]
    title = _title("Steps of the protocol", section)
    return title, ("step", "meaning", "reached", "stands here"), rows


def _title(name: str, section: Json) -> str:
    """And the sentence that the live panel has above its table, if any."""
    said = section.get("error") or section.get("note")
    return f"{name}: {said}" if said else name


def _inspection(section: Json) -> Table:
    rows: list[Sequence[str]] = [
        (row[0], row[2], f"newest {row[3]}, newest whole {row[4]}, counter {row[5]}", "")
        for row in section.get("rows", ())
    ]
    for key in section.get("order", ()):
        finding = section["findings"][key]
        said = dict(finding["parts"])
        rows.append((finding["code"], finding["severity"], finding["title"], said["safe"][0]))
    rows += [("not looked at", "", each, "") for each in section.get("missed", ())]
    told = f"{section.get('words', '')}. {section.get('verdict', '')}" if section else ""
    title = " ".join((_title("Inspection", section), told)).strip()
    return title, ("job or finding", "would be, or severity", "what", "safe"), rows


_TABLES = {
    "cluster": _cluster,
    "inspection": _inspection,
    "jobs": _jobs,
    "store": _store,
    "stepper": _stepper,
}


def _text(table: Table) -> str:
    title, header, rows = table
    cells = [header, *rows]
    widths = [max(len(str(row[column])) for row in cells) for column in range(len(header))]
    lines = [
        "  ".join(str(cell).ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in cells
    ]
    return "\n".join([title, *lines])
