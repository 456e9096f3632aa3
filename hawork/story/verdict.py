"""Whether a run was right: each rule kept, broken or not judged, and the proof of what was."""

from __future__ import annotations

import base64
import html
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from hawork.core.calls import checked
from hawork.core.errors import WrongArgumentError
from hawork.core.events import Event
from hawork.story.display import clock_time
from hawork.story.hearing import unheard_since
from hawork.story.rules import RULES, Rule, Violation
from hawork.story.rules.history import History
from hawork.story.segments import LEADER_LANE, STORE_LANE, Takeovers
from hawork.story.timeline import Timeline

if TYPE_CHECKING:
    import pandas

KEPT, BROKEN, NOT_JUDGED = "kept", "broken", "not judged"
_MARKS = {KEPT: "✓", BROKEN: "✗", NOT_JUDGED: "○"}
SHOWN = 3
"""Violations told per rule; one is enough to know, and a thousand say no more."""
_MARGIN = 0.1
_PROSE = "<td style='text-align:left;overflow-wrap:break-word'>"
"""A cell of words, none of which is broken for the sake of the cell beside it."""


@dataclass(frozen=True, slots=True)
class Finding:
    """What one rule says of a run. ``looked_at`` tells how much there was to judge.

    ``judged`` is false where nothing happened that could have broken the rule.
    """

    rule: str
    meaning: str
    looked_at: str
    violations: tuple[Violation, ...]
    judged: bool = True

    @property
    def state(self) -> str:
        """``"kept"``, ``"broken"`` or ``"not judged"``."""
        if self.violations:
            return BROKEN
        return KEPT if self.judged else NOT_JUDGED

    @property
    def kept(self) -> bool:
        """Whether there was something to judge, and nothing of it broke the rule."""
        return self.state == KEPT


@dataclass(frozen=True, slots=True)
class Verdict:
    """The outcome of a run, judged from its events and from nothing else.

    >>> verdict = lab.verdict()                                            # doctest: +SKIP
    >>> verdict.valid                                                      # doctest: +SKIP
    True
    >>> print(verdict)                                                     # doctest: +SKIP
    valid: 4 rules kept, 1 not judged
      kept        one leader per term: 2 terms, 4 publications
      ...
      not judged  the output is exact: not compared

    A rule is *not judged* where nothing happened that could have broken it; the headline
    counts the three states. Of a run that is not valid, ``violations`` says in a sentence each
    what was broken, with the fewest events that prove it; ``frame`` and ``timeline`` show those.
    """

    findings: tuple[Finding, ...]
    events: tuple[Event, ...]

    @property
    def valid(self) -> bool:
        """Whether no rule was broken; ``headline`` says how many of them were judged."""
        return not self.violations

    @property
    def unheard_since(self) -> float | None:
        """When a JobManager answered last (seconds since 1970), if none does at the end.

        Of what was watched from outside nothing is judged from then on.
        """
        return unheard_since(self.events)

    @property
    def judged(self) -> int:
        """How many rules there was something to judge for."""
        return sum(finding.state != NOT_JUDGED for finding in self.findings)

    @property
    def headline(self) -> str:
        """The outcome in one line, with how many rules are in which state.

        >>> judge([]).headline
        'not judged: nothing happened that could have broken any of the 5 rules'
        """
        states = [finding.state for finding in self.findings]
        since = self.unheard_since
        silence = f", and no JobManager answers since {clock_time(since)}" if since else ""
        if not self.judged:
            nothing = "nothing happened that could have broken any of the"
            return f"{NOT_JUDGED}: {nothing} {len(states)} rules{silence}"
        kept, broken, left = (states.count(state) for state in (KEPT, BROKEN, NOT_JUDGED))
        counted = [f"{kept} {'rule' if kept == 1 else 'rules'} kept"]
        counted += [f"{broken} broken"] if broken else []
        counted += [f"{left} not judged"] if left else []
        said = "NOT valid" if broken else "not judged to the end" if silence else "valid"
        return f"{said}: {', '.join(counted)}{silence}"

    def rules_frame(self) -> pandas.DataFrame:
        """Each rule with its state and how much there was to judge, as a frame."""
        import pandas

        rows = [(each.rule, each.state, each.looked_at, each.meaning) for each in self.findings]
        return pandas.DataFrame(rows, columns=["rule", "state", "judged", "meaning"])

    @property
    def violations(self) -> tuple[Violation, ...]:
        """Everything that was broken, in the order of the rules."""
        return tuple(each for finding in self.findings for each in finding.violations)

    def frame(self, violation: Violation) -> pandas.DataFrame:
        """The events that prove a violation, as a frame; seconds since the run's start."""
        from hawork.story.frames import events_frame

        frame = events_frame(violation.events, start=self._start)
        return frame[["seconds", "process", "kind", "step", "session_id", "facts"]]

    def timeline(self, violation: Violation) -> Timeline:
        """The part of the run's timeline, and the lanes of it, in which a violation happened."""
        whole = Timeline.of(self.events)
        start = violation.events[0].monotonic - self._start - _MARGIN
        end = violation.events[-1].monotonic - self._start + _MARGIN
        concerned = {LEADER_LANE, STORE_LANE, *(event.process for event in violation.events)}
        return part_of(whole, max(start, 0.0), min(end, whole.end), concerned)

    @property
    def _start(self) -> float:
        return self.events[0].monotonic if self.events else 0.0

    def __repr__(self) -> str:
        first = f"; {self.violations[0].sentence}" if self.violations else ""
        return f"Verdict({self.headline}{first})"

    def __str__(self) -> str:
        lines = [self.headline]
        for finding in self.findings:
            state = finding.state.upper() if finding.violations else finding.state
            lines.append(f"  {state:<10}  {finding.rule}: {finding.looked_at}")
            for violation in finding.violations[:SHOWN]:
                lines.append(f"              {violation.sentence}")
                lines += [f"                {line}" for line in self._told(violation)]
            lines += [f"              {_more(finding)}"] if _more(finding) else []
        return "\n".join(lines)

    def _told(self, violation: Violation) -> list[str]:
        return [
            f"{event.monotonic - self._start:8.3f} s  {event.process}  {event.kind} "
            f"{event.step or ''} {_facts(event)}".rstrip()
            for event in violation.events
        ]

    def _repr_html_(self) -> str:
        rows = "".join(
            "<tr><td style='text-align:left;white-space:nowrap'>"
            f"{_MARKS[finding.state]} {finding.state}</td>"
            f"{_PROSE}{html.escape(finding.rule)}</td>"
            f"{_PROSE}{html.escape(finding.looked_at)}</td>"
            f"{_PROSE}{html.escape(finding.meaning)}</td></tr>"
            for finding in self.findings
        )
        parts = [
            f"<p><b>Verdict: {html.escape(self.headline)}</b></p>",
            "<table><tr><th></th><th style='text-align:left'>rule</th>"
            "<th style='text-align:left'>judged</th>"
            f"<th style='text-align:left'>what it says</th></tr>{rows}</table>",
        ]
        for finding in self.findings:
            parts += [self._shown(violation) for violation in finding.violations[:SHOWN]]
            parts.append(f"<p>{_more(finding)}</p>" if _more(finding) else "")
        return "".join(parts)

    def _shown(self, violation: Violation) -> str:
        """The sentence, the events and the part of the timeline, of one violation."""
        from hawork.story.picture import as_png

        rows = "".join(
            f"<tr><td style='white-space:nowrap'>{event.monotonic - self._start:.3f} s</td>"
            f"<td>{html.escape(event.process)}"
            f"</td>{_PROSE}{html.escape(str(event.kind))} "
            f"{html.escape(event.step or '')}</td>{_PROSE}"
            f"{html.escape((event.session_id or '')[:8])}</td>"
            f"<td style='text-align:left'>{html.escape(_facts(event))}</td></tr>"
            for event in violation.events
        )
        picture = base64.b64encode(as_png(self.timeline(violation))).decode()
        sentence = html.escape(violation.sentence)
        return (
            f"<p>✗ {sentence}</p><table><tr><th>time</th><th>who</th><th>what</th><th>session</th>"
            f"<th style='text-align:left'>facts</th></tr>{rows}</table>"
            f"<img alt='{sentence}' src='data:image/png;base64,{picture}' style='max-width:100%'>"
        )


@checked
def judge(events: Iterable[Event], rules: Sequence[Rule] = RULES) -> Verdict:
    """The verdict over any run's events, also of one that ended long ago.

    >>> judge(hawork.read_events(directory)).valid                        # doctest: +SKIP
    True
    """
    told = list(events)
    for each in told:
        if not isinstance(each, Event):
            raise WrongArgumentError(
                f"judge: {each!r} is not an event: hand in lab.event_list(), or what "
                "hawork.read_events gives"
            )
    history = History(told)
    findings = tuple(
        Finding(
            rule.name,
            rule.meaning,
            rule.looked_at(history),
            tuple(rule.broken(history)),
            rule.judged(history),
        )
        for rule in rules
    )
    return Verdict(findings, tuple(history.events))


def part_of(timeline: Timeline, start: float, end: float, lanes: Iterable[str]) -> Timeline:
    """Some lanes of a timeline between two moments (seconds since its start)."""
    kept = [lane for lane in timeline.lanes if lane in set(lanes)]
    return replace(
        timeline,
        lanes=tuple(kept),
        segments=tuple(
            replace(each, start=max(each.start, start), end=min(each.end, end))
            for each in timeline.segments
            if each.lane in kept and each.start < end and each.end > start
        ),
        marks=tuple(
            each for each in timeline.marks if each.lane in kept and start <= each.time <= end
        ),
        takeovers=Takeovers(),
        begin=start,
        end=end,
    )


def _facts(event: Event) -> str:
    return ", ".join(f"{name}={value}" for name, value in event.facts.items())


def _more(finding: Finding) -> str:
    more = len(finding.violations) - SHOWN
    return f"and {more:,} more" if more > 0 else ""
