"""A capture is what the agent keeps of one output stream of a task."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

#: Bytes kept of each stream; the agent must not grow with what a task writes.
CAPTURE_BYTES: Final = 1 << 20

#: A line that is longer is reported in pieces of this many bytes.
_LINE_BYTES: Final = 1 << 20


class Capture:
    """Keep the first bytes of a stream, count the rest, and report each line when it is whole.

    Args:
        on_line: Called with each line, without its end; past the cap only with lines that start
            with a brace, and so may be records.
        limit: Number of bytes to keep.
    """

    def __init__(
        self, on_line: Callable[[bytes], None] | None = None, *, limit: int = CAPTURE_BYTES
    ) -> None:
        """Start with an empty stream."""
        self._on_line = on_line
        self._limit = limit
        self._kept = bytearray()
        self._line = bytearray()
        self.dropped = 0

    @property
    def data(self) -> bytes:
        """The bytes that were kept."""
        return bytes(self._kept)

    def feed(self, chunk: bytes) -> None:
        """Take the next bytes of the stream."""
        past_cap = self.dropped > 0
        room = self._limit - len(self._kept)
        self._kept += chunk[:room]
        self.dropped += max(0, len(chunk) - room)
        if self._on_line is None:
            return
        if past_cap:
            self._report_records(chunk, self._on_line)
        else:
            self._report(chunk, self._on_line)

    def finish(self) -> None:
        """Report a last line that has no end."""
        whole = not self.dropped or self._line.startswith(b"{")
        if self._line and whole and self._on_line is not None:
            self._on_line(bytes(self._line))
        self._line.clear()

    def _report(self, chunk: bytes, on_line: Callable[[bytes], None]) -> None:
        *lines, self._line = (self._line + chunk).split(b"\n")
        for line in lines:
            on_line(bytes(line).removesuffix(b"\r"))
        if len(self._line) >= _LINE_BYTES:
            self.finish()

    def _report_records(self, chunk: bytes, on_line: Callable[[bytes], None]) -> None:
        """Report what may be a record; following 1 GB of other short lines would take minutes."""
        if b"{" in chunk or self._line.startswith(b"{"):
            self._report(chunk, lambda line: on_line(line) if line.startswith(b"{") else None)
        elif chunk:
            self._line[:] = chunk[chunk.rfind(b"\n") + 1 :]
        if not self._line.startswith(b"{"):
            del self._line[1:]  # enough to know that the next chunk starts inside another line
