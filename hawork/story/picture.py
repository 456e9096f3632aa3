"""A timeline drawn: one lane each, colours that everybody can tell apart, and patterns.

Colours are those of Okabe and Ito; what matters is told by a pattern or a text, too. The ground is
transparent, and what stands on it has a grey that can be read on a light page and on a dark one: no
picture in a notebook learns of its theme.
"""

from __future__ import annotations

import io
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from hawork.core.printable import printable
from hawork.core.whole_imports import import_whole
from hawork.story.beliefs import BELIEF_LANE, CLIENT_LANE, HOLDER_LANE, STALE
from hawork.story.display import clock_time
from hawork.story.segments import (
    DOWN,
    LEADER_LANE,
    LEADING,
    NOT_KNOWN,
    PAUSED,
    PROGRESS,
    SILENT,
    STANDBY,
    STILL,
    TAKING_OVER,
    UP,
    Lanes,
    Mark,
    Segment,
    Takeover,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

GREEN, YELLOW, BLUE, SKY = "#009E73", "#F0E442", "#0072B2", "#56B4E9"
ORANGE, VERMILION, PURPLE, GREY = "#E69F00", "#D55E00", "#CC79A7", "#D9D9D9"

STYLES: dict[str, tuple[str, str]] = {
    STANDBY: (GREY, ""),
    TAKING_OVER: (YELLOW, "...."),
    LEADING: (GREEN, ""),
    PAUSED: (PURPLE, "////"),
    UP: (SKY, ""),
    DOWN: ("white", "xx"),
    SILENT: ("white", "////"),
    NOT_KNOWN: ("white", "...."),
    PROGRESS: (SKY, ""),
    STILL: (ORANGE, "////"),
    STALE: (ORANGE, "\\\\\\\\"),
    "INITIALIZING": (YELLOW, "...."),
    "CREATED": (YELLOW, "...."),
    "RESTARTING": (ORANGE, "\\\\\\\\"),
    "RUNNING": (BLUE, ""),
    "SUSPENDED": (GREY, "xx"),
    "FAILING": (VERMILION, "...."),
    "CANCELLING": (ORANGE, "...."),
    "FINISHED": (GREEN, ""),
    "FAILED": (VERMILION, ""),
    "CANCELED": (ORANGE, ""),
}
"""Colour and pattern of each state."""

_ENDED = {"FINISHED", "FAILED", "CANCELED"}
_BAR = 0.56
WIDTH = 7.6
"""Inches. Panels beside a notebook leave a picture 500 pixels: a wider one would be made so small
that its words could not be read."""
_LANE = 0.36
DPI = 130
_WIDER = 11 / WIDTH
"""By how much more of the width a text takes than in a picture of 11 inches."""
INK = "#767676"
_PLATE: Mapping[str, Any] = {"facecolor": "white", "edgecolor": "none", "alpha": 0.85, "pad": 1}
_ON_PLATE: Mapping[str, Any] = {"color": "#333333", "bbox": _PLATE}
"""Of a text that lies across bars or the yellow of a takeover, where grey cannot be read."""
_MOST_JOBS = 40
"""Lanes of jobs that are drawn, the newest ones: more are too many to read, and a picture that is
higher than a PNG may be."""
_PIXEL = 1 / 900
"""Share of the width."""
_LETTER = 0.0105
"""Share of the width that a letter takes, and a little more."""
_RECENT = 20
"""Labels of a gap between lanes that a new one is held against: marks come in their order."""
_APART = 0.06 * _WIDER
"""Share of the width below which the lengths of two takeovers would cover each other."""
_AT_THE_END = 0.83
"""Share of the width after which a label stands to the left of what it names."""


_PAD = 3.5
"""Points between a lane and its name."""


def as_png(timeline: Lanes) -> bytes:
    """The picture. ``ImportError`` when matplotlib is not installed."""
    out = io.BytesIO()
    as_figure(timeline).savefig(out, format="png")
    return out.getvalue()


def as_figure(timeline: Lanes) -> Figure:
    """The picture before it is stored. ``ImportError`` when matplotlib is not installed."""
    import_whole("matplotlib.backends.backend_agg", "matplotlib.figure")
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    lanes = _lanes(timeline)
    figure = Figure(figsize=(WIDTH, 1.1 + _LANE * len(lanes)), dpi=DPI, layout="constrained")
    FigureCanvasAgg(figure)
    figure.patch.set_alpha(0.0)
    axes = figure.subplots()
    axes.patch.set_alpha(0.0)
    rows = {lane: len(lanes) - 1 - number for number, lane in enumerate(lanes)}
    drawn = [each for each in timeline.segments if each.lane in rows]
    _draw_bars(axes, ((each, rows[each.lane]) for each in drawn), timeline)
    covered = _words_of_ends(timeline)
    for segment in drawn:
        until = covered.get(segment.lane, math.inf)
        _draw_label(axes, segment, rows[segment.lane], timeline, covered=until)
    _draw_beliefs(axes, rows, timeline)
    _draw_marks(axes, rows, timeline)
    _draw_takeovers(axes, rows, timeline)
    axes.set_yticks(range(len(lanes)), list(map(printable, reversed(lanes))))
    if left_out := len(set(timeline.lanes) - set(lanes)):
        axes.set_title(f"and {left_out:,} older jobs", fontsize=8, loc="right", color=INK)
    axes.set_ylim(-0.8, len(lanes) - 0.2)  # a label may be below the last lane
    axes.set_xlim(timeline.begin, timeline.begin + max(_length(timeline), 0.1) * 1.02)
    since = "the start" if timeline.wall is None else clock_time(timeline.wall)
    axes.set_xlabel(f"seconds since {since}", color=INK)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    axes.spines["bottom"].set_color(INK)
    axes.tick_params(axis="both", colors=INK)
    axes.tick_params(axis="y", length=0)
    axes.grid(axis="x", color=INK, alpha=0.25, linewidth=0.6)
    axes.set_axisbelow(True)
    _draw_legend(axes, timeline)
    for label in (*axes.texts, *axes.get_yticklabels()):
        label.set_parse_math(False)  # a job may have any name, with $ in it, too
    for text in axes.texts:
        text.set_text(printable(text.get_text()))
        # One that sticks out, as at the very end, must not take the room of the picture.
        text.set_in_layout(False)
    for lane in timeline.beside:  # takes the room of its name, and shows nothing
        axes.annotate(
            printable(lane), (0, 0.5), (-_PAD, 0), "axes fraction", "offset points",
            ha="right", va="center", alpha=0.0, parse_math=False,
        )  # fmt: skip
    axes.tick_params(axis="y", pad=_PAD)
    return figure


def _lanes(timeline: Lanes) -> list[str]:
    """From top to bottom, with those of belief around the published leader where it is shown."""
    lanes = _newest_jobs(timeline.lanes) or ["nothing happened yet"]
    if LEADER_LANE not in lanes:
        return lanes
    told = {segment.lane for segment in timeline.beliefs}
    at = lanes.index(LEADER_LANE)
    above = [HOLDER_LANE] if HOLDER_LANE in told else []
    below = [lane for lane in (BELIEF_LANE, CLIENT_LANE) if lane in told]
    return [*lanes[:at], *above, LEADER_LANE, *below, *lanes[at + 1 :]]


def _newest_jobs(lanes: Iterable[str]) -> list[str]:
    """All lanes but those of the oldest jobs, where there are very many."""
    jobs = [lane for lane in lanes if lane.startswith("job ")]
    left_out = set(jobs[:-_MOST_JOBS])
    return [lane for lane in lanes if lane not in left_out]


def _draw_beliefs(axes: Axes, rows: dict[str, int], timeline: Lanes) -> None:
    """Several processes may think that they lead: each has a part of the row's height."""
    for lane in (HOLDER_LANE, BELIEF_LANE, CLIENT_LANE):
        of_lane = [each for each in timeline.beliefs if each.lane == lane]
        names = sorted({each.label for each in of_lane}, reverse=True)
        if lane not in rows or not names:
            continue
        parts = len(names) if lane == BELIEF_LANE else 1
        height = min(_BAR * (1.0, 1.4, 1.7)[min(parts, 3) - 1], 0.95) / parts
        place: dict[str, float] = dict.fromkeys(names, rows[lane])
        if parts > 1:
            place = {n: rows[lane] + (i - (parts - 1) / 2) * height for i, n in enumerate(names)}
        _draw_bars(axes, ((each, place[each.label]) for each in of_lane), timeline, height * 0.92)
        for each in of_lane:
            _draw_label(axes, each, place[each.label], timeline, height * 0.92)


def _side(moment: float, timeline: Lanes) -> str:
    """Where a label has room: to the right of a moment, or at the end to its left."""
    late = moment - timeline.begin > _length(timeline) * _AT_THE_END
    return "right" if late else "left"


def _draw_bars(
    axes: Axes, placed: Iterable[tuple[Segment, float]], timeline: Lanes, bar: float = _BAR
) -> None:
    """All bars of a row and a state at once, those of less than a pixel as one.

    One by one they took most of the time.
    """
    least = _length(timeline) * _PIXEL
    bars: dict[tuple[float, str], list[tuple[float, float]]] = {}
    for segment, row in placed:
        if segment.state in _ENDED:
            continue
        spans = bars.setdefault((row, segment.state), [])
        start, end = segment.start, segment.end
        if spans and end - start < least and start - sum(spans[-1]) < least:
            start, _ = spans.pop()
        spans.append((start, end - start))
    for (row, state), spans in bars.items():
        colour, pattern = STYLES.get(state, (GREY, ""))
        down = state == DOWN
        axes.broken_barh(
            spans, (row - bar / 2, bar), facecolor="none" if down else colour, hatch=pattern,
            edgecolor="#BBBBBB" if down else "#444444", linewidth=0.4,
        )  # fmt: skip


def _draw_label(
    axes: Axes, segment: Segment, row: float, timeline: Lanes, bar: float = _BAR,
    covered: float = math.inf,
) -> None:  # fmt: skip
    colour, pattern = STYLES.get(segment.state, (GREY, ""))
    # Of a part of a run only what is shown has room: a bar may have begun long before.
    start, end = max(segment.start, timeline.begin), min(segment.end, timeline.end)
    if start < covered:
        end = min(end, covered)
    width = end - start
    if segment.state in _ENDED:
        # An end is a moment: it does not last until the lab is closed.
        axes.plot([segment.start], [row], marker="s", markersize=9, color=colour)
        side = _side(segment.start, timeline)
        axes.annotate(
            segment.state, (segment.start, row), xytext=(8 if side == "left" else -8, -4),
            textcoords="offset points", fontsize=8, ha=side, **_ON_PLATE,
        )  # fmt: skip
        return
    text = segment.label or (segment.state if segment.lane != LEADER_LANE else "")
    if width > _length(timeline) * (0.012 * len(text) + 0.01) * _WIDER and segment.state != DOWN:
        light = colour in (BLUE, GREEN)
        axes.text(
            start + width / 2, row, text, ha="center", va="center",
            fontsize=min(8.0 if bar > _BAR / 2 else 6.5, bar * _LANE * 72 * 0.9),
            color="white" if light else "black",
            bbox={"facecolor": colour, "edgecolor": "none", "pad": 1} if pattern else None,
        )  # fmt: skip


def _words_of_ends(timeline: Lanes) -> dict[str, float]:
    """Per lane, where the word of an end that stands at the left of it begins to cover its bar."""
    found = {}
    for each in timeline.segments:
        if each.state in _ENDED and _side(each.start, timeline) == "right":
            letters = _LETTER * (len(each.state) + 2)
            found[each.lane] = each.start - letters * _length(timeline)
    return found


def _draw_marks(axes: Axes, rows: dict[str, int], timeline: Lanes) -> None:
    looks: dict[str, dict[str, Any]] = {
        "fault": {"marker": "X", "markersize": 10, "color": VERMILION},
        "mended": {"marker": "o", "markersize": 7, "color": BLUE},
        "checkpoint": {"marker": "v", "markersize": 5, "color": INK},
        "restored": {"marker": "^", "markersize": 8, "color": INK},
        "step": {"marker": "D", "markersize": 6, "color": ORANGE},
        "hung": {"marker": "P", "markersize": 9, "color": VERMILION},
        "log": {"marker": "|", "markersize": 9, "color": INK},
        "alarm": {"marker": "s", "markersize": 6, "color": VERMILION},
    }
    taken: dict[int, list[tuple[float, float]]] = {}
    together: dict[tuple[float, str], list[float]] = {}
    for mark in timeline.marks:
        row = rows.get(mark.lane)
        if row is None or mark.kind not in looks:
            continue
        height = row + (0.34 if mark.kind == "checkpoint" else 0.0)
        together.setdefault((height, mark.kind), []).append(mark.time)
        if mark.kind in ("fault", "mended", "step"):
            # Of a step only its own name: the marker says what kind of mark it is.
            words = mark.label.rpartition(" ")[2] if mark.kind == "step" else mark.label
            align, extent = _extent(words, mark.time, timeline)
            # A label is above its bar, or else below it; one that has room in neither gap, where
            # those of the neighbouring lane are too, is left to the table.
            gap = next((g for g in (row + 1, row) if _is_free(taken.get(g, ()), extent)), None)
            if gap is None:
                continue
            taken.setdefault(gap, []).append(extent)
            axes.annotate(
                words, (mark.time, height), xytext=(0, 9 if gap > row else -17),
                textcoords="offset points", fontsize=8, ha=align,
                color=VERMILION if mark.kind == "fault" else INK,
                bbox=_PLATE if _over_a_takeover(mark, timeline) else None,
            )  # fmt: skip
    for (height, kind), times in together.items():
        axes.plot(
            times, [height] * len(times), linestyle="", markeredgecolor="white", zorder=5,
            **looks[kind],
        )  # fmt: skip


def _extent(words: str, moment: float, timeline: Lanes) -> tuple[str, tuple[float, float]]:
    """How a label is aligned to its moment so that it stays in the picture, and what it covers."""
    width = _LETTER * len(words) * _length(timeline)
    if moment + width / 2 > timeline.end:
        return "right", (moment - width, moment)
    if moment - width / 2 < timeline.begin:
        return "left", (moment, moment + width)
    return "center", (moment - width / 2, moment + width / 2)


def _is_free(taken: Sequence[tuple[float, float]], extent: tuple[float, float]) -> bool:
    start, end = extent
    return all(end < left or right < start for left, right in taken[-_RECENT:])


def _over_a_takeover(mark: Mark, timeline: Lanes) -> bool:
    """Whether its label lies across the yellow, or across its edge."""
    near = _length(timeline) * _APART / 2
    return any(
        each.lost_at - near < mark.time < each.published_at + near for each in timeline.takeovers
    )


def _draw_takeovers(axes: Axes, rows: dict[str, int], timeline: Lanes) -> None:
    shown = [each for each in timeline.takeovers if each.process in rows]
    axes.broken_barh(
        [(each.lost_at, each.published_at - each.lost_at) for each in shown], (0, 1),
        transform=axes.get_xaxis_transform(), color=YELLOW, alpha=0.35, zorder=0,
    )  # fmt: skip
    for takeover in _apart(shown, timeline):
        side = _side(takeover.published_at, timeline)
        axes.annotate(
            f"{takeover.seconds:.3f} s", (takeover.published_at, rows[LEADER_LANE]),
            xytext=(3 if side == "left" else -3, 11), textcoords="offset points", ha=side,
            fontsize=8, fontweight="bold", **_ON_PLATE,
        )  # fmt: skip


def _apart(takeovers: Iterable[Takeover], timeline: Lanes) -> Iterator[Takeover]:
    """Those whose labels do not cover each other."""
    last = -1e9
    for takeover in takeovers:
        if takeover.published_at - last >= _length(timeline) * _APART:
            last = takeover.published_at
            yield takeover


def _draw_legend(axes: Axes, timeline: Lanes) -> None:
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    present = dict.fromkeys(
        each.state
        for each in (*timeline.segments, *timeline.beliefs)
        if each.state not in _ENDED and each.lane
    )
    handles: list[Any] = [
        Patch(facecolor=STYLES[state][0], hatch=STYLES[state][1], edgecolor="#444444", label=state)
        for state in STYLES
        if state in present
    ]
    kinds = {mark.kind for mark in timeline.marks}
    for kind, marker, colour in (
        ("fault", "X", VERMILION), ("step", "D", ORANGE), ("hung", "P", VERMILION),
        ("mended", "o", BLUE), ("checkpoint", "v", INK), ("restored", "^", INK),
        ("log", "|", INK), ("alarm", "s", VERMILION),
    ):  # fmt: skip
        if kind in kinds:
            handles.append(Line2D([], [], marker=marker, color=colour, linestyle="", label=kind))
    if handles:
        axes.legend(
            handles=handles, loc="lower left", bbox_to_anchor=(0, 1.0), ncols=5,
            fontsize=8, frameon=False, handlelength=1.4, columnspacing=1.2, labelcolor=INK,
        )  # fmt: skip


def _length(timeline: Lanes) -> float:
    return timeline.end - timeline.begin
