"""An inspection as HTML: a fragment for a notebook, or one page that needs no network."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, Final

from hawork.core.printable import printable
from hawork.inspect.report import (
    COLUMNS,
    headline,
    job_rows,
    leader_lines,
    summary,
    verdict,
)

if TYPE_CHECKING:
    from hawork.inspect.finding import Finding
    from hawork.inspect.inspection import Inspection

__all__ = ["as_fragment", "as_page"]

_DARK: Final = ('[data-jp-theme-light="false"]', '[data-theme="dark"]', ".vscode-dark")
"""What a page of JupyterLab and Voila, of the course's site, or of VS Code has when it is dark."""
_COLOURS: Final = """{--bad:#ff8f9c;--warn:#e3b341;--good:#56d364;--dim:#a5adb6;--line:#565d66;
--text:#e6e6e6;--back:transparent}
"""
_STYLE: Final = (
    """
.hawork-inspection{--bad:#a40e26;--warn:#7a4e00;--good:#116329;--dim:#57606a;--line:#d0d7de;
--text:#1b1f24;--back:#fff;
font:14px/1.5 system-ui,sans-serif;color:var(--text);background:var(--back);max-width:70em}
"""
    + ",".join(f"{page} .hawork-inspection" for page in _DARK)
    + f"""{_COLOURS}@media(prefers-color-scheme:dark){{
[data-theme="auto"] .hawork-inspection{_COLOURS}}}
"""
    + """
.hawork-inspection code,.hawork-inspection td{font-family:ui-monospace,monospace;font-size:13px}
.hawork-inspection table{border-collapse:collapse;margin:.8em 0}
.hawork-inspection th,.hawork-inspection td{text-align:left!important;padding:.2em .9em .2em 0;
border-bottom:1px solid var(--line);vertical-align:top;color:var(--text)}
.hawork-inspection td{min-width:0!important;overflow-wrap:break-word!important}
.hawork-inspection td:nth-child(2){overflow-wrap:anywhere!important}
.hawork-inspection .fatal,.hawork-inspection .data-loss{color:var(--bad)}
.hawork-inspection .stuck,.hawork-inspection .warning{color:var(--warn)}
.hawork-inspection .good{color:var(--good)}
.hawork-inspection .info{color:var(--dim)}
.hawork-inspection .verdict{font-size:17px}
.hawork-inspection details{margin:.4em 0;padding-left:.8em;border-left:3px solid var(--line)}
.hawork-inspection details[open].fatal,.hawork-inspection details[open].data-loss{
border-color:var(--bad)}
.hawork-inspection dt{font-weight:600}
.hawork-inspection dd{margin:0 0 .4em 1.2em;overflow-wrap:anywhere}
"""
).strip()


def _text(text: str) -> str:
    return escape(printable(text))


def as_fragment(inspection: Inspection) -> str:
    """A ``div`` with its own style; everything out of the data is escaped."""
    words, how = headline(inspection)
    parts = [
        '<div class="hawork-inspection">',
        f"<style>{_STYLE}</style>",
        f"<p>{_text(summary(inspection))}</p>",
        f'<p class="verdict"><strong class="{how}">{_text(words)}.</strong> '
        f"{_text(verdict(inspection))}</p>",
    ]
    if lines := leader_lines(inspection):
        parts.append("<p>" + "<br>".join(map(_text, lines)) + "</p>")
    if rows := job_rows(inspection):
        head = "".join(f'<th scope="col">{name}</th>' for name in COLUMNS)
        body = "".join(
            "<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rows
        )
        parts.append(f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>")
    parts += [_finding(finding) for finding in inspection.findings]
    parts.append(_questions(inspection))
    if inspection.cluster.not_looked_at:
        parts.append("<p><strong>Not looked at</strong></p><ul>")
        parts += [
            f"<li>{_text(missed.what)}: {_text(missed.why)}</li>"
            for missed in inspection.cluster.not_looked_at
        ]
        parts.append("</ul>")
    parts.append("</div>")
    return "\n".join(parts)


def _finding(finding: Finding) -> str:
    shown = "open " if finding.severity != "info" else ""
    rows = [("objects", [f"{each.kind} {each}" for each in finding.objects])]
    rows += [
        (word, [text] if isinstance(text, str) else list(text))
        for word in ("evidence", "cause", "safe", "unsafe")
        if (text := getattr(finding, word))
    ]
    inside = "".join(
        f"<dt>{word}</dt>" + "".join(f"<dd>{_text(line)}</dd>" for line in lines)
        for word, lines in rows
    )
    return (
        f'<details {shown}class="{finding.severity}"><summary><code>{finding.code}</code> '
        f"<strong>{finding.severity}</strong> {_text(finding.title)}</summary>"
        f"<dl>{inside}</dl></details>"
    )


def _questions(inspection: Inspection) -> str:
    rows = "".join(
        f"<tr><td>{each.question.number}</td><td>{escape(each.question.text)}</td>"
        f"<td>{each.state}</td><td>{escape(each.why)}</td></tr>"
        for each in inspection.answers
    )
    return (
        "<details><summary>The questions</summary><table><thead><tr>"
        '<th scope="col">no.</th><th scope="col">question</th><th scope="col">answer</th>'
        f'<th scope="col">why</th></tr></thead><tbody>{rows}</tbody></table></details>'
    )


def as_page(inspection: Inspection) -> str:
    """A whole page, for a browser and for a colleague."""
    title = _text(summary(inspection))
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width">'
        f"<title>{title}</title></head><body>\n{as_fragment(inspection)}\n</body></html>\n"
    )
