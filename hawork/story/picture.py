"""A timeline drawn: one lane each, colours that everybody can tell apart, and patterns.

Colours are those of Okabe and Ito; what matters is told by a pattern or a text, too.
"""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

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
    Segment,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

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
_DPI = 110


def as_png(timeline: Lanes) -> bytes:
    """The picture. ``ImportError`` when matplotlib is not installed."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    lanes = list(timeline.lanes) or ["nothing happened yet"]
    figure = Figure(figsize=(11, 1.1 + 0.42 * len(lanes)), dpi=_DPI, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    rows = {lane: len(lanes) - 1 - number for number, lane in enumerate(lanes)}
    for segment in timeline.segments:
        _draw_segment(axes, segment, rows[segment.lane], timeline)
    _draw_marks(axes, rows, timeline)
    _draw_takeovers(axes, rows, timeline)
    axes.set_yticks(range(len(lanes)), list(reversed(lanes)))
    axes.set_ylim(-0.6, len(lanes) - 0.2)
    axes.set_xlim(timeline.begin, timeline.begin + max(_length(timeline), 0.1) * 1.01)
    since = "the start" if timeline.wall is None else clock_time(timeline.wall)
    axes.set_xlabel(f"seconds since {since}")
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    axes.tick_params(axis="y", length=0)
    axes.grid(axis="x", color="#E5E5E5", linewidth=0.6)
    axes.set_axisbelow(True)
    _draw_legend(axes, timeline)
    for text in axes.texts:
        # One that sticks out, as at the very end, must not take the room of the picture.
        text.set_in_layout(False)
    out = io.BytesIO()
    figure.savefig(out, format="png")
    return out.getvalue()


def _draw_segment(axes: Axes, segment: Segment, row: int, timeline: Lanes) -> None:
    colour, pattern = STYLES.get(segment.state, (GREY, ""))
    width = segment.end - segment.start
    if segment.state in _ENDED:
        # An end is a moment: it does not last until the lab is closed.
        axes.plot([segment.start], [row], marker="s", markersize=9, color=colour)
        axes.annotate(
            segment.state, (segment.start, row), xytext=(8, -4), textcoords="offset points",
            fontsize=8,
        )  # fmt: skip
        return
    down = segment.state == DOWN
    axes.barh(
        row, width, left=segment.start, height=_BAR, color="none" if down else colour,
        hatch=pattern, edgecolor="#BBBBBB" if down else "#444444", linewidth=0.4,
    )  # fmt: skip
    text = segment.label or (segment.state if segment.lane != LEADER_LANE else "")
    if width > _length(timeline) * (0.012 * len(text) + 0.01) and not down:
        light = colour in (BLUE, GREEN)
        axes.text(
            segment.start + width / 2, row, text, ha="center", va="center", fontsize=8,
            color="white" if light else "black",
        )  # fmt: skip


def _draw_marks(axes: Axes, rows: dict[str, int], timeline: Lanes) -> None:
    looks: dict[str, dict[str, Any]] = {
        "fault": {"marker": "X", "markersize": 10, "color": VERMILION},
        "checkpoint": {"marker": "v", "markersize": 5, "color": "black"},
        "restored": {"marker": "^", "markersize": 8, "color": "black"},
        "step": {"marker": "D", "markersize": 6, "color": ORANGE},
        "hung": {"marker": "P", "markersize": 9, "color": VERMILION},
        "log": {"marker": "|", "markersize": 9, "color": "black"},
        "alarm": {"marker": "s", "markersize": 6, "color": VERMILION},
    }
    labelled: dict[str, float] = {}
    for mark in timeline.marks:
        row, look = rows.get(mark.lane), looks.get(mark.kind)
        if row is None or look is None:
            continue
        height = row + (0.34 if mark.kind == "checkpoint" else 0.0)
        axes.plot([mark.time], [height], markeredgecolor="white", zorder=5, **look)
        if mark.kind in ("fault", "step"):
            # Two labels that would cover each other: the later one goes below the bar.
            near = mark.time - labelled.get(mark.lane, -1e9) < _length(timeline) * 0.06
            if not near:
                labelled[mark.lane] = mark.time
            axes.annotate(
                mark.label, (mark.time, height), xytext=(0, -17 if near else 9),
                textcoords="offset points", ha="center", fontsize=8,
                color=VERMILION if mark.kind == "fault" else "black",
            )  # fmt: skip


def _draw_takeovers(axes: Axes, rows: dict[str, int], timeline: Lanes) -> None:
    for takeover in timeline.takeovers:
        row = rows.get(takeover.process)
        if row is None:
            continue
        axes.axvspan(takeover.lost_at, takeover.published_at, color=YELLOW, alpha=0.35, zorder=0)
        axes.annotate(
            f"{takeover.seconds:.3f} s", (takeover.published_at, rows[LEADER_LANE]),
            xytext=(3, 11), textcoords="offset points", fontsize=8, fontweight="bold",
        )  # fmt: skip


def _draw_legend(axes: Axes, timeline: Lanes) -> None:
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    present = dict.fromkeys(
        each.state for each in timeline.segments if each.state not in _ENDED and each.lane
    )
    handles: list[Any] = [
        Patch(facecolor=STYLES[state][0], hatch=STYLES[state][1], edgecolor="#444444", label=state)
        for state in STYLES
        if state in present
    ]
    kinds = {mark.kind for mark in timeline.marks}
    for kind, marker, colour in (
        ("fault", "X", VERMILION), ("step", "D", ORANGE), ("hung", "P", VERMILION),
        ("checkpoint", "v", "black"), ("restored", "^", "black"),
        ("log", "|", "black"), ("alarm", "s", VERMILION),
    ):  # fmt: skip
        if kind in kinds:
            handles.append(Line2D([], [], marker=marker, color=colour, linestyle="", label=kind))
    if handles:
        axes.legend(
            handles=handles, loc="lower left", bbox_to_anchor=(0, 1.0), ncols=8,
            fontsize=8, frameon=False, handlelength=1.4, columnspacing=1.2,
        )  # fmt: skip


def _length(timeline: Lanes) -> float:
    return timeline.end - timeline.begin
