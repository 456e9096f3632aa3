"""The two kinds of widgets: one hub per lab, and panels that listen to it.

Importing this module imports anywidget.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import anywidget
import traitlets

from hawork.panels.feed import Json
from hawork.panels.script import script, style


def hear_where_it_was_said(comm: Any) -> None:
    """Have a kernel take each message of a page on the subshell that the message names.

    ipykernel 7.4 takes it on the one that *we* spoke from last (``BaseComm._reply_subshell_for``).
    That may be a subshell of a page that was loaded again since, and is gone: everything that
    the new page says would be refused, as long as no cell is run.
    """
    comm._reply_subshell_for = lambda _data, named: named


class HubWidget(anywidget.AnyWidget):
    """The model of all panels of a lab: it has no view of its own.

    ``keyframe`` stays with the model, so that a page that is loaded again has something to
    show; changes are messages. Views only ever send requests.
    """

    _esm = "export default {};"
    keyframe = traitlets.Dict().tag(sync=True)

    def __init__(self, enqueue: Callable[[Mapping[str, Any]], None] | None = None) -> None:
        super().__init__()
        hear_where_it_was_said(self.comm)
        if enqueue is not None:
            self.on_msg(lambda _, content, __: enqueue(content))

    def send_delta(self, message: Json) -> None:
        self.send(message)

    def send_keyframe(self, message: Json) -> None:
        self.keyframe = message


class PanelWidget(anywidget.AnyWidget):
    """One or more panels in one place; any number of them listen to the same hub.

    A view that cannot be live, in an old browser, asks for ``still``, the same as text.
    """

    _esm = script()
    _css = style()
    hub = traitlets.Unicode().tag(sync=True)
    panels = traitlets.List(traitlets.Unicode()).tag(sync=True)
    replay = traitlets.Bool().tag(sync=True)
    beside = traitlets.Bool().tag(sync=True)

    def __init__(
        self,
        hub: HubWidget,
        panels: list[str],
        still: Callable[[], str],
        *,
        replay: bool = False,
        beside: bool = False,
    ) -> None:
        super().__init__(hub=hub.model_id, panels=panels, replay=replay, beside=beside)
        hear_where_it_was_said(self.comm)

        def answer(_: object, content: Any, __: object) -> None:
            if isinstance(content, dict) and content.get("do") == "face":
                self.send({"face": still(), "id": str(content.get("id"))})

        self.on_msg(answer)
