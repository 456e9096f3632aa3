"""What a notebook shows: a live view, and with it the same as a table and as text."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

StaticView = Callable[[], dict[str, str]]
"""The same as ``text/plain`` and ``text/html``, and ``image/png`` where there is a picture."""


class Panel:
    """A view of a lab. Displaying it several times, here or elsewhere, shows the same state.

    ``widget`` is the anywidget for your own layouts (``ipywidgets.HBox([panel.widget, ...])``),
    or ``None`` where anywidget is not installed: then a table is shown, and
    ``pip install 'hawork[lab]'`` brings the live view.
    """

    def __init__(self, name: str, widget: Any, static_view: StaticView) -> None:
        self.name = name
        self.widget = widget
        self._static_view = static_view

    def _repr_mimebundle_(
        self, include: object = None, exclude: object = None
    ) -> dict[str, Any] | tuple[dict[str, Any], dict[str, Any]]:
        bundle: dict[str, Any] = dict(self._static_view())
        if self.widget is None:
            return bundle
        live = self.widget._repr_mimebundle_()
        if live is None:
            return bundle
        data, metadata = live
        return {**data, **bundle}, metadata

    def __repr__(self) -> str:
        return f"Panel({self.name}): display it in a notebook\n{self._static_view()['text/plain']}"
