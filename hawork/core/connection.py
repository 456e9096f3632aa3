"""What a connection to an HA store may be, and what that means for a process that holds something.

Source: Curator's ``ConnectionState``, which Flink's ZooKeeper drivers listen to.

=============  =================================  ==========================================
state          what happened                      what a leader and a retriever may believe
=============  =================================  ==========================================
CONNECTED      a first session is open            what the store says
SUSPENDED      no server answers; the session     nothing for sure: by default leadership is
               may still be alive                 revoked and the leader unknown at once; when
                                                  suspended connections are tolerated, what
                                                  was known before, until the deadline
RECONNECTED    servers answer again, in the same  whatever was watched may have changed: look
               session or in a new one            again
LOST           the session ended, or so much time  nothing: everything ephemeral of the session
               passed that it may have ended      is gone or may go at any moment
=============  =================================  ==========================================
"""

from __future__ import annotations

import enum


class ConnectionState(str, enum.Enum):
    """The state of a connection to an HA store; the module's table says what each means."""

    CONNECTED = "CONNECTED"
    SUSPENDED = "SUSPENDED"
    RECONNECTED = "RECONNECTED"
    LOST = "LOST"

    def __str__(self) -> str:
        return self.value

    @property
    def usable(self) -> bool:
        """Whether requests can be sent."""
        return self in (ConnectionState.CONNECTED, ConnectionState.RECONNECTED)
