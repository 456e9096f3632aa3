"""Steps of the protocol, as verbs of the lab."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hawork.core.steps import HeldStep
from hawork.lab.steps import ArmedStep, ArmedSteps

if TYPE_CHECKING:
    from hawork.lab.faults import Faults
    from hawork.lab.leadership import Leadership


class SteppedLab:
    """What ``LabCluster`` can do with armed steps."""

    _steps: ArmedSteps
    _leadership: Leadership

    def arm(self, step: str, action: str = "hold", process: str | None = None) -> ArmedStep:
        """Arm a step once: whoever reaches it is held, paused or crashed there.

        ``process`` limits it to one process (or ``"leader"``). Steps and their meanings are
        in ``hawork.core.steps.STEPS``.

        >>> armed = lab.arm("submit.graph_written", "hold")                # doctest: +SKIP
        >>> job = lab.submit(..., wait=False)                              # doctest: +SKIP
        >>> await armed.reached()                                          # doctest: +SKIP
        """
        self._check_open()
        name = self._leadership.resolve(process) if process else None
        return self._steps.arm(step, action, name)

    def disarm(self) -> None:
        """Forget the steps that are armed and were not reached yet.

        >>> lab.disarm()                                                   # doctest: +SKIP
        """
        self._steps.disarm()

    def held(self) -> list[HeldStep]:
        """The steps at which processes stand now.

        >>> lab.held()[0].step                                             # doctest: +SKIP
        'submit.graph_written'
        """
        return self._steps.held()

    def proceed(self) -> list[HeldStep]:
        """Let every process that stands at an armed step go on; returns where they stood.

        >>> lab.proceed()                                                  # doctest: +SKIP
        """
        return self._steps.proceed(self._faults().wake)

    def _check_open(self) -> None:
        raise NotImplementedError

    def _faults(self) -> Faults:
        raise NotImplementedError
