"""What ``LabCluster`` says about a whole run: the verdict, and a learner's guesses."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

from hawork.client.waiting import Waiting
from hawork.core.errors import LabError
from hawork.core.events import Event, EventKind, EventLog
from hawork.story.event_reader import kind_of
from hawork.story.verdict import Verdict, judge

if TYPE_CHECKING:
    import pandas

    from hawork.story.event_reader import EventReader


class Compared(Protocol):
    """An output held against what it should be, such as ``flights.compare`` gives."""

    @property
    def records(self) -> int: ...
    @property
    def lost(self) -> int: ...
    @property
    def duplicated(self) -> int: ...
    @property
    def different(self) -> int: ...


class Judgement:
    """The part of ``LabCluster`` that judges."""

    _events: EventLog
    _reader: EventReader
    _closed: bool

    def wait_for_event(
        self,
        kind: EventKind | str,
        process: str | None = None,
        after: Event | None = None,
        timeout: float = 30.0,
    ) -> Waiting[Event]:
        """Wait for the first event of a kind: of one process or any, after another or ever.

        >>> woken = lab.resume("jm-1")                                     # doctest: +SKIP
        >>> await lab.wait_for_event("leadership.revoked", "jm-1", after=woken)  # doctest: +SKIP
        """
        what = f"event {kind}" + (f" of {process}" if process else "")
        first = partial(self._reader.first, kind_of(kind), process, after)

        def look() -> Event | None:
            found = first()
            if found is None:
                self._check_events_come()
            return found

        return Waiting(what, look, timeout=timeout)

    def verdict(self, output: Compared | None = None) -> Verdict:
        """Whether everything so far was right, by the event log; works after ``close``, too.

        At most one accepted leader per term, every accepted write by the leader of its term,
        no acknowledged job lost, checkpoints only forward, and, when ``output`` says what a
        comparison gave, an exact output. What a comparison of a job's output misses may be
        there in its next one; what is there twice counts. Shows the events that prove what was
        broken.

        >>> lab.verdict(flights.compare(job.output())).valid               # doctest: +SKIP
        True
        """
        if output is not None:
            self._note(
                EventKind.OUTPUT_COMPARED,
                records=output.records,
                lost=output.lost,
                duplicated=output.duplicated,
                different=output.different,
                job_id=getattr(output, "job_id", None),  # not every comparison knows,
            )
        return judge(self._reader.events())

    def predict(self, question: str, guess: Any, unit: str = "s") -> None:
        """Keep a guess, in the event log, until ``observe`` tells how it came out.

        Guessing again replaces the guess: the cell may be run twice.

        >>> lab.predict("gap after a kill", 5.0)                           # doctest: +SKIP
        """
        self._note(EventKind.PREDICTION, question=question, guess=guess, unit=unit)

    def observe(self, question: str, value: Any) -> Any:
        """Keep what the event log says to a question that was asked; returns ``value``.

        ``LabError`` for a question about which nobody made a guess.

        >>> lab.observe("gap after a kill", lab.timeline().takeovers[-1].seconds)  # doctest: +SKIP
        0.08
        """
        asked = self._predictions()
        if question not in asked:
            known = ", ".join(repr(each) for each in asked) or "none"
            raise LabError(
                f"nobody guessed about {question!r} (asked were: {known}): call predict first"
            )
        self._note(EventKind.PREDICTION, question=question, observed=value)
        return value

    def compare(self) -> pandas.DataFrame:
        """Every guess beside what was observed; empty where nothing was observed yet.

        >>> lab.compare()                                                  # doctest: +SKIP
                   question  guess  observed unit
        0  gap after a kill    5.0      0.08    s
        """
        import pandas

        rows = [
            {"question": question, "guess": "", "observed": "", **facts}
            for question, facts in self._predictions().items()
        ]
        columns = ["question", "guess", "observed", "unit"]
        return pandas.DataFrame(rows, columns=columns, dtype=object)  # 1000 beside 0.02, as given

    def _check_events_come(self) -> None:
        """``LabError`` when there will be no event any more."""
        raise NotImplementedError

    def _note(self, kind: EventKind, **facts: Any) -> None:
        """Keep what was said about the run; a lab that is closed has no file for it any more."""
        self._events.emit(kind, **facts)
        if self._closed:
            self._reader.add(self._events.recent()[-1])

    def _predictions(self) -> dict[str, dict[str, Any]]:
        """What was guessed and observed last, by question."""
        asked: dict[str, dict[str, Any]] = {}
        for event in self._reader.events():
            if event.kind is EventKind.PREDICTION:
                facts = {name: value for name, value in event.facts.items() if name != "question"}
                asked.setdefault(str(event.facts.get("question")), {}).update(facts)
        return asked
