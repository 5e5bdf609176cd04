"""A pseudo-terminal, and what a person sees on it."""

from __future__ import annotations

import os
import struct
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING
from unicodedata import combining, east_asian_width

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import TextIO

if sys.platform != "win32":
    import fcntl
    import termios


def screen(text: str, columns: int) -> list[str]:
    """Return the lines of the screen; there is no escape sequence in *text*.

    A character beyond the last column goes to the next line, as in any terminal.
    """
    lines: list[list[str]] = [[]]
    at = 0
    for character in text:
        if character == "\r":
            at = 0
        elif character == "\n":
            lines.append([])
        elif combining(character) and at:
            lines[-1][at - 1] += character
        else:
            wide = east_asian_width(character) in "WF"
            if at + 1 + wide > columns:
                lines.append([])
                at = 0
            lines[-1] += [" "] * (at - len(lines[-1]))
            lines[-1][at : at + 1 + wide] = [character, ""][: 1 + wide]
            at += 1 + wide
    return ["".join(line).rstrip() for line in lines]


class Terminal:
    """A pseudo-terminal with a number of columns, and what a person sees on it."""

    def __init__(self, columns: int, encoding: str) -> None:
        """Open it."""
        self._ours, theirs = os.openpty()
        self.stream: TextIO = os.fdopen(theirs, "w", encoding=encoding)
        self.columns = columns
        self.resize(columns)
        self.written = ""
        self._unseen = b""

    def resize(self, columns: int) -> None:
        """Give it another number of columns."""
        self.columns = columns
        fcntl.ioctl(
            self.stream.fileno(), termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0)
        )

    def seen(self) -> list[str]:
        """Return the lines of the screen."""
        self.stream.write("\0")  # what was written before it is seen
        self.stream.flush()
        while b"\0" not in self._unseen:
            self._unseen += os.read(self._ours, 65536)
        before, _, self._unseen = self._unseen.partition(b"\0")
        self.written += before.decode(self.stream.encoding)
        assert "\x1b" not in self.written
        return screen(self.written, self.columns)

    def close(self) -> None:
        """Close both ends."""
        self.stream.close()
        os.close(self._ours)


@contextmanager
def terminal(columns: int = 60, encoding: str = "utf-8") -> Iterator[Terminal]:
    """Open a terminal."""
    made = Terminal(columns, encoding)
    try:
        yield made
    finally:
        made.close()
