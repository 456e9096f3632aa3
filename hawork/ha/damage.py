"""What is wrong with one entry of a store stays with that entry.

Every stored byte is foreign until it is checked: whatever reading an entry raises, the
entry is set aside and told, and everything else goes on. What is wrong with the process or
the store as a whole is not the entry's fault, and is waited for.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from hawork.core.errors import CorruptStateError, HighAvailabilityError, StoreUnavailableError
from hawork.core.events import EventKind, EventSink
from hawork.core.types import LeaderSessionID

_LONGEST_REASON = 500  # characters


@contextlib.contextmanager
def of_entry(what: str, wrong: str = "cannot be read") -> Iterator[None]:
    """``CorruptStateError`` names ``what`` and the reason, whatever is raised inside.

    Errors of the stores pass, and ``StoreUnavailableError`` is raised when memory runs out.
    """
    try:
        yield
    except HighAvailabilityError:
        raise
    except MemoryError:
        raise StoreUnavailableError(f"{what} cannot be read now: memory is exhausted") from None
    except KeyError as error:
        raise CorruptStateError(f"{what} {wrong}: {in_words(error)} is missing") from None
    except RecursionError:
        raise CorruptStateError(f"{what} {wrong}: it is nested too deeply") from None
    except Exception as error:  # noqa: BLE001 - JSON, text and numbers fail in many ways
        raise CorruptStateError(f"{what} {wrong}: {in_words(error)}") from None


def in_words(error: object) -> str:
    """An error or a name, which may be anything, as a text that is short and has a UTF-8 form."""
    text = str(error) or type(error).__name__
    if len(text) > _LONGEST_REASON:
        text = f"{text[:_LONGEST_REASON]}..."
    return text.encode("utf-8", "backslashreplace").decode()


class SetAside:
    """Tells what is set aside under one leadership."""

    def __init__(self, events: EventSink, session_id: LeaderSessionID) -> None:
        self._events = events
        self._session_id = session_id

    def tell(self, job_id: str, what: str, reason: str) -> None:
        """``what`` names the entry, ``reason`` what is wrong with it and what may be done."""
        self._events.emit(
            EventKind.STATE_SET_ASIDE,
            session_id=self._session_id,
            job_id=job_id,
            what=what,
            reason=reason,
        )
