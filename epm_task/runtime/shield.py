"""A shield keeps an interruption out of a piece of work that must not be torn.

A stop interrupts the handler by raising in the main thread, at any line of Python. In the middle of
a record that would leave half a line, or a lock that nobody releases. While a shield is up, the
interruption waits; it comes again 50 ms later.
"""

from __future__ import annotations

import threading


class Shield:
    """Is up while the main thread is inside; other threads pass through it."""

    __slots__ = ("_depth", "_main")

    def __init__(self) -> None:
        """Start lowered."""
        self._main = threading.main_thread().ident
        self._depth = 0

    @property
    def up(self) -> bool:
        """Whether the main thread is inside."""
        return self._depth > 0

    def __enter__(self) -> None:
        if threading.get_ident() == self._main:
            self._depth += 1

    def __exit__(self, *_: object) -> None:
        if threading.get_ident() == self._main:
            self._depth -= 1


#: The one of this process: signals belong to the process, too.
SHIELD = Shield()
