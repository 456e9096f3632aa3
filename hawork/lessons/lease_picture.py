"""Two stopwatches drawn: how long a leader believes, and from when on a standby may lead."""

from __future__ import annotations

import base64
import html
import io

from hawork.core.calls import checked
from hawork.core.errors import LabError
from hawork.core.whole_imports import import_whole
from hawork.story.picture import BLUE, DPI, GREEN, GREY, INK, VERMILION, WIDTH, YELLOW

__all__ = ["LeasePicture", "draw_lease"]

_SEEN_LATER = 0.05
"""Seconds after which a standby sees a renewal that was sent."""
_LEADS = 1.0
"""Seconds that are drawn of the next leadership."""
_HEIGHT = 1.9
"""Inches."""


class LeasePicture:
    """Made by ``draw_lease``: a picture where matplotlib is, and the same in words."""

    def __init__(self, retry: float, deadline: float, lease: float, renewals: int) -> None:
        self.renewed = tuple(round(number * retry, 3) for number in range(renewals))
        self.believes_until = round(self.renewed[-1] + deadline, 3)
        self.seen = round(self.renewed[-1] + _SEEN_LATER, 3)
        self.leads_from = round(self.seen + lease, 3)

    @property
    def without_leader(self) -> float:
        """Seconds between the two leaderships; below zero, when they overlap."""
        return round(self.leads_from - self.believes_until, 3)

    def __str__(self) -> str:
        gap = self.without_leader
        between = (
            f"{gap:g} s without a leader"
            if gap >= 0
            else f"{-gap:g} s in which both think they lead"
        )
        return (
            f"the leader renews at {', '.join(f'{each:g}' for each in self.renewed)} s and "
            f"believes until {self.believes_until:g} s; "
            f"the standby leads from {self.leads_from:g} s: {between}"
        )

    def _repr_mimebundle_(
        self, include: object = None, exclude: object = None
    ) -> dict[str, object]:
        said = html.escape(str(self), quote=True)
        bundle: dict[str, object] = {"text/plain": str(self), "text/html": f"<p>{said}</p>"}
        try:
            picture = base64.b64encode(self._png()).decode()
        except ImportError:  # matplotlib is not installed
            return bundle
        bundle["text/html"] = (
            f'<img alt="{said}" src="data:image/png;base64,{picture}"><p>{said}</p>'
        )
        bundle["image/png"] = picture
        return bundle

    def _png(self) -> bytes:
        """On a transparent ground, in a grey that can be read on a light page and on a dark one."""
        import_whole("matplotlib.backends.backend_agg", "matplotlib.figure")
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure

        figure = Figure(figsize=(WIDTH, _HEIGHT), dpi=DPI, layout="constrained")
        FigureCanvasAgg(figure)
        figure.patch.set_alpha(0.0)
        axes = figure.subplots()
        axes.patch.set_alpha(0.0)
        axes.barh("leader believes", self.believes_until, color=GREEN)
        axes.barh("standby waits", self.leads_from - self.seen, left=self.seen, color=GREY)
        axes.barh("standby leads", _LEADS, left=self.leads_from, color=BLUE)
        axes.plot(self.renewed, ["leader believes"] * len(self.renewed), "kv")
        first, last = sorted((self.believes_until, self.leads_from))
        overlap = self.without_leader < 0
        axes.axvspan(
            first, last, color=VERMILION if overlap else YELLOW, alpha=0.4,
            hatch="//" if overlap else None,
        )  # fmt: skip
        meaning = (
            "the hatched time has two leaders" if overlap
            else "the yellow time has no leader, and that is on purpose"
        )  # fmt: skip
        axes.set_xlabel(f"seconds; {meaning}", color=INK)
        axes.invert_yaxis()
        axes.tick_params(axis="both", colors=INK)
        for spine in axes.spines.values():
            spine.set_color(INK)
        out = io.BytesIO()
        figure.savefig(out, format="png")
        return out.getvalue()


@checked
def draw_lease(*, retry: float, deadline: float, lease: float, renewals: int = 3) -> LeasePicture:
    """A leader that renews its lease some times and then stands still; all times in seconds.

    It believes for ``deadline`` from the last renewal that it sent, a standby waits for ``lease``
    from when it saw that one. ``LabError`` for durations that are not positive.

    >>> print(draw_lease(retry=0.25, deadline=1.5, lease=2.0))
    the leader renews at 0, 0.25, 0.5 s and believes until 2 s; the standby leads from 2.55 s: \
0.55 s without a leader
    """
    if min(retry, deadline, lease) <= 0 or renewals < 1:
        raise LabError("a lease needs durations of more than 0 s, and one renewal at least")
    return LeasePicture(retry, deadline, lease, renewals)
