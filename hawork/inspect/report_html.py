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
.hawork-inspection .fatal,.hawork-inspection .data-loss{--mark:var(--bad)}
.hawork-inspection .stuck,.hawork-inspection .warning{--mark:var(--warn)}
.hawork-inspection .good{--mark:var(--good)}
.hawork-inspection .info{--mark:var(--dim)}
.hawork-inspection strong{color:var(--mark,inherit)}
.hawork-inspection .verdict{font-size:17px}
.hawork-inspection details{margin:.4em 0;padding-left:.8em;
border-left:3px solid var(--mark,var(--line))}
.hawork-inspection summary{cursor:pointer}
.hawork-inspection dl{display:grid;grid-template-columns:5.5em 1fr;gap:.1em .8em;margin:.5em 0 1em}
.hawork-inspection dt{grid-column:1;color:var(--dim);font-weight:400;text-align:right}
.hawork-inspection dd{grid-column:2;margin:0;overflow-wrap:anywhere}
.hawork-inspection .safe{border-left:3px solid var(--good);padding-left:.6em}
.hawork-inspection .unsafe{border-left:3px solid var(--bad);padding-left:.6em}
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
    if missed := inspection.cluster.not_looked_at:
        parts.append('<p class="warning"><strong>Not looked at</strong></p><ul>')
        parts += [f"<li>{_text(each.what)}: {_text(each.why)}</li>" for each in missed]
        parts.append("</ul>")
    parts += [_finding(finding) for finding in inspection.findings]
    parts.append(_questions(inspection))
    parts.append("</div>")
    return "\n".join(parts)


def _finding(finding: Finding) -> str:
    shown = "open " if finding.severity != "info" else ""
    objects = [f"{each.kind} <code>{_text(str(each))}</code>" for each in finding.objects]
    rows = [("objects", objects)]
    rows += [
        (word, [_text(line) for line in ([text] if isinstance(text, str) else text)])
        for word in ("evidence", "cause", "safe", "unsafe")
        if (text := getattr(finding, word))
    ]
    inside = "".join(
        f"<dt>{word}</dt>" + "".join(f'<dd class="{word}">{line}</dd>' for line in lines)
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
    """A whole page, for a browser and for a colleague; as light or dark as their system."""
    title = _text(summary(inspection))
    return (
        '<!doctype html>\n<html lang="en" data-theme="auto"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width">'
        f"<title>{title}</title><style>:root{{color-scheme:light dark}}"
        "body{max-width:62em;margin:1.5em auto;padding:0 1.5em}</style></head><body>\n"
        f"{as_fragment(inspection)}\n</body></html>\n"
    )
