"""What every decoder raises for bytes that it cannot read."""

from __future__ import annotations

from hawork.core.errors import HaworkError

__all__ = ["UndecodableError"]


class UndecodableError(HaworkError):
    """Bytes are not what their place says they are.

    ``what`` should have been there (such as "checkpoint pointer"), ``class_name`` is the class
    that was found or was being read (``None``: none), ``offset`` the byte at which it breaks.
    """

    def __init__(
        self, what: str, reason: str, *, offset: int = 0, class_name: str | None = None
    ) -> None:
        found = f" in {class_name}" if class_name else ""
        super().__init__(f"{what} cannot be read: {reason} (byte {offset}{found})")
        self.what = what
        self.reason = reason
        self.offset = offset
        self.class_name = class_name
