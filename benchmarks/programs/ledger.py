"""Note in a shared file when each record was accepted, so that the note outlives a kill."""

from __future__ import annotations

import mmap
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

_DOUBLE_BYTES = 8
#: The slots before those of the records.
STARTED, ENDED, STUCK_CHILDREN, FIRST_RECORD = range(4)
#: Every so many records one is a warning, which is on stderr before the call returns.
WARNING_EVERY = 20


class Ledger:
    """Moments of the monotonic clock in a memory-mapped file; 0 where nothing happened yet."""

    def __init__(self, path: Path, records: int | None = None) -> None:
        """Open the file; with a number of *records* create it first."""
        if records is not None:
            path.write_bytes(bytes((FIRST_RECORD + records) * _DOUBLE_BYTES))
        with path.open("r+b") as file:
            self._moments = memoryview(mmap.mmap(file.fileno(), 0)).cast("d")

    def note(self, slot: int) -> None:
        """Note that it happened now."""
        self._moments[slot] = time.monotonic()

    def moment(self, slot: int) -> float:
        """Return when it happened, 0 when it has not."""
        return self._moments[slot]

    def accepted(self) -> dict[int, float]:
        """Return the accepted records by number, and when the call returned."""
        moments = self._moments[FIRST_RECORD:].tolist()
        return {number: moment for number, moment in enumerate(moments) if moment}
